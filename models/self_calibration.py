"""Thresholds, gap and probability of one gallery, from its own non-mated searches and the prior.

Few searches can't tell where one stranger in a hundred lies, but they tell whether strangers look
more alike here than to the prior. So the prior is first shifted to where the searches lie, as far
as that is more than chance, and gives way to the tail of the searches as these become many.
docs/decisions/0013 has the figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from models.calibration import Calibration
from models.gallery import Gallery
from models.non_mated import NonMated, collect
from models.probability import MARGIN_FPIR, Probability, feature_rows
from models.top_scores import TopScores

SHIFT_SHARES = np.linspace(0.1, 0.9, 17)
"""Shares of the searches at which scores here and in the prior are compared. The highest tenth is
left out, so that people who are enrolled twice do not count."""
UNTOLD_SEARCHES = 20
"""So many searches tell nothing yet: two doubles among five people would shift everything."""
DOUBT = 4.0
"""A shift of two standard errors (the square of this root) is believed by half. Tried: 1 to 16.
More keeps the prior's errors, less adds chance; between 2 and 8 it hardly matters."""
SEARCHES_FOR_HALF = 800
"""From so many searches on, their own tail counts more than the shifted prior. Tried: 200 to
3,200, where 1,600 is a little steadier and bears a domain worse whose tail has another form."""
DOUBLE_FROM = 0.99
"""A search whose first candidate is right with this probability, by the prior, has found the
subject itself: somebody is enrolled twice. Hardly a stranger is taken for that (0 to 3 of 10,000),
while 50 doubles among 1,000 subjects, left in, would have 43 % of the mates missed instead of 13.
Lower values take out more doubles, and strangers too where their tail is longer than the prior's.
"""
GAP_SHARE = 0.9
"""Of the non-mated searches have a smaller gap than the one that tells two subjects apart."""
GAP_SEARCHES_FOR_HALF = 100


@dataclass(frozen=True)
class OwnScores:
    """How strangers score in a gallery, by n non-mated searches of one kind."""

    tail: TopScores | None
    """None: they are too few for a tail."""
    weight: float
    """Of the tail's threshold, in [0, 1); the shifted prior's has the rest."""
    shift: float
    """Cosine that the prior is shifted by."""

    @classmethod
    def of(cls, prior: Calibration, searches: NonMated) -> Self:
        """Compare searches with the prior, and fit their tail."""
        count = len(searches.top_scores)
        tail = TopScores.of(searches.top_scores, searches.comparisons)
        return cls(
            tail=tail,
            weight=0.0 if tail is None else count / (count + SEARCHES_FOR_HALF),
            shift=_shift(prior, searches),
        )

    def threshold(self, prior: Calibration, max_fpir: float, comparisons: float) -> float:
        """Score that a share `max_fpir` of strangers reaches in so many comparisons."""
        shifted = prior.threshold(max_fpir=max_fpir, comparisons=comparisons) + self.shift
        if self.tail is None:
            return shifted
        own = self.tail.threshold(max_fpir, comparisons=comparisons)
        return self.weight * own + (1 - self.weight) * shifted


@dataclass(frozen=True)
class SelfCalibration:
    """What the decisions in one gallery go by, also while it grows or shrinks for some time."""

    prior: Calibration
    own: tuple[OwnScores, ...]
    """By kind of probe; none: the prior alone."""
    gap: float
    """Two subjects above the threshold whose scores differ by less can't be told apart."""
    curve: Probability
    """Of the bundle, or the prior's."""

    @classmethod
    def of(cls, prior: Calibration, gallery: Gallery) -> Self:
        """Calibrate by the gallery's own samples; the same gallery gives the same numbers."""
        curve = None if gallery.trained is None else gallery.trained.probability
        return cls.of_searches(prior, collect(gallery), curve)

    @classmethod
    def of_searches(
        cls, prior: Calibration, searches: Sequence[NonMated], curve: Probability | None = None
    ) -> Self:
        """Calibrate by non-mated searches.

        Args:
            prior: of the embedder.
            searches: of each kind of probe; none: only the prior is known.
            curve: the prior's if None.
        """
        searches = [_without_doubles(prior, each) for each in searches]
        gaps = np.concatenate([np.empty(0), *(each.gaps for each in searches)])
        weight = len(gaps) / (len(gaps) + GAP_SEARCHES_FOR_HALF)
        own = float(np.quantile(gaps, GAP_SHARE)) if len(gaps) else 0.0
        return cls(
            prior=prior,
            own=tuple(OwnScores.of(prior, each) for each in searches),
            gap=weight * own + (1 - weight) * prior.gap,
            curve=curve or prior.probability,
        )

    def threshold(self, *, max_fpir: float, comparisons: float) -> float:
        """Score at which a share `max_fpir` of strangers is taken for somebody.

        Of two kinds of probes the higher threshold holds, so that no kind lets more pass.

        Args:
            max_fpir: target FPIR in (0, 1).
            comparisons: `Gallery.comparisons` as it is now; below 1 counts as 1.

        Returns:
            A fused cosine, at most 1.
        """
        comparisons = max(comparisons, 1.0)
        if not self.own:
            return self.prior.threshold(max_fpir=max_fpir, comparisons=comparisons)
        needed = (each.threshold(self.prior, max_fpir, comparisons) for each in self.own)
        return min(max(needed), 1.0)

    def probability(
        self,
        *,
        score: float,
        gap: float,
        several_samples: bool,
        quality: float,
        comparisons: float,
    ) -> float:
        """Probability that the first candidate is right, for a probe as likely enrolled as not.

        Args:
            score: of the first candidate.
            gap: by how much the second one is behind; score + 1 if there is none.
            several_samples: whether the first candidate has more than one sample.
            quality: of the probe, in [0, 1].
            comparisons: `Gallery.comparisons` as it is now.

        Returns:
            In (0, 1).
        """
        margin = score - self.threshold(max_fpir=MARGIN_FPIR, comparisons=comparisons)
        features = feature_rows(
            np.array([margin]), np.array([gap]), np.array([several_samples]), np.array([quality])
        )
        return float(self.curve.of(features)[0])


def _without_doubles(prior: Calibration, searches: NonMated) -> NonMated:
    """Leave out searches that are not non-mated, as far as anybody can tell."""
    threshold = prior.threshold(max_fpir=MARGIN_FPIR, comparisons=searches.comparisons)
    margins = searches.top_scores - threshold - _shift(prior, searches)
    count = len(margins)
    features = feature_rows(margins, searches.gaps, np.zeros(count, np.bool_), np.ones(count))
    kept = prior.probability.of(features) < DOUBLE_FROM
    return NonMated(searches.top_scores[kept], searches.gaps[kept], searches.comparisons)


def _shift(prior: Calibration, searches: NonMated) -> float:
    """How much higher scores lie here than in the prior, less what may be chance.

    Of a difference x with standard error e, x^2 / (x^2 + DOUBT * e^2) is believed.
    """
    told = len(searches.top_scores) - UNTOLD_SEARCHES
    if told <= 0:
        return 0.0

    def by_prior(share: float) -> float:
        return prior.threshold(max_fpir=share, comparisons=searches.comparisons)

    here = np.quantile(searches.top_scores, 1 - SHIFT_SHARES)
    found = float(np.mean(here - [by_prior(share) for share in SHIFT_SHARES.tolist()]))
    # Shares of 0.16 and 0.84 lie a standard deviation to both sides. The prior's is taken, for
    # some searches may by accident all be alike.
    error = (by_prior(0.16) - by_prior(0.84)) / 2 / np.sqrt(told)
    return float(found**3 / (found**2 + DOUBT * error**2))
