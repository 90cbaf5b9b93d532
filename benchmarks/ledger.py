"""What a service has acknowledged, and whether each replica holds just that in the end."""

from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from benchmarks.cluster import Replica
from benchmarks.service import Client

PAGE = 1000


@dataclass
class Ledger:
    """Subjects by their ids, with the picture that they were enrolled with."""

    enrolled: dict[str, bytes] = field(default_factory=dict)
    """Acknowledged, and neither deleted nor asked to be."""
    deleted: dict[str, bytes] = field(default_factory=dict)
    """Their deletion was acknowledged."""
    unknown: set[str] = field(default_factory=set)
    """External ids of enrolments that were never answered, or by 503: done or not."""
    perhaps_deleted: dict[str, bytes] = field(default_factory=dict)
    """Subjects whose deletion is under way, or was never answered, or by 503."""


@dataclass(frozen=True)
class Differences:
    """What a replica holds and should not, or the other way round: a sentence each."""

    lost: list[str]
    phantoms: list[str]

    def __add__(self, other: "Differences") -> "Differences":
        return Differences(self.lost + other.lost, self.phantoms + other.phantoms)


def stored(client: Client, collection: str = "default") -> dict[str, str | None]:
    """List a collection's subjects, as the database has them: external ids by ids."""
    subjects: dict[str, str | None] = {}
    cursor = ""
    while True:
        status, page = client.get(f"/subjects?collection={collection}&limit={PAGE}{cursor}")
        assert status == 200, page
        subjects |= {each["subject_id"]: each["external_id"] for each in page["subjects"]}
        if page["next_cursor"] is None:
            return subjects
        cursor = f"&cursor={page['next_cursor']}"


def differences(replica: Replica, ledger: Ledger, *, sample: int | None = None) -> Differences:
    """Compare a replica's tables and its searches with what was acknowledged.

    Args:
        replica: that is asked; nobody may write meanwhile.
        ledger: of what was acknowledged.
        sample: so many of the enrolled are searched for, the newest ones; None: all of them.
    """
    name = replica.process.name
    enrolled, deleted = _newest(ledger.enrolled, sample), _newest(ledger.deleted, sample)
    with closing(replica.client()) as client:
        there = stored(client)
        lost = [f"{each} is not in the tables" for each in ledger.enrolled if each not in there]
        for each, picture in enrolled.items():
            if each not in [face[0] for face in candidates(client, picture) if face]:
                lost.append(f"{name} does not find {each} first of all")
        phantoms = [
            f"{each}, {external_id}, should not be in the tables"
            for each, external_id in there.items()
            if each not in ledger.enrolled
            and each not in ledger.perhaps_deleted
            and external_id not in ledger.unknown
        ]
        phantoms += [
            f"{name} still finds {each}"
            for each, picture in deleted.items()
            if any(each in face for face in candidates(client, picture))
        ]
    return Differences(lost, phantoms)


def _newest(pictures: dict[str, bytes], count: int | None) -> dict[str, bytes]:
    return dict(list(pictures.items())[-(count or len(pictures)) :]) if pictures else {}


def candidates(client: Client, picture: bytes) -> list[list[str]]:
    """Whom each face of a picture looks most like, the best first.

    The enrolled face need not be the first one: drawn pictures now and then have a second one.
    """
    faces: list[dict[str, Any]] = client.identify(picture, {"limit": "50"})["faces"]
    return [[each["subject_id"] for each in face["candidates"]] for face in faces]
