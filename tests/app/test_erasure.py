"""Erasure that reaches the weights: delete a subject that a bundle was trained with, and retrain.

Everything is real: faces and their nets, the training in its own process, files, restarts.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from pydantic import SecretStr

from app.gallery.repository import TEMPLATE_DTYPE
from app.main import create_app
from app.retention.keeper import forget_in_memory
from app.services import Services
from app.settings import Settings
from benchmarks.vaults import made_vault
from models.arrays import Floats
from models.bundle import find_rows, read_subject_ids
from models.bundle_format import CLASS_MEANS
from models.identifier import QueryPath
from tests.app import traces
from tests.app.batches.made import zip_of
from tests.app.batches.test_routes import items_of, over, send
from tests.app.conftest import client_of
from tests.app.jobs.workers import Worker, workers
from tests.app.subjects.test_service import Picture, enrol
from vault.master import read_key_file
from vault.vault import Vault

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


def write_made_up_subjects(database_url: str, vault: Vault) -> None:
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
                content = template.astype(TEMPLATE_DTYPE).tobytes()
                sealed = vault.seal(content, purpose="sample", owner=subject_id)
                connection.execute(
                    "INSERT INTO samples (id, subject_id, template, picture_sha256, quality_score,"
                    " quality_reasons) VALUES (%s, %s, %s, %s, 1, '{}')",
                    [uuid4(), subject_id, sealed, uuid4().bytes],
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
        vault = made_vault(database_url, read_key_file(settings.data_dir / "encryption.key"))
        write_made_up_subjects(database_url, vault)
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
        vault = made_vault(database_url, read_key_file(settings.data_dir / "encryption.key"))
        write_made_up_subjects(database_url, vault)
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


NAME, NEW_NAME = "Zaphod Q. Trillianson", "Zaphod Renamed-Trillianson"
WHO = {
    "name": NAME,
    "external_id": "ext-zaphod-4711",
    "metadata": '{"badge": "badge-of-zaphod-0815"}',
    "consent_reference": "consent-zaphod-2026/17",
}
IDS_MAY_STAY = {
    # The receipt, the feed and the audit log: ids alone, which name nobody any more.
    "erasures.subject_id",
    "changes.subject_id",
    "audit.subject_ids",
    # A report on somebody else whose picture was refused for being this subject's: for some days.
    "job_items.report",
}


class Service:
    """A service of this process that can be looked into."""

    def __init__(self, app: FastAPI, client: AsyncClient, redis_url: str) -> None:
        self.app = app
        self.client = client
        self.redis_url = redis_url
        self.services: Services = app.state.services

    @property
    def database_url(self) -> str:
        return self.services.database.address

    @property
    def vault(self) -> Vault:
        return self.services.vault

    def traces_of(self, subject_id: str, pictures: Sequence[bytes]) -> dict[str, list[bytes]]:
        """All that an enrolled subject is known by, from what is stored of it."""
        known = {
            "name": traces.of_text(NAME),
            "new name": traces.of_text(NEW_NAME),
            "external id": traces.of_text(WHO["external_id"]),
            "metadata": traces.of_text("badge-of-zaphod-0815"),
            "consent": traces.of_text(WHO["consent_reference"]),
            "picture": [each[1000:1050] for each in pictures],
            "picture's digest": [
                writing
                for each in pictures
                for writing in (sha256(each).digest(), sha256(each).hexdigest().encode())
            ],
        }
        with psycopg.connect(self.database_url) as connection:
            samples = connection.execute(
                "SELECT id, template FROM samples WHERE subject_id = %s", [subject_id]
            ).fetchall()
            variants = connection.execute(
                "SELECT sample_id, variants.template FROM variants"
                " JOIN samples ON samples.id = sample_id WHERE subject_id = %s",
                [subject_id],
            ).fetchall()
            feedback = connection.execute(
                "SELECT template FROM feedback WHERE subject_id = %s", [subject_id]
            ).fetchall()
        assert len(samples) == len(pictures)
        assert variants
        assert feedback
        owner = UUID(subject_id)
        sealed = (
            [(each, "sample", owner) for _, each in samples]
            + [(each, "variant", sample_id) for sample_id, each in variants]
            + [(each, "feedback", owner) for (each,) in feedback]
        )
        known["sample's id"] = [
            writing for sample_id, _ in samples for writing in traces.of_uuid(sample_id)
        ]
        known["template"] = [
            writing
            for content, purpose, whose in sealed
            for writing in traces.of_template(
                np.frombuffer(self.vault.open(content, purpose=purpose, owner=whose), "<f4")
            )
        ]
        return known

    def stored(self) -> Iterator[tuple[str, bytes]]:
        yield from traces.in_tables(self.database_url, self.vault)
        yield from traces.in_redis(self.redis_url)


@asynccontextmanager
async def working(folder: Path, settings: Settings) -> AsyncIterator[Worker]:
    """Have a worker that trains."""
    with workers(folder) as start:
        yield await asyncio.to_thread(
            start, settings, COHORT_TRAINING_PYTHON=sys.executable, COHORT_LOG_LEVEL="DEBUG"
        )


def trained_with(folder: Path, subject_id: str, dimension: int) -> list[bytes]:
    """The class mean of a subject in a bundle, as the bundle has it."""
    (row,) = find_rows(read_subject_ids(folder), [subject_id])
    means = np.fromfile(folder / CLASS_MEANS, "<f2").reshape(-1, dimension)
    return [means[row, :16].tobytes()]


async def live_a_life(client: AsyncClient, picture: Picture) -> str:
    """Enrol somebody, and do with them whatever can be done; give the subject's id."""
    files = [("images", (f"{NAME}.jpg", picture(each))) for each in ("obama", "obama3")]
    enrolment = {"Idempotency-Key": "life-of-zaphod"}
    made = await client.post("/enroll", files=files, data=WHO, headers=enrolment)
    assert made.status_code == 201, made.text
    again = await client.post("/enroll", files=files, data=WHO, headers=enrolment)
    assert again.headers["Idempotency-Replayed"] == "true"
    subject_id: str = made.json()["subject"]["subject_id"]

    asked = await client.post("/identify", files={"image": (f"{NAME}.jpg", picture("obama2"))})
    (face, *_) = asked.json()["faces"]
    assert face["best"]["name"] == NAME
    told = {"identification_id": face["identification_id"], "verdict": "confirmed"}
    said = await client.post(f"/subjects/{subject_id}/feedback", json=told)
    assert said.status_code == 201, said.text

    # Recognised in one batch, and in another one told apart from somebody of the same face.
    for path, named in (("/identify/batch", "door.jpg"), ("/enroll/batch", "another/1.jpg")):
        batch = await send(client, path, zip_of({named: picture("obama2")}))
        assert (await over(client, batch))["state"] == "done"
        (item,) = await items_of(client, batch)
        assert shows(item, subject_id)

    renamed = await client.patch(f"/subjects/{subject_id}", json={"name": NEW_NAME})
    assert renamed.json()["consent_reference"] == WHO["consent_reference"]
    listed = await client.get("/subjects", params={"external_id": WHO["external_id"]})
    assert listed.json()["subjects"][0]["name"] == NEW_NAME
    sample = renamed.json()["samples"][0]["sample_id"]
    kept = await client.get(f"/subjects/{subject_id}/samples/{sample}/picture")
    assert kept.content in (picture("obama"), picture("obama3"))
    verified = await client.post(
        "/verify", files={"image": ("x", picture("obama2"))}, data={"subject_id": subject_id}
    )
    assert verified.json()["match"]
    return subject_id


