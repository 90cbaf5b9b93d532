"""Class means: one unit vector a subject, from its original pictures."""

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.class_means import class_means as robust_means
from training.stores.store import EmbeddingStore

BLOCK_CLASSES = 1_024
"""Classes whose vectors are in memory at a time."""


def class_means(store: EmbeddingStore, *, within: NDArray[np.bool_] | None = None) -> Floats:
    """Mean of each class's original vectors, brought to unit length.

    It is computed by the function that serving uses, class after class, so that it depends
    neither on the size of a block nor on where a class's rows lie in the store.

    Args:
        store: N classes in n rows.
        within: (n,) rows that may be used, a training split say; all if None.

    Returns:
        (N, d) unit rows; a row of zeros where opposite vectors cancel out.

    Raises:
        ValueError: a subject has no original row within; the message names it.
    """
    usable = store.originals if within is None else store.originals & within
    rows = np.flatnonzero(usable)
    rows = rows[np.argsort(store.labels[rows], kind="stable")]
    classes = len(store.subject_ids)
    offsets = np.searchsorted(store.labels[rows], np.arange(classes + 1))
    empty = np.flatnonzero(np.diff(offsets) == 0)
    if len(empty):
        raise ValueError(f"subject {store.subject_ids[empty[0]]!r} has no original vector to use")
    means = np.empty((classes, store.dimension), np.float32)
    for start in range(0, classes, BLOCK_CLASSES):
        bounds = offsets[start : start + BLOCK_CLASSES + 1]
        block = store.vectors[rows[bounds[0] : bounds[-1]]].astype(np.float32)
        means[start : start + BLOCK_CLASSES] = robust_means(block, bounds - bounds[0])
    return means
