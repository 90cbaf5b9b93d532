"""Accuracy on Labeled Faces in the Wild: verification, and open-set identification over HTTP.

make bench-lfw LFW=<folder of people> PROTOCOL=<folder with pairs.txt, lfw-same-person.tsv>
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import local
from typing import Any, TypeVar

import numpy as np
from rich.progress import track

from benchmarks.lfw import OpenSet, open_set, read_pairs
from benchmarks.measures import auc, ten_fold_accuracy
from benchmarks.report import write_results
from benchmarks.service import Client, Service, running_service
from models.identifier import QueryPath
from training.embedding.pictures import centre_templates
from training.searching.open_set import fnir, threshold_at_fpir

FPIRS = (0.1, 0.03, 0.01, 0.003, 0.001)
CLIENTS = 4
TARGET_FPIR = 0.01
"""The default of the service, which is asked for no other."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lfw", type=Path, required=True, help="folder with one folder a person")
    parser.add_argument("--protocol", type=Path, required=True, help="folder with pairs.txt")
    arguments = parser.parse_args()
    figures = verification(arguments.lfw, arguments.protocol)
    figures |= identification(open_set(arguments.lfw, arguments.protocol))
    of_three = identification(open_set(arguments.lfw, arguments.protocol, samples=3))
    figures |= {f"{name}_three_samples": value for name, value in of_three.items()}
    write_results("lfw", figures)


def verification(folder: Path, protocol: Path) -> dict[str, float]:
    """View 2: ten folds, the threshold of each taken from the other nine."""
    pairs = read_pairs(protocol, folder)
    pictures = sorted({file for pair in pairs for file in (pair.first, pair.second)})
    templates = dict(
        zip(
            pictures,
            track(
                centre_templates(QueryPath.open(), pictures),
                total=len(pictures),
                description="templates for verification",
            ),
            strict=True,
        )
    )

    def score(first: Path, second: Path) -> float:
        one, other = templates[first], templates[second]
        return -np.inf if one is None or other is None else float(one @ other)

    scores = np.array([score(pair.first, pair.second) for pair in pairs])
    mated = np.array([pair.mated for pair in pairs])
    accuracies = ten_fold_accuracy(scores, mated, np.array([pair.fold for pair in pairs]))
    return {
        "verification_accuracy": float(accuracies.mean()),
        "verification_accuracy_std": float(accuracies.std()),
        "verification_auc": auc(scores, mated),
        "verification_pictures_without_face": sum(row is None for row in templates.values()),
    }


def identification(protocol: OpenSet) -> dict[str, float]:
    """The open-set protocol, every picture through the HTTP API of a service of its own."""
    mated_names = [name for name, _ in protocol.mated]
    with running_service(sys.executable) as service:
        rejected = enrol_all(service, protocol)
        mated = search_all(service, [file for _, file in protocol.mated], "mated probes")
        non_mated = search_all(service, protocol.non_mated, "strangers")

    ranks = np.array([s.rank_of(name) for s, name in zip(mated, mated_names, strict=True)])
    mates = np.array([s.score_of(name) for s, name in zip(mated, mated_names, strict=True)])
    top = np.array([search.top_score for search in non_mated])
    figures = {
        "gallery_subjects": len(protocol.gallery) - rejected,
        "enrolments_rejected": rejected,
        "mated_probes": len(mated),
        "non_mated_probes": len(non_mated),
        "probes_without_face": sum(not search.found for search in (*mated, *non_mated)),
        "rank1": float(np.mean(ranks == 1)),
    }
    for fpir in FPIRS:
        name = f"{fpir:g}".replace(".", "_")
        figures[f"fnir_at_fpir_{name}"] = fnir(mates, ranks, threshold_at_fpir(top, fpir))
    # The thresholds that the service chose by itself, at its default target.
    named_right = [
        search.decision == "match" and rank == 1 for search, rank in zip(mated, ranks, strict=True)
    ]
    figures["target_fpir"] = TARGET_FPIR
    figures["observed_fpir"] = float(np.mean([s.decision == "match" for s in non_mated]))
    figures["observed_fnir"] = 1 - float(np.mean(named_right))
    return figures


def enrol_all(service: Service, protocol: OpenSet) -> int:
    """Enrol the gallery; gives how many subjects were rejected whole."""

    def enrol(client: Client, entry: tuple[str, list[Path]]) -> bool:
        name, pictures = entry
        # Twins are enrolled on purpose, so a likeness to somebody is no reason to refuse.
        status, body = client.post(
            "/enroll",
            [("images", picture.read_bytes()) for picture in pictures],
            {"external_id": name, "select": "center", "allow_conflict": "true"},
        )
        if status not in (201, 422):
            raise RuntimeError(f"enrolment answered {status}: {body}")
        return status == 201

    enrolled = over_clients(service, enrol, list(protocol.gallery.items()), "gallery")
    return enrolled.count(False)


def search_all(service: Service, pictures: Sequence[Path], what: str) -> list[Search]:
    def search(client: Client, picture: Path) -> Search:
        body = client.identify(picture.read_bytes(), {"limit": str(LISTED)})
        if not body["faces"]:
            return Search(found=False, decision="unknown", candidates=[])
        face = min(body["faces"], key=distance_to_centre)
        return Search(found=True, decision=face["decision"], candidates=face["candidates"])

    return over_clients(service, search, pictures, what)


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
        return ask(threads.client, item)

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(track(pool.map(with_client, items), total=len(items), description=what))


if __name__ == "__main__":
    main()
