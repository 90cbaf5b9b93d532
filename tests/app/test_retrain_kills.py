"""SIGKILL in the midst of retrainings: what was served is served on, and nothing is left behind."""

import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from app.embedded_postgres import EmbeddedPostgres
from benchmarks.processes import free_port
from benchmarks.vaults import made_vault
from tests.app.populate import populate
from tests.app.test_durability import PICTURES, ROOT, Service, enrol
from vault.master import read_key_file

pytestmark = [pytest.mark.torch, pytest.mark.slow, pytest.mark.timeout(900)]

SUBJECTS, SAMPLES, DIMENSION = 60, 6, 192
OPTIONS = {"full": True, "target_size": 15}
VICTIMS = ("child", "service", "both")
KILLS = 10
AT_THE_END = 3
"""Of the kills: in the moments around the publication, which are few."""
WAIT_S = 240.0


@pytest.fixture
def service() -> Iterator[Service]:
    # Not under pytest's folder, whose rights pytest itself resets.
    data = Path(tempfile.mkdtemp(prefix="cohort-tests-"))
    service = Service(data, free_port())
    yield service
    if service.process is not None and service.process.poll() is None:
        service.end(signal.SIGKILL)
    EmbeddedPostgres.start(data / "postgres").stop()
    shutil.rmtree(data)


def add_subjects(service: Service, *, subjects: int, seed: int) -> None:
    """Add made-up subjects behind the service's back; it sees them within a second."""
    server = EmbeddedPostgres.start(service.data / "postgres")
    master_key = read_key_file(service.data / "encryption.key")
    populate(
        server.url,
        made_vault(server.url, master_key),
        subjects=subjects,
        samples=SAMPLES,
        dimension=DIMENSION,
        seed=seed,
    )
    server.stop()


def processes_of(service: Service) -> list[psutil.Process]:
    """The launcher, the training process and its workers."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if any(str(service.data / "training") in part for part in process.info["cmdline"] or ())
    ]


def training_process(service: Service) -> psutil.Process | None:
    for process in processes_of(service):
        if not any("launch.py" in part for part in process.info["cmdline"]):
            return process
    return None


def retrain(client: httpx.Client) -> str:
    answer = client.post("/admin/retrain", json=OPTIONS)
    assert answer.status_code == 202, answer.text
    location: str = answer.headers["Location"]
    return location


def until(client: httpx.Client, location: str, *, stage: str | None = None) -> dict[str, Any]:
    """Wait until a job is over, or at a stage."""
    deadline = time.monotonic() + WAIT_S
    while True:
        job: dict[str, Any] = client.get(location).json()
        if job["finished_at"] is not None or (stage is not None and job["stage"] == stage):
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.05)


def searched_with(client: httpx.Client, face: bytes, subject_id: str) -> str:
    """Identify somebody who is enrolled; give the bundle that the answer names."""
    answer = client.post("/identify", files={"image": ("x.jpg", face)})
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["faces"][0]["best"]["subject_id"] == subject_id
    bundle: str = document["bundle"]
    return bundle


def until_only(folder: Path, names: set[str]) -> None:
    """Wait until a folder holds nothing else: what a kill has left goes within seconds."""
    deadline = time.monotonic() + 30
    while (found := {path.name for path in folder.iterdir()}) != names:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_kills_at_any_moment_leave_the_last_good_bundle(service: Service) -> None:
    random_ = random.Random(11)  # noqa: S311
    face = (ROOT / "tests" / "data" / f"{PICTURES[0]}.jpg").read_bytes()
    client = service.start()
    subject_id = enrol(client, face, "somebody")
    add_subjects(service, subjects=SUBJECTS, seed=0)
    started = time.monotonic()
    job = until(client, retrain(client))
    duration_s = time.monotonic() - started
    assert job["state"] == "published", job
    good = job["bundle_id"]
    failed = 0
    for number in range(KILLS):
        # Another gallery, so that the training leads to another bundle.
        add_subjects(service, subjects=1, seed=number + 1)
        location = retrain(client)
        if number < KILLS - AT_THE_END:
            time.sleep(random_.uniform(0.02, 0.95) * duration_s)
        else:
            until(client, location, stage="report")
            time.sleep(random_.uniform(0, 1.5))
        victim = VICTIMS[number % len(VICTIMS)]
        if victim != "service":
            child = training_process(service)
            if child is not None:
                with suppress(psutil.NoSuchProcess):  # it is just over
                    child.kill()
        if victim != "child":
            service.end(signal.SIGKILL)
            client.close()
            client = service.start()
        job = until(client, location)
        assert job["state"] in ("failed", "published"), job
        if victim == "child":  # whoever reads that a job is over finds its folder gone
            assert not list((service.data / "training").iterdir())
        if job["state"] == "published":
            good = job["bundle_id"]
        failed += job["state"] == "failed"
        assert searched_with(client, face, subject_id) == good
        bundles = client.get("/admin/bundles").json()["bundles"]
        assert [each["bundle_id"] for each in bundles if each["active"]] == [good]
        until_only(service.data / "training", set())
        until_only(service.data / "bundles", {each["bundle_id"] for each in bundles})
        assert not processes_of(service)
    # Most kills came in time.
    assert failed >= KILLS - AT_THE_END - 1
    # The last may have published, and would do so again with the same gallery.
    add_subjects(service, subjects=1, seed=KILLS + 1)
    job = until(client, retrain(client))
    assert job["state"] == "published", job
    assert job["bundle_id"] != good
    assert searched_with(client, face, subject_id) == job["bundle_id"]
    client.close()
    service.end(signal.SIGTERM)
    assert not (service.data / "postgres" / "cluster" / "postmaster.pid").exists()
