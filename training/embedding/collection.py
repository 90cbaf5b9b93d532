"""What the service's tables hold of one collection, read in plain SQL.

Training shares no code with the service; migrations/versions says what the tables look like.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import numpy as np
from psycopg import Connection

from models.arrays import Floats
from models.gallery import SAME_TEMPLATE
from training.embedding.listing import FEWEST_SUBJECTS, counted_subjects
from training.embedding.negatives import Negatives
from training.stores.format import EmbedderIdentity, Kind
from training.stores.writer import Batch
from vault.master import MasterKeyInvalid, unwrap_all
from vault.vault import OVERHEAD_BYTES, SealBroken, UnknownDataKey, Vault

BATCH_ROWS = 8192

_TEMPLATES = """
    SELECT subjects.id, samples.id, 0 AS variant, samples.template, samples.quality_score
    FROM subjects JOIN samples ON samples.subject_id = subjects.id
    WHERE subjects.collection_id = %(collection)s
    UNION ALL
    SELECT subjects.id, samples.id, variants.id, variants.template, samples.quality_score
    FROM subjects
    JOIN samples ON samples.subject_id = subjects.id
    JOIN variants ON variants.sample_id = samples.id
    WHERE subjects.collection_id = %(collection)s
    UNION ALL
    SELECT feedback.subject_id, feedback.id, -1, feedback.template, 1
    FROM feedback
    WHERE feedback.collection_id = %(collection)s AND feedback.verdict = 'confirmed'
        AND EXISTS (SELECT FROM samples WHERE samples.subject_id = feedback.subject_id)
        AND feedback.id <> ALL(%(enrolled)s)
    ORDER BY 1, 2, 3
"""
"""Each sample, then its variants, whose numbers begin at 1; confirmed probes have -1. A picture
that was confirmed and enrolled, too, counts as a sample alone: it could be tested on."""

_CONFIRMED = """
    SELECT feedback.subject_id, feedback.id, feedback.template, samples.id, samples.template
    FROM feedback JOIN samples ON samples.subject_id = feedback.subject_id
    WHERE feedback.collection_id = %(collection)s AND feedback.verdict = 'confirmed'
"""
"""Each confirmed probe with each sample of its subject."""

_REJECTED = """
    SELECT feedback.subject_id, feedback.id, feedback.template
    FROM feedback
    WHERE feedback.collection_id = %(collection)s AND feedback.verdict = 'rejected'
        AND EXISTS (SELECT FROM samples WHERE samples.subject_id = feedback.subject_id)
    ORDER BY 1, 2
"""


class GalleryUnusable(ValueError):
    """A collection can't be trained on; the message says why."""


@dataclass(frozen=True)
class Collection:
    """One collection of the service."""

    name: str
    id: UUID
    embedder: EmbedderIdentity
    watermark: int
    """Its revision."""


def open_vault(connection: Connection[Any], master_key: bytes) -> Vault:
    """Open the data keys that the service has stored.

    Raises:
        GalleryUnusable: there is none, or they were sealed with another master key.
    """
    wrapped = connection.execute("SELECT id, wrapped FROM data_keys").fetchall()
    if not wrapped:
        raise GalleryUnusable("nothing is stored encrypted yet: start the service once")
    try:
        return Vault(unwrap_all(master_key, wrapped))
    except MasterKeyInvalid as error:
        raise GalleryUnusable(str(error)) from None


def find_collection(connection: Connection[Any], wanted: str | UUID) -> Collection:
    """Find a collection by its name, or by its id.

    Raises:
        GalleryUnusable: there is none; the message lists those that there are.
    """
    row = connection.execute(
        "SELECT name, id, embedder_name, embedder_sha256, revision FROM collections "
        "WHERE id = %(id)s OR name = %(name)s",
        {"id": None, "name": None} | {"id" if isinstance(wanted, UUID) else "name": wanted},
    ).fetchone()
    if row is None:
        names = connection.execute("SELECT name FROM collections ORDER BY name").fetchall()
        there = ", ".join(repr(each) for (each,) in names) or "none at all"
        raise GalleryUnusable(f"there is no collection {str(wanted)!r}; there are: {there}")
    name, found, embedder_name, embedder_sha256, revision = row
    return Collection(name, found, EmbedderIdentity(embedder_name, embedder_sha256), revision)


def dimension_of(connection: Connection[Any], collection: Collection) -> int:
    """Dimension of the smallest template; `template_batches` refuses any other.

    Raises:
        GalleryUnusable: fewer than two subjects have samples.
    """
    row = connection.execute(
        "SELECT count(DISTINCT samples.subject_id), min(octet_length(samples.template)) "
        "FROM samples JOIN subjects ON samples.subject_id = subjects.id "
        "WHERE subjects.collection_id = %s",
        [collection.id],
    ).fetchone()
    subjects, template_bytes = row or (0, 0)
    if subjects < FEWEST_SUBJECTS:
        raise GalleryUnusable(
            f"collection {collection.name!r} has {counted_subjects(subjects)} with samples "
            f"where at least {FEWEST_SUBJECTS} are needed"
        )
    return (int(template_bytes) - OVERHEAD_BYTES) // 4


