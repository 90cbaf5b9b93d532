"""What has happened to a collection since a bundle was made from it, told by the feed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from training.embedding.gallery import reading

ENROLLED, GAINED, LOST = "subject_enrolled", "samples_added", "sample_deleted"
FEEDBACK = "feedback_given"

_KINDS = """
    SELECT subject_id, array_agg(DISTINCT kind) FROM changes
    WHERE collection_id = %s AND revision > %s AND revision <= %s
    GROUP BY subject_id
"""


@dataclass(frozen=True)
class Changes:
    """Subjects by what happened to them; whoever was deleted stands here too."""

    kinds: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Of `changes.kind`, by the subject's id."""

    def having(self, *kinds: str) -> list[str]:
        """Subjects to whom any of some kinds has happened."""
        return [subject for subject, own in self.kinds.items() if own & {*kinds}]

    def of_templates(self) -> list[str]:
        """Subjects whose samples are others than before; who was deleted is not among them."""
        return self.having(ENROLLED, GAINED, LOST)


def read_changes(database_url: str, collection: UUID, *, after: int, up_to: int) -> Changes:
    """Read the feed between two revisions.

    Args:
        database_url: of Postgres.
        collection: its id.
        after: the last revision that does not count any more.
        up_to: the last one that does.

    Raises:
        GalleryUnusable: the address is not one of Postgres.
        GalleryUnreachable: the database can't be read.
    """
    with reading(database_url) as connection:
        rows: Iterable[tuple[UUID, list[str]]] = connection.execute(
            _KINDS, [collection, after, up_to]
        ).fetchall()
    return Changes({str(subject): frozenset(kinds) for subject, kinds in rows})
