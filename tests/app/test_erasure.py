"""Erasure that reaches the weights: delete a subject that a bundle was trained with, and retrain.

Everything is real: faces and their nets, the training in its own process, files, restarts.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
import pytest
from httpx import AsyncClient

from app.gallery.repository import TEMPLATE_DTYPE
from app.settings import Settings
from models.arrays import Floats
from tests.app.subjects.test_service import Picture, enrol

pytestmark = [pytest.mark.torch, pytest.mark.slow]

Serve = Callable[[Settings], AbstractAsyncContextManager[AsyncClient]]
Shown = dict[str, Any]

CLASSES, SAMPLES = 40, 4
"""Made-up subjects beside those of the pictures: enough for several clusters and strangers."""
TRAINING_S = 240.0
RNG = np.random.default_rng(17)


def unit_rows(rows: Floats) -> Floats:
    unit: Floats = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return unit


def write_made_up_subjects(database_url: str) -> None:
    """Write subjects whose samples have a cosine of 0.8 with their means, and the feed's rows."""
    with psycopg.connect(database_url) as connection:
        (collection_id,) = connection.execute("SELECT id FROM collections").fetchone() or ()
        for revision in range(1, CLASSES + 1):
            subject_id = uuid4()
            connection.execute(
                "INSERT INTO subjects (id, collection_id, metadata) VALUES (%s, %s, '{}')",
                [subject_id, collection_id],
            )
            mean = unit_rows(RNG.normal(size=192).astype(np.float32))
            noise = unit_rows(RNG.normal(size=(SAMPLES, 192)).astype(np.float32))
            for template in unit_rows(0.8 * mean + 0.6 * noise):
                connection.execute(
                    "INSERT INTO samples (id, subject_id, template, picture_sha256, quality_score,"
                    " quality_reasons) VALUES (%s, %s, %s, %s, 1, '{}')",
                    [uuid4(), subject_id, template.astype(TEMPLATE_DTYPE).tobytes(), uuid4().bytes],
                )
            connection.execute(
                "INSERT INTO changes (collection_id, revision, subject_id, kind)"
                " VALUES (%s, %s, %s, 'subject_enrolled')",
                [collection_id, revision, subject_id],
            )
        connection.execute("UPDATE collections SET revision = %s", [CLASSES])


async def begin_retraining(client: AsyncClient) -> str:
    begun = await client.post("/admin/retrain", json={"target_size": 10})
    assert begun.status_code == 202, begun.text
    return begun.headers["Location"]


async def until(client: AsyncClient, path: str, holds: Callable[[Shown], bool]) -> Shown:
    """Ask again and again until something holds of the answer."""
    async with asyncio.timeout(TRAINING_S):
        while True:
            shown: Shown = (await client.get(path)).json()
            if holds(shown):
                return shown
            await asyncio.sleep(0.1)


async def published(client: AsyncClient, job_at: str) -> str:
    """Wait for the end of a retraining; give the bundle that was published."""
    job = await until(client, job_at, lambda job: job["finished_at"] is not None)
    assert job["state"] == "published", job
    bundle_id: str = job["bundle_id"]
    return bundle_id


async def completed(client: AsyncClient, receipt_at: str) -> Shown:
    """Wait for a receipt to be completed; bundles that are in nobody's use go by themselves."""
    return await until(client, receipt_at, lambda receipt: receipt["completed_at"] is not None)


async def identify(client: AsyncClient, picture: bytes) -> tuple[str | None, Shown]:
    """Give the bundle that the largest face was searched with, and the face."""
    answer = (await client.post("/identify", files={"image": ("x.jpg", picture)})).json()
    return answer["bundle"], answer["faces"][0]


def shows(face: Shown, subject_id: str) -> bool:
    """Tell whether an answer names a subject anywhere, in any writing."""
    return subject_id in str(face)


def files_naming(folder: Path, subject_id: str) -> Iterator[Path]:
    """Find the files that hold a subject's id, as text or as bytes."""
    sought = UUID(subject_id)
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            if any(each in content for each in (str(sought).encode(), sought.bytes)):
                yield path


async def test_an_erased_subject_is_found_no_more_and_leaves_the_bundles_in_the_end(
    serve: Serve, settings: Settings, database_url: str, picture: Picture
) -> None:
    settings = settings.model_copy(update={"training_python": sys.executable})
    probe = picture("obama2")
    async with serve(settings) as client:
        write_made_up_subjects(database_url)
        await enrol(client, picture("biden"))
        erased = (await enrol(client, picture("obama"), picture("obama3")))["subject_id"]
        first_bundle = await published(client, await begin_retraining(client))
        bundle_id, face = await identify(client, probe)
        assert bundle_id == first_bundle
        assert (face["best"]["subject_id"], face["best"]["source"]) == (erased, "bundle")
        bundles = settings.data_dir / "bundles"
        assert list(files_naming(bundles, erased))

        deleted = await client.delete(f"/subjects/{erased}")
        bundle_id, face = await identify(client, probe)
        assert bundle_id == first_bundle
        assert face["decision"] == "unknown"
        assert not shows(face, erased)
        receipt_at = deleted.headers["Location"]

    async with serve(settings) as client:
        bundle_id, face = await identify(client, probe)
        assert bundle_id == first_bundle
        assert face["decision"] == "unknown"
        assert not shows(face, erased)
        receipt = (await client.get(receipt_at)).json()
        assert receipt["bundles"] == [
            {"bundle_id": first_bundle, "active": True, "cleared_at": None}
        ]
        assert receipt["completed_at"] is None

        second_bundle = await published(client, await begin_retraining(client))
        assert second_bundle != first_bundle
        receipt = await completed(client, receipt_at)
        (traced,) = receipt["bundles"]
        assert (traced["bundle_id"], traced["active"]) == (first_bundle, False)
        assert receipt["completed_at"] >= traced["cleared_at"] > receipt["erased_at"]
        assert (await client.get(f"/admin/bundles/{first_bundle}")).status_code == 404
        assert (bundles / second_bundle).is_dir()
        for folder in (bundles, settings.data_dir / "training"):
            assert not list(files_naming(folder, erased))
        bundle_id, face = await identify(client, probe)
        assert bundle_id == second_bundle
        assert not shows(face, erased)


async def test_who_is_erased_while_a_bundle_is_trained_leaves_it_with_the_next(
    serve: Serve, settings: Settings, database_url: str, picture: Picture
) -> None:
    settings = settings.model_copy(update={"training_python": sys.executable})
    probe = picture("obama2")
    async with serve(settings) as client:
        write_made_up_subjects(database_url)
        erased = (await enrol(client, picture("obama"), picture("obama3")))["subject_id"]
        job_at = await begin_retraining(client)
        await until(client, job_at, lambda job: job["stage"] not in (None, "read"))
        receipt_at = (await client.delete(f"/subjects/{erased}")).headers["Location"]
        # No bundle is there yet, but the training has the templates.
        receipt = (await client.get(receipt_at)).json()
        assert (receipt["bundles"], receipt["completed_at"]) == ([], None)

        first_bundle = await published(client, job_at)
        bundle_id, face = await identify(client, probe)
        assert bundle_id == first_bundle
        assert not shows(face, erased)
        receipt = (await client.get(receipt_at)).json()
        assert [each["bundle_id"] for each in receipt["bundles"]] == [first_bundle]
        assert receipt["completed_at"] is None

        await published(client, await begin_retraining(client))
        await completed(client, receipt_at)
        for folder in ("bundles", "training"):
            assert not list(files_naming(settings.data_dir / folder, erased))
