"""The settings of a run, kept in its directory: a later stage goes on with them."""

import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from training.run.folder import as_json
from training.run.refused import RunRefused
from training.settings import TrainingSettings
from training.stores.shards import write_whole
from training.subnets.settings import SubnetSettings


@dataclass(frozen=True)
class RunSettings:
    """All that decides what comes out of a store."""

    training: TrainingSettings = field(default_factory=TrainingSettings)
    repetitions: int = 3
    """Of the evaluation, each with a seed of its own; at least 1."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote; the defaults where there is none.

        Raises:
            RunRefused: the file is not of this version, or was changed by hand into no settings.
        """
        try:
            stored = json.loads(path.read_text("utf-8"))
            training = stored["training"]
            subnets = training.pop("subnets")
            betas = tuple(subnets.pop("betas"))
            return cls(
                training=TrainingSettings(
                    **training, subnets=SubnetSettings(**subnets, betas=betas)
                ),
                repetitions=stored["repetitions"],
            )
        except FileNotFoundError:
            return cls()
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RunRefused(
                f"{path}: does not hold settings of this version; remove it to go on with the "
                "defaults, or take another directory"
            ) from error

    def write(self, path: Path) -> None:
        """Write them, whole."""
        write_whole(path, as_json(asdict(self)))

    def changed(self, given: dict[str, Any]) -> Self:
        """These settings with others in place of some.

        Args:
            given: by their names in `RunSettings`, `TrainingSettings` or `SubnetSettings`; None
                leaves one as it is.
        """
        given = {name: value for name, value in given.items() if value is not None}
        subnets = _of(SubnetSettings, given)
        training = _of(TrainingSettings, given)
        return replace(
            self,
            training=replace(
                self.training, subnets=replace(self.training.subnets, **subnets), **training
            ),
            **given,
        )


def _of(settings: type, given: dict[str, Any]) -> dict[str, Any]:
    """Take those out of `given` that are fields of one class."""
    return {entry.name: given.pop(entry.name) for entry in fields(settings) if entry.name in given}
