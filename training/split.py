"""Which pictures are trained on, which decide settings, and which only measure."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from training.stores.format import TRAINABLE, Kind
from training.stores.store import EmbeddingStore

HELD_OUT_SHARE = 0.2
"""Of a subject's pictures, to test and as much again to validate: the paper's 60/20/20."""
MOST_HELD_OUT = 5
"""Pictures of one subject to test, and to validate: the paper tests five."""
FEWEST_TO_TEST = 5
"""Pictures of a subject of whom some are tested: three are left to train on."""
FEWEST_TO_VALIDATE = 3


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of a store by what they are for; no picture, nor a copy of it, is in two of them."""

    training: NDArray[np.bool_]
    """(n,) originals, augmented and degraded copies."""
    validation: NDArray[np.bool_]
    """(n,) originals and degraded copies."""
    test: NDArray[np.bool_]
    """(n,) originals and hard probes."""

    @classmethod
    def of(cls, store: EmbeddingStore, *, seed: int) -> Self:
        """Hold out pictures of who has several.

        Of subjects with two pictures, every second one gives one to validate: decisions on who is
        enrolled with a single picture could not be calibrated otherwise. Who has one only trains.

        Args:
            store: n rows.
            seed: of which pictures; the same seed and store give the same split.
        """
        rows = np.flatnonzero(store.originals)
        labels = store.labels[rows]
        counts = np.bincount(labels, minlength=len(store.subject_ids))
        share = np.clip(np.rint(HELD_OUT_SHARE * counts), 1, MOST_HELD_OUT).astype(np.int64)
        of_two = np.random.default_rng([seed, 1]).random(len(counts)) < 0.5
        tested = np.where(counts >= FEWEST_TO_TEST, share, 0)
        validated = np.where((counts >= FEWEST_TO_VALIDATE) | ((counts == 2) & of_two), share, 0)
        places = places_at_random(labels, seed=seed)
        to_test = places < tested[labels]
        to_validate = ~to_test & (places < (tested + validated)[labels])
        test = np.isin(store.sources, store.sources[rows[to_test]])
        validation = np.isin(store.sources, store.sources[rows[to_validate]])
        return cls(
            training=np.isin(store.kinds, TRAINABLE) & ~test & ~validation,
            validation=np.isin(store.kinds, (Kind.ORIGINAL, Kind.DEGRADED)) & validation,
            test=~np.isin(store.kinds, (Kind.AUGMENTED, Kind.DEGRADED)) & test,
        )


def places_at_random(labels: NDArray[np.int32], *, seed: int) -> NDArray[np.int64]:
    """(n,) a place for each row among those of its label: 0, 1, ... in random order."""
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    starts = np.searchsorted(labels[order], labels[order])
    places = np.empty(len(labels), np.int64)
    places[order] = np.arange(len(labels)) - starts
    return places
