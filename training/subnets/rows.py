"""What one subnet learns from: the rows of its classes, without those that would give it away."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.gallery import class_means as unit_means
from training.stores.store import EmbeddingStore


@dataclass(frozen=True, eq=False)
class SubnetRows:
    """What one subnet of C classes learns from; labels are in [0, C), all vectors unit rows."""

    templates: Floats
    """(n, d) originals, augmented and degraded copies."""
    labels: NDArray[np.int64]
    """(n,)"""
    validation_templates: Floats
    """(v, d) originals of which no row, and no copy of one, is in `templates`."""
    validation_labels: NDArray[np.int64]
    """(v,)"""
    class_means: Floats
    """(C, d) of the originals in `templates`."""

    @classmethod
    def of(
        cls,
        store: EmbeddingStore,
        classes: NDArray[np.int32],
        *,
        training: NDArray[np.bool_],
        validation: NDArray[np.bool_],
    ) -> Self:
        """Take the rows of some classes.

        Args:
            store: n rows.
            classes: (C,) ascending labels of the store; the k-th becomes label k.
            training: (n,) rows that may be trained on. Copies of the validation's pictures may
                be among them: they are left out.
            validation: (n,) originals that training is stopped by.

        Raises:
            ValueError: a validation row is no original, none is of these classes, or a class
                has no original to be trained on; the message says which.
        """
        if (validation & ~store.originals).any():
            row = np.flatnonzero(validation & ~store.originals)[0]
            raise ValueError(f"row {row} is a copy: only originals can be validated on")
        mine = np.isin(store.labels, classes)
        held_out = np.flatnonzero(mine & validation)
        if not len(held_out):
            raise ValueError(f"none of the {len(classes)} classes has a validation row")
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
        return cls(
            templates=store.vectors[rows].astype(np.float32),
            labels=np.searchsorted(classes, store.labels[rows]),
            validation_templates=store.vectors[held_out].astype(np.float32),
            validation_labels=np.searchsorted(classes, store.labels[held_out]),
            class_means=unit_means(
                store.vectors[originals].astype(np.float32), np.append(offsets, len(originals))
            ),
        )
