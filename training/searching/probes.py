"""The probes of a split, by what was done to the picture."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from training.searching.search import Enrolled
from training.stores.format import Kind
from training.stores.store import EmbeddingStore

MOST_PROBES = 20_000
"""Of one kind: the standard error of a share is below 0.4 points, whatever the share, and a million
subjects would else be searched for among a million."""
NAMES = {
    Kind.ORIGINAL: "clean",
    Kind.HARD_RESOLUTION: "24 px",
    Kind.HARD_BLUR: "blur 2 px",
    Kind.HARD_BRIGHTNESS: "brightness x0.4",
    Kind.HARD_JPEG: "JPEG quality 20",
    Kind.HARD_COVER: "half covered",
}


@dataclass(frozen=True, eq=False)
class Probes:
    """n probes of one kind."""

    templates: Floats
    """(n, d) unit rows."""
    true: NDArray[np.int32]
    """(n,) place of each one's class among the enrolled; -1 for strangers."""
    quality: Floats
    """(n,) in [0, 1]."""

    @classmethod
    def of(cls, store: EmbeddingStore, within: NDArray[np.bool_], enrolled: Enrolled) -> "Probes":
        """From the rows of a mask (n,): all of them, or `MOST_PROBES` evenly spread over them."""
        rows = np.flatnonzero(within)
        if len(rows) > MOST_PROBES:
            rows = rows[np.linspace(0, len(rows) - 1, MOST_PROBES).astype(np.int64)]
        return cls(
            templates=store.vectors[rows].astype(np.float32),
            true=enrolled.places(store.labels[rows]),
            quality=np.asarray(store.quality[rows]),
        )

    def __len__(self) -> int:
        return len(self.true)

    def __getitem__(self, part: slice) -> "Probes":
        return Probes(self.templates[part], self.true[part], self.quality[part])


def probe_sets(
    store: EmbeddingStore, rows: NDArray[np.bool_], enrolled: Enrolled
) -> dict[str, Probes]:
    """Split the rows of a mask (n,) by kind, clean ones first; kinds without a row are left out."""
    kinds = {kind: rows & (store.kinds == kind) for kind in NAMES}
    return {
        NAMES[kind]: Probes.of(store, own, enrolled) for kind, own in kinds.items() if own.any()
    }
