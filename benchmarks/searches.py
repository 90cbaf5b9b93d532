"""Enrolments and searches over HTTP, a few at once, and what the service said of each."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import local
from typing import Any, Self, TypeVar

import numpy as np
from rich.progress import track

from benchmarks.service import Client, Service

CLIENTS = 4
LISTED = 20
"""Candidates asked for: beyond rank 1 they only tell apart a low mate from an absent one."""

Item = TypeVar("Item")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Search:
    """What the service said of the face nearest to the centre of one probe picture."""

    found: bool
    decision: str
    candidates: list[dict[str, Any]]
    latency_ms: float
    """Of the whole request, as the client sees it."""
    search_ms: float
    """Of searching and deciding, by the service's own clock."""

    @property
    def top_score(self) -> float:
        return float(self.candidates[0]["score"]) if self.candidates else -np.inf

    def rank_of(self, external_id: str) -> int:
        """Rank of a subject from 1; 0 where it isn't listed."""
        listed = [candidate["external_id"] for candidate in self.candidates]
        return listed.index(external_id) + 1 if external_id in listed else 0

    def score_of(self, external_id: str) -> float:
        rank = self.rank_of(external_id)
        return float(self.candidates[rank - 1]["score"]) if rank else -np.inf


@dataclass(frozen=True)
class Answers:
    """What the service said of all probes of an open set, and what it decided."""

    names: Sequence[str]
    """The mates' external ids."""
    mated: Sequence[Search]
    non_mated: Sequence[Search]

    @classmethod
    def ask(
        cls,
        service: Service,
        mated: Sequence[tuple[str, Path]],
        non_mated: Sequence[Path],
        *,
        bundle: str | None,
    ) -> Self:
        """Search with all, of mates by name and of strangers; `bundle` as in `search`."""
        return cls(
            [name for name, _ in mated],
            search_all(service, [picture for _, picture in mated], "mated probes", bundle=bundle),
            search_all(service, non_mated, "strangers", bundle=bundle),
        )

    @property
    def all(self) -> list[Search]:
        return [*self.mated, *self.non_mated]

    @property
    def observed_fpir(self) -> float:
        """Share of the strangers who were named, at the threshold that the service chose."""
        return float(np.mean([each.decision == "match" for each in self.non_mated]))

    @property
    def observed_fnir(self) -> float:
        """Share of the mates who were not named, at that threshold."""
        named = [
            each.decision == "match" and each.rank_of(name) == 1
            for each, name in zip(self.mated, self.names, strict=True)
        ]
        return 1 - float(np.mean(named))


def enrol(client: Client, name: str, pictures: Sequence[Path]) -> list[Path]:
    """Enrol a subject; gives the pictures that became samples, none if all were rejected.

    Raises:
        RuntimeError: the service refuses for another reason.
    """
    # Twins are enrolled on purpose, so a likeness to somebody is no reason to refuse.
    status, body = client.post(
        "/enroll",
        [("images", picture.read_bytes()) for picture in pictures],
        {"external_id": name, "select": "center", "allow_conflict": "true"},
    )
    if status == 422:
        return []
    if status != 201:
        raise RuntimeError(f"enrolment answered {status}: {body}")
    return [pictures[accepted["index"]] for accepted in body["accepted"]]


def enrol_all(
    service: Service, gallery: Mapping[str, Sequence[Path]], what: str = "gallery"
) -> dict[str, list[Path]]:
    """Enrol subjects; gives the pictures that became samples, of who has any."""
    kept = over_clients(
        service, lambda client, entry: enrol(client, *entry), list(gallery.items()), what
    )
    return {name: pictures for name, pictures in zip(gallery, kept, strict=True) if pictures}


def search(client: Client, picture: Path, *, bundle: str | None = None) -> Search:
    """Search for the face nearest to the picture's centre.

    Args:
        client: of the service.
        picture: JPEG.
        bundle: id of the one that is in use; None: none is.

    Raises:
        RuntimeError: the answer is an error, or names another bundle.
    """
    data = picture.read_bytes()
    start = time.perf_counter()
    body = client.identify(data, {"limit": str(LISTED)})
    latency_ms = (time.perf_counter() - start) * 1e3
    if body["bundle"] != bundle:
        raise RuntimeError(f"searched with the bundle {body['bundle']}, not with {bundle}")
    search_ms = body["timings_ms"]["search"] + body["timings_ms"]["decide"]
    if not body["faces"]:
        return Search(False, "unknown", [], latency_ms, search_ms)
    face = min(body["faces"], key=distance_to_centre)
    return Search(True, face["decision"], face["candidates"], latency_ms, search_ms)


def search_all(
    service: Service, pictures: Sequence[Path], what: str, *, bundle: str | None = None
) -> list[Search]:
    """`search` for every picture, in order."""
    return over_clients(
        service, lambda client, picture: search(client, picture, bundle=bundle), pictures, what
    )


def distance_to_centre(face: dict[str, Any]) -> float:
    box = face["box_normalized"]
    return float(np.hypot(box["x"] + box["width"] / 2 - 0.5, box["y"] + box["height"] / 2 - 0.5))


def over_clients(
    service: Service, ask: Callable[[Client, Item], Answer], items: Sequence[Item], what: str
) -> list[Answer]:
    """Ask for every item over a few connections at once; answers come in the items' order."""
    threads = local()

    def with_client(item: Item) -> Answer:
        if not hasattr(threads, "client"):
            threads.client = service.client()
            clients.callback(threads.client.close)
        return ask(threads.client, item)

    with ExitStack() as clients, ThreadPoolExecutor(CLIENTS) as pool:
        return list(track(pool.map(with_client, items), total=len(items), description=what))
