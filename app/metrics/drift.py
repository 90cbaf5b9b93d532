"""Are the faces that come like those that the thresholds were made for?

The best scores of the collection's own samples, each searched among everybody but its subject, are
cut into tenths; those of strangers who come should fall into each in equal numbers. The population
stability index says how far they do not: below 0.1 nothing has changed, above 0.25 something has,
such as the camera. The highest tenth is left out, because people who are enrolled score there.
"""

import numpy as np
from numpy.typing import NDArray

from app.gallery.live import LiveGallery

SHARES = np.linspace(0.1, 0.9, 9)
"""Of strangers whose top score lies above each edge of a bin."""
RECENT = 500
"""A face's weight falls to a third (1 / e) while so many follow."""
FEWEST = 100
"""Faces that have to have been counted before anything is said."""


class Drift:
    """Of the faces that were searched in one collection."""

    def __init__(self) -> None:
        self._counts = np.zeros(len(SHARES))
        self._counted = 0
        self._edges_of: tuple[int, int, str | None] | None = None
        self._edges: NDArray[np.float64] | None = None

    def observe(self, top_score: float, live: LiveGallery) -> None:
        """Count a face by the score of its first candidate."""
        edges = self._present_edges(live)
        if edges is None or top_score >= edges[-1]:
            return
        self._counts *= 1 - 1 / RECENT
        self._counts[np.searchsorted(edges, top_score, side="right")] += 1
        self._counted += 1

    @property
    def index(self) -> float | None:
        """The population stability index, at least 0; None: too few faces tell."""
        if self._counted < FEWEST:
            return None
        # Half a face each, so that an empty bin is no infinity.
        found = (self._counts + 0.5) / (self._counts + 0.5).sum()
        expected = 1 / len(found)
        return float(((found - expected) * np.log(found / expected)).sum())

    def _present_edges(self, live: LiveGallery) -> NDArray[np.float64] | None:
        """Ascending scores between the bins, the last one where the highest tenth begins.

        None: the collection has too few samples to tell.
        """
        of = (live.calibrated_at, live.gallery.revision, live.bundle_id)
        if of != self._edges_of:
            self._edges_of = of
            own = live.calibration.own
            # Of probes of good quality; a second kind is only there for other weights.
            scores = own[0].tail if own else None
            comparisons = live.gallery.comparisons
            self._edges = None
            if scores is not None:
                self._edges = np.array(
                    [scores.threshold(each, comparisons=comparisons) for each in SHARES[::-1]]
                )
        return self._edges
