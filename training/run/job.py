"""What a stage works with."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from training.embedding.negatives import Negatives
from training.run.folder import RunFolder
from training.run.refused import RunRefused
from training.run.run_settings import RunSettings
from training.settings import TrainingSettings, Workers
from training.split import Split
from training.stores.store import EmbeddingStore

Progress = Callable[[int, int], None]
"""Called with what is done and with all there is to do, in units of the stage's own."""


@dataclass(frozen=True)
class Made:
    """What a stage has made."""

    outputs: tuple[Path, ...]
    """Files in the run directory."""
    note: str
    """What came out, in a sentence."""


@dataclass(frozen=True, eq=False)
class Job:
    """One run directory, and how it is to be worked on."""

    folder: RunFolder
    settings: RunSettings
    workers: Workers

    @property
    def training(self) -> TrainingSettings:
        return self.settings.training

    @cached_property
    def store(self) -> EmbeddingStore:
        """The verified store.

        Raises:
            RunRefused: there is none yet.
            StoreInvalid: a file of it was changed or damaged; the message names it.
        """
        if not self.folder.store.is_dir():
            raise RunRefused(
                f"{self.folder.store}: there is no store yet; run `python -m training embed` "
                "first, which makes it"
            )
        return EmbeddingStore.open(self.folder.store)

    @cached_property
    def split(self) -> Split:
        """Which of the store's pictures are for what."""
        return Split.of(self.store, seed=self.training.seed)

    @property
    def negatives(self) -> Negatives:
        """Hard negatives that came with the store."""
        return Negatives.read(self.folder.negatives, self.store.dimension)
