"""Route a probe: which subjects' class means lie nearest to it.

Up to twenty thousand, all class means are compared. Beyond, they are compared as codes of 16
bytes, all of them, and the best few hundred again exactly: at 100,000 class means of 192 values
and one thread that takes 0.25 ms a probe, and the exact scan 3.5.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple, Self

import faiss
import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.half import as_float32

IndexKind = Literal["exact", "pq"]
"""Every class mean as it is, or as a product-quantised code that a rerank follows."""

EXACT_UP_TO = 20_000
"""Class means: a scan of so many stays below a millisecond."""
CANDIDATES = 300
"""Codes that are reranked at least; of many class means one in `CLASSES_A_CANDIDATE`."""
CLASSES_A_CANDIDATE = 10_000
CODED_DIMENSIONS = 64
"""Principal axes that a code keeps; two of them share four bits."""
TRAINED_ON = 65_536
"""Class means that axes and codes are learned from at most."""
BLOCK_ROWS = 65_536
"""Class means that are float32 at a time."""
BLOCK_SCORES = 2**24
"""Cosines of an exact scan that are in memory at a time: 64 MB."""


class Routes(NamedTuple):
    """The nearest class means of each probe, best first."""

    scores: Floats
    """(P, K) cosine of probe and class mean in [-1, 1]; -inf where fewer than K were found."""
    rows: NDArray[np.int64]
    """(P, K) row of the class mean in its index; -1 where fewer than K were found."""


@dataclass(frozen=True, eq=False)
class Hidden:
    """Rows of an index of N that a search passes over."""

    mask: NDArray[np.bool_]
    """(N,) whether a row is hidden."""
    count: int

    @classmethod
    def of(cls, rows: Collection[int] | NDArray[np.int64], total: int) -> Self:
        """Hide some of `total` rows."""
        mask = np.zeros(total, np.bool_)
        mask[np.fromiter(rows, np.int64, len(rows))] = True
        return cls(mask, int(np.count_nonzero(mask)))

    @cached_property
    def admitted(self) -> Any:
        """Search parameters for an exact index."""
        bits = np.packbits(~self.mask, bitorder="little")
        return faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))


@dataclass(frozen=True, eq=False)
class ClassMeanIndex:
    """An index over N class means; it may be searched from several threads at once."""

    kind: IndexKind
    index: Any = field(repr=False)
    """faiss; its ids are the rows of `means`."""
    means: NDArray[np.floating[Any]] = field(repr=False)
    """(N, d) unit rows, float32 or a memory map of float16."""
    candidates: int
    """Codes that are reranked at least; without a meaning for "exact"."""

    @classmethod
    def build(
        cls,
        means: NDArray[np.floating[Any]],
        *,
        kind: IndexKind | None = None,
        like: Self | None = None,
    ) -> Self:
        """Index class means.

        Args:
            means: (N, d) unit rows, float32 or a memory map of float16; N may be 0.
            kind: by default as N asks for.
            like: an index of about the same class means: its codes are used again if both are
                "pq", so that nothing is learned anew.
        """
        kind = kind or index_kind(len(means))
        if kind == "exact":
            index = faiss.IndexFlatIP(means.shape[1])
        elif like is not None and like.kind == "pq":
            index = faiss.clone_index(like.index)
            index.reset()
        else:
            index = _trained(means)
        for start in range(0, len(means), BLOCK_ROWS):
            index.add(as_float32(means[start : start + BLOCK_ROWS]))
        return cls(kind, index, means, candidates_for(len(means)))

    def __len__(self) -> int:
        return len(self.means)

    def search(self, probes: Floats, count: int, hidden: Hidden | None = None) -> Routes:
        """Find the `count` nearest class means of each probe.

        Args:
            probes: (P, d) float32 unit rows.
            count: K, at least 1; no more columns than there are rows are returned.
            hidden: rows that are passed over.
        """
        count = min(count, len(self))
        if count == 0 or len(probes) == 0:
            shape = (len(probes), count)
            return Routes(np.full(shape, -np.inf, np.float32), np.full(shape, -1, np.int64))
        probes = np.ascontiguousarray(probes, np.float32)
        if self.kind == "exact":
            params = None if hidden is None else hidden.admitted
            scores, rows = self.index.search(probes, count, params=params)
            scores[rows < 0] = -np.inf
            return Routes(scores, rows)
        scores = np.full((len(probes), count), -np.inf, np.float32)
        rows = np.full((len(probes), count), -1, np.int64)
        for number, drawn in enumerate(self._draw(probes, count, hidden)):
            cosines = as_float32(self.means[drawn]) @ probes[number]
            best = np.argsort(-cosines, kind="stable")[:count]
            scores[number, : len(best)] = cosines[best]
            rows[number, : len(best)] = drawn[best]
        return Routes(scores, rows)

    def _draw(self, probes: Floats, count: int, hidden: Hidden | None) -> list[NDArray[np.int64]]:
        """Choose rows to rerank for each probe: at least `count`, where there are so many."""
        gone = 0 if hidden is None else hidden.count
        wanted = min(max(self.candidates, count), len(self) - gone)
        # An index of this kind can't pass over rows, so as many more are drawn as will be hidden.
        size = max(1, wanted * len(self) // max(len(self) - gone, 1))
        while True:
            _, found = self.index.search(probes, size)
            drawn = [each[each >= 0] for each in found]
            if hidden is not None:
                drawn = [each[~hidden.mask[each]] for each in drawn]
            if size >= len(self) or min(map(len, drawn)) >= min(count, wanted):
                return drawn
            size = min(len(self), 2 * size)


def index_kind(classes: int) -> IndexKind:
    """Which kind of index so many class means ask for."""
    return "exact" if classes <= EXACT_UP_TO else "pq"


def candidates_for(classes: int) -> int:
    """How many codes are reranked of so many class means."""
    return max(CANDIDATES, classes // CLASSES_A_CANDIDATE)


def rank1_loss(index: ClassMeanIndex, probes: Floats, true_rows: NDArray[np.int64]) -> float:
    """Share of probes that an exact scan gets right, less the share that the index gets right.

    Args:
        index: over N class means, N at least 1.
        probes: (P, d) float32 unit rows, P at least 1.
        true_rows: (P,) row of each probe's own class mean.
    """
    best = np.full(len(probes), -np.inf, np.float32)
    rows = np.zeros(len(probes), np.int64)
    size = max(1, BLOCK_SCORES // len(probes))
    for start in range(0, len(index), size):
        cosines = probes @ as_float32(index.means[start : start + size]).T
        nearest = cosines.argmax(axis=1)
        scores = cosines[np.arange(len(probes)), nearest]
        better = scores > best
        best[better], rows[better] = scores[better], nearest[better] + start
    found = index.search(probes, 1).rows[:, 0]
    return float(np.mean(rows == true_rows) - np.mean(found == true_rows))


def _trained(means: NDArray[np.floating[Any]]) -> Any:
    """Learn the codes of (N, d) class means from some of them; none is in the index yet."""
    rows = np.arange(len(means))
    if len(means) > TRAINED_ON:
        rng = np.random.default_rng(0)
        rows = np.sort(rng.choice(len(means), TRAINED_ON, replace=False))
    axes = min(CODED_DIMENSIONS, means.shape[1] - means.shape[1] % 2)
    # A single probe passes over blocks of 128 codes in three quarters of the time that the default
    # of 32 takes, with the same result; there is no kernel for 256.
    index = faiss.index_factory(
        means.shape[1], f"PCAR{axes},PQ{axes // 2}x4fs_128", faiss.METRIC_INNER_PRODUCT
    )
    index.train(as_float32(means[rows]))
    return index
