"""The gallery that probes are searched in: an immutable snapshot, and the next one made from it.

A snapshot is one large segment and a short overlay of what has changed since that was built.
Readers take the reference once and finish on it; a writer builds the next snapshot aside.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isqrt
from typing import Any, Self
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.decide import CLASS_MEAN_WEIGHT, Candidate, fused_scores
from models.router import class_mean_index, excluding, route


@dataclass(frozen=True)
class Segment:
    """Subjects that were indexed together. Rows of one subject's samples stand side by side."""

    subject_ids: tuple[UUID, ...]
    samples: Floats
    """(S, d) unit templates, ordered by subject."""
    offsets: NDArray[np.int64]
    """(N + 1,) samples of row i are `samples[offsets[i]:offsets[i + 1]]`; never empty."""
    class_means: Floats
    """(N, d) unit rows."""
    index: Any = field(repr=False)
    rows: Mapping[UUID, int] = field(repr=False)

    @classmethod
    def build(cls, templates: Mapping[UUID, Floats], dimension: int) -> Self:
        """Index subjects; one without any sample is left out, for nothing can find it."""
        templates = {subject: rows for subject, rows in templates.items() if len(rows)}
        counts = [len(rows) for rows in templates.values()]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        samples = (
            np.concatenate(list(templates.values()), dtype=np.float32)
            if templates
            else np.empty((0, dimension), np.float32)
        )
        means = class_means(samples, offsets)
        subject_ids = tuple(templates)
        return cls(
            subject_ids=subject_ids,
            samples=samples,
            offsets=offsets,
            class_means=means,
            index=class_mean_index(means),
            rows={subject: row for row, subject in enumerate(subject_ids)},
        )

    def samples_of(self, row: int) -> Floats:
        """(s, d) templates of the subject in this row."""
        return self.samples[self.offsets[row] : self.offsets[row + 1]]


