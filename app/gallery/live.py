"""One collection as it is searched: gallery, thresholds and what its subjects are called."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Self, TypeVar
from uuid import UUID

import numpy as np

from app.gallery.repository import Label, StoredSubjects
from app.tables import CollectionRow
from models.arrays import Floats
from models.calibration import Calibration
from models.gallery import Gallery
from models.self_calibration import SelfCalibration
from models.trained import Trained
from models.zoo import EmbedderId

T = TypeVar("T")

CHANGED_SHARE = 0.02
"""Of the subjects: after so many changes the thresholds are taken anew. Until then they follow the
size of the gallery alone, which moves by no more than that."""


@dataclass(frozen=True)
class LiveGallery:
    """Immutable: a reader finishes on the one it took."""

    collection_id: UUID
    collection_name: str
    embedder_name: str
    embedder_sha256: str
    gallery: Gallery
    calibration: SelfCalibration
    calibrated_at: int
    """Revision of the gallery that the calibration is of."""
    labels: Mapping[UUID, Label] = field(repr=False)

    @classmethod
    def build(
        cls,
        collection: CollectionRow,
        stored: StoredSubjects,
        prior: Calibration,
        trained: Trained | None = None,
        changed: Collection[UUID] = (),
    ) -> Self:
        """Make the first gallery of a collection, as of the revision in its row.

        Args:
            collection: its row.
            stored: all its subjects.
            prior: of the embedder.
            trained: its active bundle.
            changed: subjects whose templates have changed since the bundle's watermark.
        """
        gallery = Gallery.build(
            list(stored.labels),
            stored.owners,
            stored.templates,
            dimension=stored.templates.shape[1],
            revision=collection.revision,
            rejected=stored.rejected,
            trained=trained,
            changed=changed,
        )
        return cls(
            collection_id=collection.id,
            collection_name=collection.name,
            embedder_name=collection.embedder_name,
            embedder_sha256=collection.embedder_sha256,
            gallery=gallery,
            calibration=SelfCalibration.of(prior, gallery),
            calibrated_at=collection.revision,
            labels=stored.labels,
        )

    @property
    def embedder(self) -> EmbedderId:
        """That its templates are of."""
        return EmbedderId(self.embedder_name, self.embedder_sha256)

    @property
    def bundle_id(self) -> str | None:
        """Of the bundle that it is searched with."""
        return None if self.gallery.trained is None else self.gallery.trained.id

    def with_changes(self, changed: set[UUID], stored: StoredSubjects, revision: int) -> Self:
        """Make the gallery that follows.

        Args:
            changed: subjects that are new, different or gone, or only called otherwise.
            stored: those of them that are not gone, as they are now.
            revision: of the feed, up to which they were read.
        """
        present = {
            subject_id: templates
            for position, subject_id in enumerate(stored.labels)
            if len(templates := stored.templates[stored.owners == position])
        }
        # A new name, or feedback, is no reason to search a trained subject as a live one.
        upserts = {
            subject_id: templates
            for subject_id, templates in present.items()
            if not _holds(self.gallery, subject_id, templates)
        }
        gallery = self.gallery.with_changes(
            upserts,
            changed - set(present),
            revision=revision,
            rejected=_without(self.gallery.rejected, changed) | stored.rejected,
        )
        # Counted here, in a thread: the first request that asks for it would wait with all others.
        gallery.comparisons  # noqa: B018
        return replace(self, gallery=gallery, labels=_without(self.labels, changed) | stored.labels)

    def with_trained(
        self, trained: Trained | None, changed: Collection[UUID], prior: Calibration
    ) -> Self:
        """Make the same gallery, to be searched with another bundle."""
        gallery = self.gallery.with_trained(trained, changed)
        return replace(self, gallery=gallery).calibrated(prior)

    @property
    def hides_deleted(self) -> bool:
        """Whether templates of deleted subjects are in memory still, where no search sees them."""
        return any(
            layer.subjects.id_of(row) not in self.labels
            for layer in self.gallery.layers
            for row in layer.hidden
        )

    @property
    def is_calibrated(self) -> bool:
        """Whether the thresholds are of about this gallery."""
        changes = self.gallery.revision - self.calibrated_at
        return changes <= CHANGED_SHARE * len(self.gallery)

    def calibrated(self, prior: Calibration) -> Self:
        """Make the same gallery with thresholds of its own."""
        return replace(
            self,
            calibration=SelfCalibration.of(prior, self.gallery),
            calibrated_at=self.gallery.revision,
        )

    def named(self, name: str) -> Self:
        """Make the same gallery under another name."""
        return replace(self, collection_name=name)

    def searches_like(self, other: "LiveGallery") -> bool:
        """Tell whether another gallery of the collection has the same embedder and bundle."""
        return (self.embedder, self.bundle_id) == (other.embedder, other.bundle_id)

    def with_calibration_of(self, other: "LiveGallery") -> Self:
        """Make the same gallery with the thresholds that were made of an earlier one."""
        return replace(self, calibration=other.calibration, calibrated_at=other.calibrated_at)


def _holds(gallery: Gallery, subject_id: UUID, templates: Floats) -> bool:
    try:
        return np.array_equal(gallery.templates_of(subject_id), templates)
    except KeyError:
        return False


def _without(mapping: Mapping[UUID, T], keys: set[UUID]) -> dict[UUID, T]:
    left = dict(mapping)
    for key in keys:
        left.pop(key, None)
    return left
