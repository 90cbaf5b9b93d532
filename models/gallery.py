"""The gallery that probes are searched in: an immutable snapshot, and the next one made from it.

A snapshot has up to three layers: the subjects that a bundle was trained with and that are as they
were then; all others; and a short overlay of what has changed since those were indexed. Readers
take the reference once and finish on it; a writer builds the next snapshot aside.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import isqrt
from typing import Self
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.decide import Candidate
from models.fusion import CLASS_MEAN_WEIGHT
from models.layer import Layer
from models.search import Near, Search, search
from models.trained import Trained

SAME_TEMPLATE = 0.99
"""Cosine from which two templates are of one picture: another picture of the same person has 0.7
to 0.9, the same one compressed anew above this."""


@dataclass(frozen=True, eq=False)
class Gallery:
    """Everybody who can be found in one collection, as of one revision of its feed."""

    trained: Trained | None
    layers: tuple[Layer, ...]
    """The bundle's, if there is one; the live one; the overlay. Nobody can be found in two."""
    rejected: Mapping[UUID, Floats] = field(repr=False)
    """(r, d) templates of which somebody has said that they are not of this subject."""
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
        rejected: Mapping[UUID, Floats] | None = None,
        trained: Trained | None = None,
        changed: Collection[UUID] = (),
    ) -> Self:
        """Build a snapshot from all templates of a collection.

        Args:
            subject_ids: N subjects.
            owners: (S,) index into `subject_ids` of each template.
            templates: (S, d) float32 unit rows, in any order.
            dimension: d, needed when there is no template yet.
            revision: the last change of the feed that these templates hold.
            rejected: templates that are not of a subject.
            trained: the active bundle.
            changed: subjects whose templates have changed since the bundle's watermark.
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
            rejected=rejected or {},
            trained=trained,
            changed=changed,
        )

    @classmethod
    def _of(
        cls,
        templates: Mapping[UUID, Floats],
        *,
        dimension: int,
        revision: int,
        rejected: Mapping[UUID, Floats],
        trained: Trained | None,
        changed: Collection[UUID],
    ) -> Self:
        templates = {subject: rows for subject, rows in templates.items() if len(rows)}
        changed = frozenset(changed)
        layers: list[Layer] = []
        if trained is not None:
            ids = [subject for subject in templates if subject not in changed]
            known = trained.bundle.rows_of([str(subject) for subject in ids]) >= 0
            as_trained = {
                subject: templates[subject]
                for subject, is_known in zip(ids, known.tolist(), strict=True)
                if is_known
            }
            layers.append(Layer.trained(trained.bundle, as_trained))
            templates = {each: rows for each, rows in templates.items() if each not in as_trained}
        bundle = None if trained is None else trained.bundle
        layers += [Layer.build(each, dimension, bundle) for each in (templates, {})]
        return cls(trained, tuple(layers), rejected, revision)

    def __len__(self) -> int:
        """Count the subjects that can be found."""
        return sum(len(layer) for layer in self.layers)

    @cached_property
    def comparisons(self) -> float:
        """How many single comparisons a search amounts to: the sum of s^(1 - w) over subjects.

        The best of s samples comes as high as one would among s times as many strangers. It
        makes up 1 - w of the fused score (w is `CLASS_MEAN_WEIGHT`), and the tail of strangers'
        scores falls about exponentially, so it counts with that exponent: with w = 1/2, four
        samples of a subject are two chances for a stranger.
        """
        counts = np.concatenate([layer.sample_counts() for layer in self.layers])
        return float((counts ** (1 - CLASS_MEAN_WEIGHT)).sum())

    @property
    def changed_share(self) -> float:
        """How far the bundle is behind: subjects that are live or gone from it, to all."""
        if self.trained is None:
            return 1.0
        live = sum(len(layer) for layer in self.layers[1:])
        return (live + len(self.layers[0].hidden)) / max(len(self), 1)

    @property
    def dimension(self) -> int:
        return int(self.layers[0].samples.shape[1])

    def with_changes(
        self,
        upserts: Mapping[UUID, Floats],
        removals: Collection[UUID],
        *,
        revision: int,
        rejected: Mapping[UUID, Floats] | None = None,
    ) -> "Gallery":
        """Make the snapshot that follows this one, which stays as it is.

        Args:
            upserts: all present templates, (s, d), of each subject that is new or has changed.
            removals: subjects that are gone.
            revision: the last change that is applied hereby.
            rejected: those of the whole gallery; None: as they were.
        """
        kept = replace(
            self, revision=revision, rejected=self.rejected if rejected is None else rejected
        )
        gone = set(removals)
        upserts = {subject: rows for subject, rows in upserts.items() if subject not in gone}
        touched = gone | set(upserts)
        if not touched:
            return kept
        *settled, overlay = self.layers
        newest = {
            subject: rows for subject, rows in overlay.templates().items() if subject not in touched
        } | upserts
        settled = [_hiding(layer, touched) for layer in settled]
        live = settled[-1]
        bundle = None if self.trained is None else self.trained.bundle
        # The overlay is copied at every change and the live layer only when it is folded in: with
        # this bound both cost about the same in the long run.
        attachments = {
            subject: nearest
            for subject, nearest in overlay.attachments().items()
            if subject not in touched
        }
        if len(newest) + len(live.hidden) > 256 + 4 * isqrt(len(live.subjects)):
            settled[-1] = Layer.build(
                live.templates() | newest,
                self.dimension,
                bundle,
                like=live.index,
                attachments=live.attachments() | attachments,
            )
            newest = {}
        latest = Layer.build(newest, self.dimension, bundle, attachments=attachments)
        return replace(kept, layers=(*settled, latest))

    def with_trained(self, trained: Trained | None, changed: Collection[UUID]) -> "Gallery":
        """Lay the same subjects over another bundle, or over none.

        Args:
            trained: the bundle.
            changed: subjects whose templates have changed since its watermark.
        """
        templates: dict[UUID, Floats] = {}
        for layer in self.layers:
            templates |= layer.templates()
        return Gallery._of(
            templates,
            dimension=self.dimension,
            revision=self.revision,
            rejected=self.rejected,
            trained=trained,
            changed=changed,
        )

    def templates_of(self, subject_id: UUID) -> Floats:
        """(s, d) templates of a subject.

        Raises:
            KeyError: nobody of that id can be found here.
        """
        for layer in self.layers:
            row = layer.row_of(subject_id)
            if row is not None:
                return layer.samples_of(row)
        raise KeyError(subject_id)

    def search(
        self,
        probes: Floats,
        quality: Floats,
        count: int,
        *,
        without: Sequence[UUID | None] | None = None,
    ) -> list[Search]:
        """Find the nearest subjects of each probe.

        Args:
            probes: (P, d) float32 unit rows.
            quality: (P,) of their pictures, in [0, 1].
            count: how many candidates at most.
            without: for each probe a subject that neither votes nor is found. Of a subject's own
                sample that makes a non-mated search.

        Returns:
            P searches.
        """
        # Candidates are drawn by class mean and ordered by the fused score, so more are drawn
        # than are asked for: a good sample of a spread-out subject must not be missed.
        drawn = max(4 * count, 32) + (without is not None)
        # An empty layer costs as much as a full one, but for its index. The first one is needed.
        first, *others = self.layers
        layers = [first, *(layer for layer in others if len(layer))]
        routed = [layer.route(probes, drawn) for layer in layers]
        searches = []
        for number, probe in enumerate(probes):
            absent = None if without is None else without[number]
            left_out = [None if absent is None else layer.row_of(absent) for layer in layers]
            near = []
            for layer, routes, own in zip(layers, routed, left_out, strict=True):
                rows, cosines = routes.rows[number], routes.scores[number]
                found = rows >= 0 if own is None else (rows >= 0) & (rows != own)
                near.append(Near(layer, rows[found], cosines[found]))
            found_by = search(
                probe, float(quality[number]), near, self.trained, count, left_out=left_out
            )
            if self.rejected:
                marked = tuple(self._marked(each, probe) for each in found_by.candidates)
                found_by = replace(found_by, candidates=marked)
            searches.append(found_by)
        return searches

    def _marked(self, candidate: Candidate, probe: Floats) -> Candidate:
        """Mark a candidate that this very template was said not to be of."""
        templates = self.rejected.get(candidate.subject_id)
        if templates is None or (templates @ probe).max() < SAME_TEMPLATE:
            return candidate
        return replace(candidate, rejected=True)


def _hiding(layer: Layer, subject_ids: Collection[UUID]) -> Layer:
    """The layer without some subjects."""
    rows = layer.subjects.rows_of(list(subject_ids))
    found = frozenset(rows[rows >= 0].tolist())
    return layer if found <= layer.hidden else replace(layer, hidden=layer.hidden | found)