async def test_nothing_is_left_of_an_erased_subject_but_ids(
    settings: Settings,
    query_path: QueryPath,
    redis_url: str,
    picture: Picture,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Searches everything, before the deletion to see that it would be found, and after it."""
    settings = settings.model_copy(
        update={
            "training_python": sys.executable,
            "redis_url": SecretStr(redis_url),
            "log_level": "DEBUG",
        }
    )
    pictures = [picture("obama"), picture("obama3")]
    app = create_app(settings, open_path=lambda _: query_path)
    async with (
        app.router.lifespan_context(app),
        client_of(app, settings) as client,
        working(tmp_path, settings) as worker,
    ):
        service = Service(app, client, redis_url)
        await client.patch("/collections/default", json={"keep_pictures": True})
        write_made_up_subjects(service.database_url, service.vault)
        await enrol(client, picture("biden"))
        subject_id = await live_a_life(client, picture)
        first_bundle = await published(client, await begin_retraining(client))
        async with asyncio.timeout(20):  # the worker has published it, and it has to come here
            searched_with = None
            while searched_with != first_bundle:
                searched_with, face = await identify(client, picture("obama2"))
        assert face["best"]["subject_id"] == subject_id

        known = service.traces_of(subject_id, pictures)
        ids = {"subject's id": traces.of_uuid(subject_id)}
        bundle_folder = settings.data_dir / "bundles" / first_bundle / "bundle"
        learnt = {"class mean": trained_with(bundle_folder, subject_id, 192)}
        assert {what for what, _ in traces.found(known | ids, service.stored())} == {*known, *ids}
        assert {"subject's id", "new name", "external id", "template", "class mean"} <= {
            what for what, _ in traces.found(known | ids | learnt, traces.in_memory(app))
        }
        assert traces.found(ids | learnt, traces.in_files(settings.data_dir))

        deleted = await client.delete(f"/subjects/{subject_id}")
        assert deleted.status_code == 204
        await forget_in_memory(service.services)  # what the service does every ten minutes

        assert not traces.found(known, service.stored())
        assert {where for _, where in traces.found(ids, service.stored())} == IDS_MAY_STAY
        assert not traces.found(known, traces.in_memory(app))
        assert not traces.found(known, traces.in_files(settings.data_dir))

        # What the bundle has learnt: until the next one, as the receipt says.
        assert traces.found(ids | learnt, traces.in_files(settings.data_dir))
        await published(client, await begin_retraining(client))
        await completed(client, deleted.headers["Location"])
        everything = known | ids | learnt
        assert {where for _, where in traces.found(everything, service.stored())} == IDS_MAY_STAY
        assert not traces.found(everything, traces.in_files(settings.data_dir))
        assert not traces.found(everything, traces.in_memory(app))
        metrics = (await client.get("/metrics")).content
        assert not traces.found(everything, iter([("metrics", metrics)]))
    written = capfd.readouterr()
    logs = {"out": written.out, "log": written.err, "worker": worker.said}
    assert all(logs.values())
    assert not traces.found(everything, ((where, text.encode()) for where, text in logs.items()))
