"""A layer of the gallery: subjects that were indexed together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol, Self
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.bundle import Bundle
from models.class_means import class_means
from models.half import as_float32
from models.router import ClassMeanIndex, Hidden, Routes

IMPRINTED = -1
"""Column of a subject that no subnet has an output for: its weight is its class mean."""


class Subjects(Protocol):
    """Who is in the rows of a layer."""

    def __len__(self) -> int: ...

    def id_of(self, row: int) -> UUID:
        """The subject in a row."""
        ...

    def rows_of(self, subject_ids: Sequence[UUID]) -> NDArray[np.int64]:
        """(n,) row of each subject; -1 for who is not in the layer."""
        ...


class ListedSubjects:
    """Subjects by a list."""

    def __init__(self, subject_ids: Sequence[UUID]) -> None:
        self._ids = tuple(subject_ids)
        self._rows = {subject: row for row, subject in enumerate(self._ids)}

    def __len__(self) -> int:
        return len(self._ids)

    def id_of(self, row: int) -> UUID:
        return self._ids[row]

    def rows_of(self, subject_ids: Sequence[UUID]) -> NDArray[np.int64]:
        return np.array([self._rows.get(subject, -1) for subject in subject_ids], np.int64)


class BundleSubjects:
    """The classes of a bundle, looked up on disk: ten million cost no memory here."""

    def __init__(self, bundle: Bundle) -> None:
        self._bundle = bundle

    def __len__(self) -> int:
        return len(self._bundle.subject_ids)

    def id_of(self, row: int) -> UUID:
        return UUID(self._bundle.id_of(row))

    def rows_of(self, subject_ids: Sequence[UUID]) -> NDArray[np.int64]:
        return self._bundle.rows_of([str(subject) for subject in subject_ids])


@dataclass(frozen=True, eq=False)
class Memberships:
    """In which clusters each of N subjects is, and which output of their subnets is its own."""

    offsets: NDArray[np.int64]
    """(N + 1,) subject i has the entries `offsets[i]:offsets[i + 1]`, one at least."""
    clusters: NDArray[np.int32]
    """(E,)"""
    columns: NDArray[np.int32]
    """(E,) output of the cluster's subnet, or `IMPRINTED`."""

    @classmethod
    def attached(cls, nearest: NDArray[np.int64], bundle: Bundle) -> Self:
        """Put subjects into the clusters of (n,) classes of a bundle."""
        entries, owners = entries_of(bundle.class_offsets, nearest)
        counts = np.bincount(owners, minlength=len(nearest))
        return cls(
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            clusters=bundle.class_clusters[entries],
            columns=np.full(len(entries), IMPRINTED, np.int32),
        )

    def of(
        self, rows: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
        """All entries of some rows: (e,) place in `rows`, (e,) cluster, (e,) column."""
        entries, owners = entries_of(self.offsets, rows)
        return owners, self.clusters[entries], self.columns[entries]


def entries_of(
    offsets: NDArray[np.int64], rows: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """List what belongs to some rows of a table whose row i owns `offsets[i]:offsets[i + 1]`.

    Returns:
        (e,) entries, row after row, and (e,) the place in `rows` of each one's owner.
    """
    starts = offsets[rows]
    counts = offsets[rows + 1] - starts
    if (counts == 1).all():
        return starts, np.arange(len(rows))
    owners = np.repeat(np.arange(len(rows)), counts)
    firsts = np.cumsum(counts) - counts
    return np.arange(len(owners)) + (starts - firsts)[owners], owners


@dataclass(frozen=True, eq=False)
class Layer:
    """N subjects. Rows of one subject's samples stand side by side."""

    subjects: Subjects
    samples: NDArray[np.floating[Any]] = field(repr=False)
    """(S, d) unit templates, ordered by subject: float32, or a memory map of float16."""
    offsets: NDArray[np.int64]
    """(N + 1,) samples of row i are `samples[offsets[i]:offsets[i + 1]]`; none only if hidden."""
    index: ClassMeanIndex = field(repr=False)
    """Over the class means, which it holds."""
    memberships: Memberships | None = field(repr=False)
    """None: there is no bundle, hence no clusters."""
    hidden: frozenset[int] = frozenset()
    """Rows of subjects that are gone or stand, changed, in a later layer."""
    nearest: NDArray[np.int64] | None = field(default=None, repr=False)
    """(N,) row in the bundle of the class that each is attached to; None for the bundle's own."""

    @classmethod
    def build(
        cls,
        templates: Mapping[UUID, Floats],
        dimension: int,
        bundle: Bundle | None,
        *,
        like: ClassMeanIndex | None = None,
        attachments: Mapping[UUID, int] | None = None,
    ) -> Self:
        """Index subjects; one without any sample is left out, for nothing can find it.

        Args:
            templates: (s, d) unit rows of each subject.
            dimension: d, needed where there is no template.
            bundle: to whose clusters they are attached.
            like: an index of nearly the same subjects, whose codes may be used again.
            attachments: `Layer.attachments` of subjects that are as they were.
        """
        templates = {subject: rows for subject, rows in templates.items() if len(rows)}
        counts = [len(rows) for rows in templates.values()]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        samples = (
            np.concatenate(list(templates.values()), dtype=np.float32)
            if templates
            else np.empty((0, dimension), np.float32)
        )
        means = class_means(samples, offsets)
        nearest = None
        if bundle is not None:
            nearest = _nearest_classes(tuple(templates), means, bundle, attachments or {})
        return cls(
            subjects=ListedSubjects(tuple(templates)),
            samples=samples,
            offsets=offsets,
            index=ClassMeanIndex.build(means, like=like),
            memberships=(
                None if bundle is None or nearest is None else Memberships.attached(nearest, bundle)
            ),
            nearest=nearest,
        )

    @classmethod
    def trained(cls, bundle: Bundle, templates: Mapping[UUID, Floats]) -> Self:
        """Lay the present samples over the classes of a bundle.

        Args:
            bundle: with N classes.
            templates: (s, d) unit rows of subjects that are as they were when it was trained;
                whoever is in the bundle and not here is hidden.
        """
        subjects = BundleSubjects(bundle)
        rows = subjects.rows_of(list(templates))
        counts = np.zeros(len(subjects), np.int64)
        counts[rows] = [len(each) for each in templates.values()]
        by_row = dict(zip(rows.tolist(), templates.values(), strict=True))
        ordered = [by_row[row] for row in sorted(by_row)]
        return cls(
            subjects=subjects,
            samples=(
                np.concatenate(ordered, dtype=np.float32)
                if ordered
                else np.empty((0, bundle.manifest.dimension), np.float32)
            ),
            offsets=np.concatenate([[0], np.cumsum(counts)]),
            index=bundle.index,
            memberships=Memberships(
                bundle.class_offsets, bundle.class_clusters, bundle.class_columns
            ),
            hidden=frozenset(np.flatnonzero(counts == 0).tolist()),
        )

    def __len__(self) -> int:
        """Count the subjects that can be found."""
        return len(self.subjects) - len(self.hidden)

    @cached_property
    def passed_over(self) -> Hidden | None:
        """`hidden` as searches need it; None: nobody is."""
        return Hidden.of(self.hidden, len(self.subjects)) if self.hidden else None

    def sample_counts(self) -> NDArray[np.int64]:
        """(n,) samples of each subject that can be found."""
        return np.delete(np.diff(self.offsets), list(self.hidden))

    def row_of(self, subject_id: UUID) -> int | None:
        """Row of a subject that can be found here."""
        row = int(self.subjects.rows_of([subject_id])[0])
        return None if row < 0 or row in self.hidden else row

    def samples_of(self, row: int) -> Floats:
        """(s, d) templates of the subject in this row."""
        return as_float32(self.samples[self.offsets[row] : self.offsets[row + 1]])

    def templates(self) -> dict[UUID, Floats]:
        """Templates of all who can be found."""
        return {
            self.subjects.id_of(row): self.samples_of(row)
            for row in range(len(self.subjects))
            if row not in self.hidden
        }

    def attachments(self) -> dict[UUID, int]:
        """The class of the bundle that each who can be found is attached to."""
        if self.nearest is None:
            return {}
        return {
            self.subjects.id_of(row): nearest
            for row, nearest in enumerate(self.nearest.tolist())
            if row not in self.hidden
        }

    def route(self, probes: Floats, count: int) -> Routes:
        """Find the nearest class means of (P, d) unit probes, hidden ones passed over."""
        return self.index.search(probes, count, self.passed_over)

    def best_samples(self, probe: Floats, rows: NDArray[np.int64]) -> Floats:
        """(C,) cosine of a (d,) probe and the nearest sample of each of (C,) subjects."""
        if not len(rows):
            return np.empty(0, np.float32)
        entries, owners = entries_of(self.offsets, rows)
        cosines: Floats = as_float32(self.samples[entries]) @ probe
        if len(entries) == len(rows):
            return cosines
        firsts = np.searchsorted(owners, np.arange(len(rows)))
        best: Floats = np.maximum.reduceat(cosines, firsts)
        return best


def _nearest_classes(
    subject_ids: Sequence[UUID], means: Floats, bundle: Bundle, known: Mapping[UUID, int]
) -> NDArray[np.int64]:
    """(N,) row of the class mean of a bundle that is nearest to each of (N, d) class means."""
    nearest = np.array([known.get(subject, -1) for subject in subject_ids], np.int64)
    unknown = np.flatnonzero(nearest < 0)
    if len(unknown):
        nearest[unknown] = bundle.index.search(means[unknown], 1).rows[:, 0]
    return nearest
