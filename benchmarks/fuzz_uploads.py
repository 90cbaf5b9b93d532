"""Send the service pictures and archives that were made to break it.

What its memory grows by is looked at while it rests. Between two uploads it is as large as the last
pictures were, which tells of them, and not of what is never given back.
"""

import io
import random
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing

from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.footprint import Footprints
from benchmarks.fuzz_archives import mutated_archive
from benchmarks.fuzz_hooks import PICTURES
from benchmarks.fuzz_pictures import mutated_picture
from benchmarks.service import Answer, Client, Service

ARCHIVES = 0.15
"""Of all uploads."""
SEED = 10
LARGEST = (6300, 6300)
"""Pixels, just what a picture may have."""
STALLED_S = 120.0
"""If no batch is over for so long, none will be."""
WARM_UP = 0.3
"""So many more uploads, before those that count: heaps grow until the largest of each kind have
come together some times, and pools fill."""
RESTS = 40
REST_S = 8.0
"""In which the service gives back what was freed (app/freed_memory.py)."""

Statuses = Mapping[tuple[str, int], int]


def fuzz_uploads(service: Service, *, uploads: int) -> dict[str, float]:
    """Send them one after the other, and see what is answered and what the service becomes.

    Args:
        service: that is used for nothing else meanwhile.
        uploads: how many pictures and archives.

    Returns:
        Figures that begin with `upload`, of all with the warm-up but for `uploads` itself; and
        those of `Footprints`.
    """
    chance = random.Random(SEED)  # noqa: S311  (no secret)
    statuses: Counter[tuple[str, int]] = Counter()
    batches: list[str] = []
    under_way, at_rest = Footprints(service.pid), Footprints(service.pid)
    with closing(service.client()) as client:
        _send_largest(client)
        for _ in track(range(int(uploads * WARM_UP)), description="warming up"):
            statuses[_send(client, chance, batches)] += 1
        _wait_for_batches(client)
        for number in track(range(1, uploads + 1), description="uploads"):
            statuses[_send(client, chance, batches)] += 1
            under_way.sample()
            if number % max(1, uploads // RESTS) == 0:
                _wait_for_batches(client)
                client.close()  # the service would, too: it is idle; the next call connects
                time.sleep(REST_S)
                at_rest.sample()
        unfinished = _wait_for_batches(client)
        not_done = sum(not _is_done(client, batch) for batch in batches)
        is_well, _ = client.get("/readyz")
    _show(statuses)
    return {
        "uploads": float(uploads),
        "upload_5xx": float(sum(n for (_, status), n in statuses.items() if status >= 500)),
        "upload_batches": float(len(batches)),
        "upload_batches_unfinished": float(unfinished),
        "upload_batches_not_done": float(not_done),
        "upload_ready_after": float(is_well == 200),
        **at_rest.figures(),
        "memory_peak_mb": under_way.figures()["memory_peak_mb"],
    }


def _send_largest(client: Client) -> None:
    """Send the largest pictures that are taken: a part of what they need the process keeps."""
    out = io.BytesIO()
    Image.open(io.BytesIO(PICTURES[0])).resize(LARGEST).save(out, "JPEG")
    for _ in range(3):
        for path in ("/identify", "/detect"):
            client.send_form(path, [("image", out.getvalue())])


def _send(client: Client, chance: random.Random, batches: list[str]) -> tuple[str, int]:
    """Send one; gives what was done to it, and the status. Batches that are taken are noted."""
    if chance.random() < ARCHIVES:
        kind, content = mutated_archive(chance, PICTURES)
        answer = _send_archive(client, chance, kind, content)
        if answer.status == 202:
            batches.append(answer.headers["location"])
    else:
        kind, content = mutated_picture(chance, PICTURES)
        answer = _send_picture(client, chance, content)
    return kind, answer.status


def _send_picture(client: Client, chance: random.Random, content: bytes) -> Answer:
    match chance.choice(("/identify", "/detect", "/verify", "/enroll")):
        case "/verify":
            files = [("image_a", content), ("image_b", PICTURES[0])]
            return client.send_form("/verify", files)
        case "/enroll":
            files = [("images", content), ("images", PICTURES[1])]
            answer = client.send_form("/enroll", files, {"allow_conflict": "true"})
            if answer.status == 201:  # else the gallery, and the memory with it, would grow
                subject_id = answer.body["subject"]["subject_id"]
                client.exchange("DELETE", f"/subjects/{subject_id}")
            return answer
        case path:
            return client.send_form(path, [("image", content)])


def _send_archive(client: Client, chance: random.Random, kind: str, content: bytes) -> Answer:
    path = chance.choice(("/enroll/batch", "/identify/batch"))
    if kind == "lines":
        return client.exchange("POST", path, content, "application/x-ndjson")
    return client.send_form(path, [("archive", content)])


def _wait_for_batches(client: Client) -> int:
    """Wait for the batches that were taken; how many are not over when none gets over any more."""
    before, deadline = 0, time.monotonic() + STALLED_S
    while True:
        _, body = client.get("/admin/jobs")
        unfinished = sum(job["finished_at"] is None for job in body["jobs"])
        if unfinished == 0 or time.monotonic() > deadline:
            return unfinished
        if unfinished < before:
            deadline = time.monotonic() + STALLED_S
        before = unfinished
        time.sleep(0.2)


def _is_done(client: Client, batch: str) -> bool:
    """Whether a batch that was taken has come to its end; its items may have failed."""
    status, shown = client.get(batch)
    return status == 200 and shown["state"] == "done"


def _show(statuses: Statuses) -> None:
    table = Table(title="answers to uploads, by what was done to them")
    columns = sorted({status for _, status in statuses})
    table.add_column("kind")
    for status in columns:
        table.add_column(str(status), justify="right")
    for kind in sorted({kind for kind, _ in statuses}):
        table.add_row(kind, *(str(statuses.get((kind, status), "")) for status in columns))
    Console().print(table)
