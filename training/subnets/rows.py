"""What one subnet learns from: the rows of its classes, without those that would give it away."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.class_means import class_means
from training.embedding.negatives import Negatives
from training.stores.format import TRAINABLE, Kind
from training.stores.store import EmbeddingStore

VALIDATED_ON = (Kind.ORIGINAL, Kind.DEGRADED)
"""Degraded copies too: on clean ones alone, the class means that subnets start from are hardly
ever wrong, and what training gains for poor probes would not be seen."""


@dataclass(frozen=True, eq=False)
class SubnetRows:
    """What one subnet of C classes learns from; labels are in [0, C), all vectors unit rows."""

    templates: Floats
    """(n, d) originals, augmented and degraded copies."""
    labels: NDArray[np.int64]
    """(n,)"""
    validation_templates: Floats
    """(v, d) originals and degraded copies of pictures of which no row is in `templates`; v may be
    0."""
    validation_labels: NDArray[np.int64]
    """(v,)"""
    class_means: Floats
    """(C, d) of the originals in `templates`."""
    negatives: Floats = field(default_factory=lambda: np.empty((0, 0), np.float32))
    """(q, d) hard negatives, each of one class; q may be 0."""
    negative_labels: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """(q,) the class that each is not of."""

    @classmethod
    def of(
        cls,
        store: EmbeddingStore,
        classes: NDArray[np.int32],
        *,
        training: NDArray[np.bool_],
        validation: NDArray[np.bool_],
        negatives: Negatives | None = None,
    ) -> Self:
        """Take the rows of some classes.

        Args:
            store: n rows.
            classes: (C,) ascending labels of the store; the k-th becomes label k.
            training: (n,) rows that may be trained on. Copies of the validation's pictures may
                be among them: they are left out.
            validation: (n,) originals and degraded copies that training is stopped by. There
                need not be any of these classes.
            negatives: of any subjects of the store; None: there are none.

        Raises:
            ValueError: a training row is a hard probe, a validation row is neither original nor
                degraded, or a class has no original to be trained on; the message says which.
        """
        hard = np.flatnonzero(training & ~np.isin(store.kinds, TRAINABLE))
        if len(hard):
            kind = Kind(store.kinds[hard[0]]).name.lower()
            raise ValueError(f"row {hard[0]} is a {kind} probe: those are never trained on")
        other = np.flatnonzero(validation & ~np.isin(store.kinds, VALIDATED_ON))
        if len(other):
            kind = Kind(store.kinds[other[0]]).name.lower()
            raise ValueError(f"row {other[0]} is {kind}: that is not validated on")
        mine = np.isin(store.labels, classes)
        held_out = np.flatnonzero(mine & validation)
        # A copy of a picture that is validated on would give its answer away.
        copies = np.isin(store.sources, store.sources[held_out])
        rows = np.flatnonzero(mine & training & ~copies)
        rows = rows[np.argsort(store.labels[rows], kind="stable")]
        originals = rows[store.originals[rows]]
        offsets = np.searchsorted(store.labels[originals], classes)
        empty = np.flatnonzero(np.diff([*offsets, len(originals)]) == 0)
        if len(empty):
            subject = store.subject_ids[classes[empty[0]]]
            raise ValueError(f"subject {subject!r} has no original vector to be trained on")
        if negatives is None:
            negatives = Negatives.none(store.dimension)
        labels = negatives.labels(store.subject_ids)
        rejected = np.isin(labels, classes)
        return cls(
            templates=store.vectors[rows].astype(np.float32),
            labels=np.searchsorted(classes, store.labels[rows]),
            validation_templates=store.vectors[held_out].astype(np.float32),
            validation_labels=np.searchsorted(classes, store.labels[held_out]),
            class_means=class_means(
                store.vectors[originals].astype(np.float32), np.append(offsets, len(originals))
            ),
            negatives=negatives.templates[rejected].astype(np.float32),
            negative_labels=np.searchsorted(classes, labels[rejected]),
        )