def template_batches(
    connection: Connection[Any], collection: Collection, dimension: int, vault: Vault
) -> Iterator[Batch]:
    """Read all rows of a collection, in the order of ids; samples are numbered as sources.

    Variants have no quality of their own: they get their sample's. Probes that a person has
    confirmed stand among them as degraded rows, each with a source of its own: so they are trained
    on and nothing else, as no picture that is held out has their source. Their quality is not
    known, nor asked for: it is 1.

    Raises:
        GalleryUnusable: a template is of another dimension, or can't be opened.
    """
    templates = _Templates(collection, dimension, vault)
    source = -1
    # A named cursor is the server's: the rows come in parts, however many they are.
    with connection.cursor("templates") as cursor:
        enrolled = _enrolled_too(connection, collection, templates)
        cursor.execute(_TEMPLATES, {"collection": collection.id, "enrolled": enrolled})
        while rows := cursor.fetchmany(BATCH_ROWS):
            sources = []
            for _, _, variant, *_ in rows:
                source += variant <= 0
                sources.append(source)
            yield Batch(
                subject_ids=[str(subject) for subject, *_ in rows],
                vectors=np.stack(
                    [
                        templates.of(subject, row, variant, sealed)
                        for subject, row, variant, sealed, _ in rows
                    ]
                ),
                kinds=np.array(
                    [Kind.DEGRADED if row[2] else Kind.ORIGINAL for row in rows], np.uint8
                ),
                sources=np.array(sources, np.int32),
                quality=np.array([row[4] for row in rows], np.float32),
            )


def _enrolled_too(
    connection: Connection[Any], collection: Collection, templates: "_Templates"
) -> list[UUID]:
    """Confirmed probes whose picture is enrolled as well.

    An identification's id holds its template in half precision, so the two are only nearly equal.
    """
    found = set()
    for subject, probe_id, probe, sample_id, sample in connection.execute(
        _CONFIRMED, {"collection": collection.id}
    ):
        cosine = templates.of_feedback(subject, probe_id, probe) @ templates.of_sample(
            subject, sample_id, sample
        )
        if cosine >= SAME_TEMPLATE:
            found.add(probe_id)
    return sorted(found)


def rejected_probes(
    connection: Connection[Any], collection: Collection, dimension: int, vault: Vault
) -> Negatives:
    """Read the probes of which a person has said that they are not of the subject named.

    Raises:
        GalleryUnusable: a template is of another dimension, or can't be opened.
    """
    templates = _Templates(collection, dimension, vault)
    rows = connection.execute(_REJECTED, {"collection": collection.id}).fetchall()
    if not rows:
        return Negatives.none(dimension)
    return Negatives(
        np.stack([templates.of_feedback(*row) for row in rows]),
        np.array([str(subject) for subject, *_ in rows]),
    )


@dataclass(frozen=True)
class _Templates:
    """Opens what is stored of a collection; each is (d,)."""

    collection: Collection
    dimension: int
    vault: Vault

    def of(self, subject: UUID, row: UUID, variant: int, sealed: bytes) -> Floats:
        """Of a row of `_TEMPLATES`: a sample's, one of its variants', or a confirmed probe's."""
        if variant < 0:
            return self.of_feedback(subject, row, sealed)
        if variant > 0:
            return self._opened(row, sealed, purpose="variant", owner=row)
        return self.of_sample(subject, row, sealed)

    def of_sample(self, subject: UUID, sample: UUID, sealed: bytes) -> Floats:
        return self._opened(sample, sealed, purpose="sample", owner=subject)

    def of_feedback(self, subject: UUID, feedback: UUID, sealed: bytes) -> Floats:
        return self._opened(feedback, sealed, purpose="feedback", owner=subject)

    def _opened(self, row: UUID, sealed: bytes, *, purpose: str, owner: UUID) -> Floats:
        try:
            content = self.vault.open(sealed, purpose=purpose, owner=owner)
        except (SealBroken, UnknownDataKey) as error:
            raise GalleryUnusable(
                f"collection {self.collection.name!r}: the template of {purpose} {row} can't be "
                f"opened: {error}; delete that sample or feedback"
            ) from None
        if len(content) != 4 * self.dimension:
            raise GalleryUnusable(
                f"collection {self.collection.name!r}: the template of {purpose} {row} has "
                f"{len(content)} bytes, others {4 * self.dimension}"
            )
        return np.frombuffer(content, "<f4")
