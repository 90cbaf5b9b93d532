"""Why the embedder of a collection can't be changed, and what is possible instead."""

from collections.abc import Collection
from uuid import UUID

from app.embedders.repository import Counts


class ChangeRefused(Exception):
    """The embedder can't be changed; the message says why, and `hint` what is possible."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


NAME_BOTH = (
    "Name both manifests to this command as to the services, one as COHORT_EMBEDDER and the other "
    "in COHORT_FURTHER_EMBEDDERS."
)
SHOWN_SAMPLES = 10


def refuse_without_pictures(counts: Counts, to: str) -> None:
    """Refuse where a sample has no picture; `to` is the name of the other embedder.

    Raises:
        ChangeRefused: one has none.
    """
    if counts.without_picture:
        raise ChangeRefused(
            f"{counts.without_picture:,} of {counts.total:,} samples have no kept picture, and a "
            "template can't be made from a template.",
            f'What is possible: POST /collections {{"name": "...", "embedder": "{to}"}} makes a '
            "collection beside this one; enrol the people there; then POST "
            '/admin/collections/NAME/switch {"with": "..."} exchanges the names of the two at '
            "once, and clients see nothing of it.",
        )


def refuse_not_found_again(samples: Collection[UUID]) -> None:
    """Refuse where samples' faces were not found again.

    Raises:
        ChangeRefused: some were not.
    """
    if samples:
        listed = ", ".join(sorted(str(each) for each in samples)[:SHOWN_SAMPLES])
        raise ChangeRefused(
            f"The faces of {len(samples):,} samples are not found in their pictures any more: "
            f"{listed}.",
            "Set COHORT_SMALLEST_FACE_PX, COHORT_DETECTION_LONGEST_SIDE_PX and the limits of "
            "pictures as they were at the enrolment, or delete these samples; then call this "
            "again: it goes on.",
        )


def refuse_absent(connections: int, embedder: str) -> None:
    """Refuse where services run without the other embedder.

    Raises:
        ChangeRefused: some connections to the database are of such services.
    """
    if connections:
        raise ChangeRefused(
            f"Services or workers are running without the embedder {embedder!r}: {connections} of "
            "their connections to the database say so.",
            "Add its manifest to COHORT_FURTHER_EMBEDDERS of all of them, restart them one after "
            "the other, and look at `embedders` in the answer of GET /version of each.",
        )