@dataclass(frozen=True)
class Gallery:
    """Everybody who can be found in one collection, as of one revision of its feed."""

    base: Segment
    overlay: Segment
    hidden: frozenset[int]
    """Rows of `base` that are gone or stand, changed, in `overlay`."""
    admitted: Any = field(repr=False)
    """Search parameters that pass over `hidden`."""
    revision: int

    @classmethod
    def build(
        cls,
        subject_ids: Sequence[UUID],
        owners: NDArray[np.int64],
        templates: Floats,
        *,
        dimension: int,
        revision: int,
    ) -> Self:
        """Build a snapshot from all templates of a collection.

        Args:
            subject_ids: N subjects.
            owners: (S,) index into `subject_ids` of each template.
            templates: (S, d) float32 unit rows, in any order.
            dimension: d, needed when there is no template yet.
            revision: the last change of the feed that these templates hold.
        """
        order = np.argsort(owners, kind="stable")
        bounds = np.searchsorted(owners[order], np.arange(len(subject_ids) + 1))
        sorted_templates = templates[order]
        return cls._of(
            {
                subject: sorted_templates[start:stop]
                for subject, start, stop in zip(subject_ids, bounds, bounds[1:], strict=False)
            },
            dimension=dimension,
            revision=revision,
        )

    @classmethod
    def _of(cls, templates: Mapping[UUID, Floats], *, dimension: int, revision: int) -> Self:
        return cls(
            base=Segment.build(templates, dimension),
            overlay=Segment.build({}, dimension),
            hidden=frozenset(),
            admitted=None,
            revision=revision,
        )

    def __len__(self) -> int:
        """Count the subjects that can be found."""
        return len(self.base.subject_ids) - len(self.hidden) + len(self.overlay.subject_ids)

    @cached_property
    def comparisons(self) -> float:
        """How many single comparisons a search amounts to: the sum of s^(1 - w) over subjects.

        The best of s samples comes as high as one would among s times as many strangers. It
        makes up 1 - w of the fused score (w is `CLASS_MEAN_WEIGHT`), and the tail of strangers'
        scores falls about exponentially, so it counts with that exponent: with w = 1/2, four
        samples of a subject are two chances for a stranger.
        """
        base = np.delete(np.diff(self.base.offsets), list(self.hidden))
        counts = np.concatenate([base, np.diff(self.overlay.offsets)])
        return float((counts ** (1 - CLASS_MEAN_WEIGHT)).sum())

    @property
    def dimension(self) -> int:
        return int(self.base.samples.shape[1])

    def with_changes(
        self, upserts: Mapping[UUID, Floats], removals: Collection[UUID], *, revision: int
    ) -> "Gallery":
        """Make the snapshot that follows this one, which stays as it is.

        Args:
            upserts: all present templates, (s, d), of each subject that is new or has changed.
            removals: subjects that are gone.
            revision: the last change that is applied hereby.
        """
        gone = set(removals)
        overlay = {
            subject: self.overlay.samples_of(row)
            for row, subject in enumerate(self.overlay.subject_ids)
            if subject not in gone
        } | {subject: rows for subject, rows in upserts.items() if subject not in gone}
        touched = gone | set(upserts)
        hidden = self.hidden | {
            self.base.rows[subject] for subject in touched if subject in self.base.rows
        }
        total = len(self.base.subject_ids)
        # The overlay is copied at every change and the base only when it is folded in: with this
        # bound both cost about the same in the long run (a millisecond at a million subjects).
        if len(overlay) + len(hidden) > 256 + 4 * isqrt(total):
            kept = {
                subject: self.base.samples_of(row)
                for row, subject in enumerate(self.base.subject_ids)
                if row not in hidden
            }
            return Gallery._of(kept | overlay, dimension=self.dimension, revision=revision)
        return Gallery(
            base=self.base,
            overlay=Segment.build(overlay, self.dimension),
            hidden=frozenset(hidden),
            admitted=excluding(hidden, total),
            revision=revision,
        )

    def templates_of(self, subject_id: UUID) -> Floats:
        """(s, d) templates of a subject.

        Raises:
            KeyError: nobody of that id can be found here.
        """
        if subject_id in self.overlay.rows:
            return self.overlay.samples_of(self.overlay.rows[subject_id])
        row = self.base.rows[subject_id]
        if row in self.hidden:
            raise KeyError(subject_id)
        return self.base.samples_of(row)

    def search(self, probes: Floats, count: int) -> list[list[Candidate]]:
        """Find the nearest subjects of each probe.

        Args:
            probes: (P, d) float32 unit rows.
            count: how many candidates at most.

        Returns:
            P lists, best first.
        """
        # Candidates are drawn by class mean and ordered by the fused score, so more are drawn
        # than are asked for: a good sample of a spread-out subject must not be missed.
        drawn = max(4 * count, 32)
        routed = [
            (segment, route(segment.index, probes, drawn, params=params))
            for segment, params in ((self.base, self.admitted), (self.overlay, None))
        ]
        answers = []
        for number, probe in enumerate(probes):
            candidates = [
                candidate
                for segment, routes in routed
                for candidate in fused_scores(
                    probe,
                    segment.subject_ids,
                    segment.samples,
                    segment.offsets,
                    routes.rows[number],
                    routes.scores[number],
                )
            ]
            candidates.sort(key=lambda candidate: -candidate.score)
            answers.append(candidates[:count])
        return answers


def class_means(samples: Floats, offsets: NDArray[np.int64]) -> Floats:
    """Unit-length mean of each subject's samples.

    Args:
        samples: (S, d) unit rows, ordered by subject.
        offsets: (N + 1,) bounds of each subject's rows; no subject is empty.

    Returns:
        (N, d) unit rows.
    """
    if len(offsets) == 1:
        return np.empty((0, samples.shape[1]), np.float32)
    sums = np.add.reduceat(samples, offsets[:-1], axis=0)
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    # Opposite templates cancel out: such a mean points nowhere and must match nobody, not NaN.
    means: Floats = sums / np.maximum(lengths, np.float32(1e-12))
    return means
