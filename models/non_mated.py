"""Non-mated searches of a gallery by itself: enrolled samples among everybody but their subject.

Nobody has to say who is a stranger. A subject that is left out of vote and candidates isn't
enrolled, as far as the search of one of its samples goes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.fusion import POOR_QUALITY
from models.gallery import Gallery

MOST_SEARCHES = 2_000
"""Beyond, more searches hardly tell more: the standard error of a share of 0.01 is 0.002."""
FEWEST_SUBJECTS = 3
"""A search must have a candidate and a runner-up beside the subject that is left out."""
_AT_ONCE = 256


@dataclass(frozen=True)
class NonMated:
    """What n non-mated searches of a gallery found."""

    top_scores: NDArray[np.float64]
    """(n,) score of the best candidate."""
    gaps: NDArray[np.float64]
    """(n,) by how much the second is behind it."""
    comparisons: float
    """How many comparisons each made on average, as `Gallery.comparisons` counts them."""

    @classmethod
    def of(
        cls, gallery: Gallery, probes: Floats, quality: float, without: list[UUID | None]
    ) -> Self:
        """Search a gallery of at least `FEWEST_SUBJECTS` subjects.

        Args:
            gallery: that is searched.
            probes: (n, d) unit rows.
            quality: to take all of them for, in [0, 1].
            without: n subjects, each of whom one search leaves out.
        """
        found = []
        for start in range(0, len(probes), _AT_ONCE):
            block = slice(start, start + _AT_ONCE)
            searches = gallery.search(
                probes[block],
                np.full(len(probes[block]), quality, np.float32),
                2,
                without=without[block],
            )
            # Who isn't found, for its cluster wasn't searched, is as little alike as can be.
            found += [
                (*(each.score for each in search.candidates), -1.0, -1.0)[:2] for search in searches
            ]
        scores = np.array(found, np.float64)
        return cls(
            top_scores=scores[:, 0],
            gaps=scores[:, 0] - scores[:, 1],
            comparisons=gallery.comparisons * (1 - 1 / len(gallery)),
        )


def collect(gallery: Gallery, *, most: int = MOST_SEARCHES, seed: int = 0) -> tuple[NonMated, ...]:
    """Search a gallery by its own samples.

    Args:
        gallery: whose strangers are wanted.
        most: searches at most. In a gallery of more subjects each of so many drawn ones gives one
            sample; in a smaller one, every subject gives as many as there is room for.
        seed: of what is drawn. The same gallery gives the same searches.

    Returns:
        One for each kind of probe that scores are joined for in a way of its own: probes of good
        quality, and poor ones where a bundle's weights for them are others. Nothing where fewer
        than `FEWEST_SUBJECTS` are enrolled.
    """
    if len(gallery) < FEWEST_SUBJECTS:
        return ()
    drawn = list(_drawn_samples(gallery, most, np.random.default_rng(seed)))
    subjects: list[UUID | None] = [subject for subject, _ in drawn]
    probes = np.stack([sample for _, sample in drawn]).astype(np.float32, copy=False)
    weights = None if gallery.trained is None else gallery.trained.fusion.weights
    alike = weights is None or np.array_equal(weights[0], weights[1])
    qualities = (1.0,) if alike else (1.0, POOR_QUALITY / 2)
    return tuple(NonMated.of(gallery, probes, quality, subjects) for quality in qualities)


def _drawn_samples(
    gallery: Gallery, most: int, rng: np.random.Generator
) -> Iterator[tuple[UUID, Floats]]:
    """Subjects, and a (d,) sample of each; a subject may come several times."""
    sizes = [len(layer.subjects) for layer in gallery.layers]
    bounds = np.cumsum(sizes)
    hidden = sum(len(layer.hidden) for layer in gallery.layers)
    # Enough that `most` are left when the hidden ones are passed over.
    rows = rng.choice(sum(sizes), size=min(sum(sizes), most + hidden), replace=False)
    each_gives = max(1, most // len(gallery))
    subjects = 0
    for row in rows.tolist():
        place = int(np.searchsorted(bounds, row, side="right"))
        layer, own_row = gallery.layers[place], row - int(bounds[place]) + sizes[place]
        if own_row in layer.hidden:
            continue
        subject, samples = layer.subjects.id_of(own_row), layer.samples_of(own_row)
        for sample in rng.permutation(len(samples))[:each_gives].tolist():
            yield subject, samples[sample]
        subjects += 1
        if subjects == most:
            return
