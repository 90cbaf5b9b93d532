"""What galleries need to know of the embedders that run."""

from typing import NamedTuple

from models.calibration import Calibration
from models.zoo import EmbedderId, EmbedderManifest


class KnownEmbedder(NamedTuple):
    """An embedder that runs in this process."""

    manifest: EmbedderManifest
    prior: Calibration
    """How alike strangers look to it."""

    @property
    def id(self) -> EmbedderId:
        """Its name and checksum."""
        return self.manifest.id
