"""How one way of searching fared in the open set, and two of them on the same probes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Self

import numpy as np
from numpy.typing import NDArray

from benchmarks.searches import Answers
from models.arrays import Floats
from models.class_means import class_means
from training.searching.open_set import fnir, threshold_at_fpir

FPIRS = (0.1, 0.03, 0.01, 0.003, 0.001)

Scores = NDArray[np.float64]
Hits = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What M mated and K non-mated searches gave."""

    mate_ranks: NDArray[np.int64]
    """(M,) from 1; 0 where the mate was not listed."""
    mate_scores: Scores
    """(M,) -inf where the mate was not listed."""
    top_scores: Scores
    """(K,) the best candidate's; -inf without one."""

    @classmethod
    def of(cls, answers: Answers) -> Self:
        """From what the service has answered."""
        pairs = list(zip(answers.mated, answers.names, strict=True))
        return cls(
            np.array([each.rank_of(name) for each, name in pairs], np.int64),
            np.array([each.score_of(name) for each, name in pairs]),
            np.array([each.top_score for each in answers.non_mated]),
        )

    @property
    def rank1(self) -> float:
        return float(np.mean(self.mate_ranks == 1))

    def fnir_at(self, fpir: float) -> float:
        """FNIR at the threshold that lets this share of the strangers pass."""
        return fnir(self.mate_scores, self.mate_ranks, threshold_at_fpir(self.top_scores, fpir))

    def hits(self, fpir: float | None = None) -> Hits:
        """(M,) whether the mate is first and, if an FPIR is given, above its threshold."""
        first: Hits = self.mate_ranks == 1
        if fpir is None:
            return first
        hits: Hits = first & (self.mate_scores >= threshold_at_fpir(self.top_scores, fpir))
        return hits

    def figures(self) -> dict[str, float]:
        """`rank1`, and `fnir_at_fpir_X` for each X of `FPIRS`."""
        found = {"rank1": self.rank1}
        return found | {f"fnir_at_fpir_{in_words(fpir)}": self.fnir_at(fpir) for fpir in FPIRS}


def in_words(fpir: float) -> str:
    """0.003 as it stands in a figure's name: 0_003."""
    return f"{fpir:g}".replace(".", "_")


def exact_search(
    gallery: Mapping[str, Sequence[Floats]],
    mated: Sequence[tuple[str, Floats | None]],
    non_mated: Sequence[Floats | None],
) -> Outcome:
    """Compare every probe with the class mean of every subject, and do nothing else.

    Args:
        gallery: (d,) unit templates of each subject, at least one.
        mated: the mate's name and the (d,) unit template, None without a face; it is a miss, as
            is a mate who is not enrolled.
        non_mated: templates of strangers.
    """
    samples = np.concatenate([np.stack(list(rows)) for rows in gallery.values()])
    offsets = np.cumsum([0, *(len(rows) for rows in gallery.values())])
    means = class_means(samples, offsets)
    row_of = {name: row for row, name in enumerate(gallery)}
    ranks, scores = np.zeros(len(mated), np.int64), np.full(len(mated), -np.inf)
    for place, (name, template) in enumerate(mated):
        if template is not None and name in row_of:
            cosines = means @ template
            scores[place] = cosines[row_of[name]]
            ranks[place] = 1 + np.sum(cosines > scores[place])
    top = [-np.inf if row is None else float((means @ row).max()) for row in non_mated]
    return Outcome(ranks, scores, np.array(top))


@dataclass(frozen=True)
class Paired:
    """Two ways of searching on the same probes."""

    only_first: int
    """Probes that the first one gets right and the other does not."""
    only_second: int

    @classmethod
    def of(cls, first: Hits, second: Hits) -> Self:
        """From (M,) whether each probe was right."""
        return cls(int(np.sum(first & ~second)), int(np.sum(second & ~first)))

    @property
    def p_value(self) -> float:
        """McNemar's exact test, two-sided: how likely so uneven a split is among equals.

        McNemar (1947), "Note on the sampling error of the difference between correlated
        proportions or percentages": of the probes on which they differ, half fall to either.
        """
        differing = self.only_first + self.only_second
        fewer = min(self.only_first, self.only_second)
        return min(1.0, 2 * sum(comb(differing, k) for k in range(fewer + 1)) / (1 << differing))
