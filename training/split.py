"""Which pictures are trained on, which decide settings, and which only measure."""

import hashlib
from collections.abc import Iterable
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

        A picture's role depends on the seed and on the templates of its own subject alone. So it
        keeps it however much of the gallery changes; as its subject gets more pictures, it can
        move from testing towards training, while one that was trained on can only be tested once
        its subject has lost pictures, or has become several times as many.

        Args:
            store: n rows.
            seed: of which pictures; the same seed and store give the same split.
        """
        rows = np.flatnonzero(store.originals)
        labels = store.labels[rows]
        counts = np.bincount(labels, minlength=len(store.subject_ids))
        share = np.clip(np.rint(HELD_OUT_SHARE * counts), 1, MOST_HELD_OUT).astype(np.int64)
        lots = _lots((subject.encode() for subject in store.subject_ids), seed)
        of_two = lots % np.uint64(2) == 0
        tested = np.where(counts >= FEWEST_TO_TEST, share, 0)
        validated = np.where((counts >= FEWEST_TO_VALIDATE) | ((counts == 2) & of_two), share, 0)
        places = places_by_lot(store.vectors[rows], labels, seed=seed)
        to_test = places < tested[labels]
        to_validate = ~to_test & (places < (tested + validated)[labels])
        test = np.isin(store.sources, store.sources[rows[to_test]])
        validation = np.isin(store.sources, store.sources[rows[to_validate]])
        return cls(
            training=np.isin(store.kinds, TRAINABLE) & ~test & ~validation,
            validation=np.isin(store.kinds, (Kind.ORIGINAL, Kind.DEGRADED)) & validation,
            test=~np.isin(store.kinds, (Kind.AUGMENTED, Kind.DEGRADED)) & test,
        )


def places_by_lot(
    vectors: NDArray[np.float16], labels: NDArray[np.int32], *, seed: int
) -> NDArray[np.int64]:
    """A place for each row among those of its label: 0, 1, ... in the order of lots.

    Args:
        vectors: (n, d) stored templates; a row's lot is a hash of these bytes and the seed.
        labels: (n,) of the rows.
        seed: at least 0.

    Returns:
        (n,); of equal templates of a label the earlier row comes first.
    """
    order = np.lexsort((_lots((vector.tobytes() for vector in vectors), seed), labels))
    starts = np.searchsorted(labels[order], labels[order])
    places = np.empty(len(labels), np.int64)
    places[order] = np.arange(len(labels)) - starts
    return places


def _lots(contents: Iterable[bytes], seed: int) -> NDArray[np.uint64]:
    """(n,) a number for each of n contents, as good as drawn, but the same every time."""
    key = seed.to_bytes(16, "little")
    digests = (hashlib.blake2b(each, digest_size=8, key=key).digest() for each in contents)
    return np.frombuffer(b"".join(digests), "<u8")
