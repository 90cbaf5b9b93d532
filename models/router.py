"""Route a probe: which subjects' class means lie nearest to it.

This first form is exact: a flat inner-product index over all class means, which stays
below a millisecond to some twenty thousand subjects.
"""

from collections.abc import Collection
from typing import Any, NamedTuple

import faiss
import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats


class Routes(NamedTuple):
    """The nearest class means of each probe, best first."""

    scores: Floats
    """(P, K) cosine of probe and class mean in [-1, 1]; -inf where fewer than K were found."""
    rows: NDArray[np.int64]
    """(P, K) row of the class mean in its segment; -1 where fewer than K were found."""


def class_mean_index(class_means: Floats) -> Any:
    """Build the exact index.

    Args:
        class_means: (N, d) float32 rows of unit length; N may be 0.
    """
    index = faiss.IndexFlatIP(class_means.shape[1])
    index.add(np.ascontiguousarray(class_means))
    return index


def excluding(rows: Collection[int], total: int) -> Any:
    """Build the search parameters that pass over some rows of an index of `total` rows."""
    if not rows:
        return None
    admitted = np.ones(total, dtype=bool)
    admitted[list(rows)] = False
    return faiss.SearchParameters(
        sel=faiss.IDSelectorBitmap(np.packbits(admitted, bitorder="little"))
    )


def route(index: Any, probes: Floats, count: int, *, params: Any = None) -> Routes:
    """Find the `count` nearest class means of each probe.

    Args:
        index: from `class_mean_index`.
        probes: (P, d) float32 rows of unit length.
        count: K, at least 1.
        params: from `excluding`.
    """
    count = min(count, index.ntotal)
    if count == 0 or len(probes) == 0:
        shape = (len(probes), 0)
        return Routes(np.empty(shape, np.float32), np.empty(shape, np.int64))
    scores, rows = index.search(np.ascontiguousarray(probes), count, params=params)
    scores[rows < 0] = -np.inf
    return Routes(scores, rows)
