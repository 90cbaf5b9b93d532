"""Gap and probability for decisions without a bundle, from galleries drawn from some people."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.calibration import Calibration
from models.gallery import Gallery
from models.non_mated import collect
from models.probability import MARGIN_FPIR, Probability, feature_rows
from models.search import Search
from models.self_calibration import GAP_SHARE, SelfCalibration
from training.calibration.probability import fit

SIZES = (30, 100, 300, 1_000)
"""Subjects of a drawn gallery; those of which there are not enough people are left out."""
SAMPLES = (1, 3)
"""Of each subject; who has no further picture to search with isn't drawn."""
SUBJECTS_OF_A_KIND = 1_000
"""In all galleries of one size and number of samples together, so that each counts the same."""


@dataclass(frozen=True, eq=False)
class PictureSet:
    """S pictures of people, each as it is and as a degraded copy, by subject."""

    subjects: NDArray[np.int64]
    """(S,) ascending."""
    templates: Floats
    """(S, 2, d) unit rows: of the picture, of its copy."""
    quality: Floats
    """(S, 2) in [0, 1]."""

    def with_more_than(self, samples: int) -> NDArray[np.int64]:
        """First row of each subject that has more pictures than so many."""
        _, firsts, counts = np.unique(self.subjects, return_index=True, return_counts=True)
        return np.asarray(firsts[counts > samples], np.int64)


@dataclass(frozen=True, eq=False)
class DrawnSearches:
    """What was found in the drawn galleries."""

    gaps: NDArray[np.float64]
    """(g,) of the galleries' non-mated searches of themselves."""
    features: NDArray[np.float64]
    """(n, F) of searches by further pictures: as many with the mate enrolled as without."""
    right: NDArray[np.bool_]
    """(n,) whether the first candidate is the mate."""

    @property
    def gap(self) -> float:
        """The gap that tells two subjects apart."""
        return float(np.quantile(self.gaps, GAP_SHARE))

    def probability(self) -> Probability:
        """Fit it."""
        return fit(self.features, self.right)


def search_drawn(
    prior: Calibration,
    pictures: PictureSet,
    *,
    seed: int = 0,
    subjects_of_a_kind: int = SUBJECTS_OF_A_KIND,
) -> DrawnSearches:
    """Draw galleries and search them by the next picture of everybody in them, and by its copy.

    Args:
        prior: of the embedder; its gap and probability aren't looked at.
        pictures: of people of whom some have more than `SAMPLES` pictures.
        seed: of the draws.
        subjects_of_a_kind: in all galleries of one size and number of samples together.
    """
    gaps, features, right = [], [], []
    for firsts, samples in _drawn(pictures, subjects_of_a_kind, np.random.default_rng(seed)):
        subjects = [UUID(int=number) for number in range(len(firsts))]
        gallery = Gallery.build(
            subjects,
            np.repeat(np.arange(len(firsts)), samples),
            pictures.templates[(firsts[:, None] + np.arange(samples)).ravel(), 0],
            dimension=pictures.templates.shape[2],
            revision=0,
        )
        searches = collect(gallery)
        gaps += [each.gaps for each in searches]
        threshold = SelfCalibration.of_searches(prior, searches).threshold(
            max_fpir=MARGIN_FPIR, comparisons=gallery.comparisons
        )
        probes = pictures.templates[firsts + samples].reshape(2 * len(firsts), -1)
        quality = pictures.quality[firsts + samples].ravel()
        mates = [mate for mate in subjects for _ in range(2)]
        for without in (None, mates):
            found = gallery.search(probes, quality, 2, without=without)
            features.append(_features(found, quality, threshold))
            first = [each.candidates[0].subject_id for each in found]
            right.append(np.array([one == mate for one, mate in zip(first, mates, strict=True)]))
    return DrawnSearches(np.concatenate(gaps), np.concatenate(features), np.concatenate(right))


def _drawn(
    pictures: PictureSet, subjects: int, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], int]]:
    """First rows of the subjects of each gallery, and how many samples of each are enrolled."""
    for samples in SAMPLES:
        people = pictures.with_more_than(samples)
        for size in SIZES:
            if size <= len(people):
                for _ in range(subjects // size):
                    yield rng.choice(people, size, replace=False), samples


def _features(searches: list[Search], quality: Floats, threshold: float) -> NDArray[np.float64]:
    first = [each.candidates[0] for each in searches]
    scores = np.array([each.score for each in first])
    second = np.array([each.candidates[1].score for each in searches])
    several = np.array([each.sample_count > 1 for each in first])
    return feature_rows(scores - threshold, scores - second, several, quality)
