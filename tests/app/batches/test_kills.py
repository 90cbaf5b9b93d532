"""SIGKILL of a service that runs a batch itself: the next start goes on where it was."""

import io
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image, ImageEnhance

from app.embedded_postgres import EmbeddedPostgres
from benchmarks.processes import free_port
from tests.app.batches.made import base64_of, ndjson_of
from tests.app.test_durability import Service

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PEOPLE = 60
KILLED_AFTER = (5, 25)


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


def until(
    client: httpx.Client, location: str, reached: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    deadline = time.monotonic() + 120
    while True:
        batch: dict[str, Any] = client.get(location).json()
        if reached(batch):
            return batch
        assert time.monotonic() < deadline, batch
        time.sleep(0.02)


def test_a_killed_service_goes_on_with_its_batch(
    service: Service, picture: Callable[[str], bytes]
) -> None:
    original = Image.open(io.BytesIO(picture("obama")))
    lines: list[dict[str, Any]] = []
    for number in range(PEOPLE):
        content = io.BytesIO()
        ImageEnhance.Brightness(original).enhance(0.8 + number / 100).save(content, "JPEG")
        lines.append({"name": f"n {number}", "images": [base64_of(content.getvalue())]})
    client = service.start()
    answer = client.post(
        "/enroll/batch",
        content=ndjson_of(*lines),
        headers={"Content-Type": "application/x-ndjson"},
        params={"allow_conflict": "true"},
    )
    assert answer.status_code == 202, answer.text
    location = answer.headers["Location"]
    for done in KILLED_AFTER:
        until(client, location, lambda batch, done=done: batch["done"] >= done)  # type: ignore[misc]
        service.end(signal.SIGKILL)
        client.close()
        client = service.start()
    batch = until(client, location, lambda batch: batch["finished_at"] is not None)
    assert (batch["state"], batch["done"], batch["failed"]) == ("done", PEOPLE, 0)
    subjects = client.get("/subjects", params={"limit": 1000}).json()["subjects"]
    assert sorted(each["name"] for each in subjects) == sorted(line["name"] for line in lines)
    assert {each["sample_count"] for each in subjects} == {1}
    job = client.get(f"/admin/jobs/{batch['job_id']}").json()
    assert job["attempts"] == len(KILLED_AFTER) + 1
    client.close()
    service.end(signal.SIGTERM)
