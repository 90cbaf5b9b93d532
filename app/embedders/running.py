"""The embedders that run in a process: the requests of each collection use its own."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from app.embedders.known import KnownEmbedder
from app.inference import warm
from app.problems import EmbedderNotRunning
from app.settings import EMBED_BATCH_LIMITS, Settings
from models.calibration import Calibration
from models.embed import Embedder
from models.identifier import QueryPath
from models.zoo import EmbedderId, EmbedderManifest, ManifestInvalid, read_manifest


@dataclass(frozen=True)
class RunningEmbedder:
    """An embedder, opened, and what is known of it."""

    known: KnownEmbedder
    path: QueryPath
    """Its query path; all share one detector."""
    manifest_path: Path
    """Where its manifest lies."""

    @property
    def manifest(self) -> EmbedderManifest:
        return self.known.manifest

    @property
    def prior(self) -> Calibration:
        """How alike strangers look to it."""
        return self.known.prior


class Embedders:
    """All embedders that run in a process, the default one first."""

    def __init__(self, running: Sequence[RunningEmbedder]) -> None:
        """Hold them together.

        Raises:
            ManifestInvalid: two that differ have the same name.
        """
        self.default = running[0]
        self._by_id: dict[EmbedderId, RunningEmbedder] = {}
        for each in running:
            # One may be the default and be listed beside, as while the default is moved.
            self._by_id.setdefault(each.known.id, each)
        self._by_name = {each.manifest.name: each for each in self}
        if len(self._by_name) < len(self._by_id):
            raise ManifestInvalid(
                "two embedders with different nets have the same name: "
                f"{', '.join(each.manifest.name for each in self)}"
            )

    @classmethod
    def open(cls, settings: Settings, open_path: Callable[[Settings], QueryPath]) -> Self:
        """Open the default embedder with the detector, and the further ones beside it.

        Raises:
            ManifestInvalid, CalibrationInvalid, ProviderMissing: see `QueryPath.open`.
        """
        path = open_path(settings)
        running = [_running(path, settings.embedder)]
        for manifest_path in settings.further_embedders:
            further = replace(path, embedder=open_embedder(settings, manifest_path))
            warm(further)
            running.append(_running(further, manifest_path))
        return cls(running)

    def __iter__(self) -> Iterator[RunningEmbedder]:
        return iter(self._by_id.values())

    def runs(self, embedder: EmbedderId) -> bool:
        """Tell whether an embedder runs here."""
        return embedder in self._by_id

    def of(self, embedder: EmbedderId) -> RunningEmbedder:
        """Give the one that a usable gallery's templates are of.

        Raises:
            KeyError: it does not run here; `Galleries.find_usable` gives no such gallery.
        """
        return self._by_id[embedder]

    def named(self, name: str) -> RunningEmbedder:
        """Give the one of a name.

        Raises:
            EmbedderNotRunning: none is called so.
        """
        found = self._by_name.get(name)
        if found is None:
            raise EmbedderNotRunning(
                "No embedder of this name runs here; `embedders` lists those that do.",
                embedders=list(self._by_name),
            )
        return found


def open_embedder(settings: Settings, manifest_path: Path) -> Embedder:
    """Open an embedder as the settings say.

    Raises:
        ManifestInvalid, ProviderMissing: see `Embedder.open`.
    """
    return Embedder.open(
        read_manifest(manifest_path),
        flip=settings.flip_average,
        provider=settings.provider,
        threads=settings.inference_threads,
        batch_limit=settings.embed_batch_limit or EMBED_BATCH_LIMITS[settings.provider],
    )


def _running(path: QueryPath, manifest_path: Path) -> RunningEmbedder:
    manifest = path.embedder.manifest
    return RunningEmbedder(KnownEmbedder(manifest, Calibration.of(manifest)), path, manifest_path)
