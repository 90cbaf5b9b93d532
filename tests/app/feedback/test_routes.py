"""The routes of feedback: say, say again, say otherwise, list, take back."""

from typing import Any

import numpy as np
import psycopg
import pytest
from fastapi import FastAPI
from httpx import AsyncClient, Response

from app.feedback.sealing import Sealer
from app.gallery.repository import TEMPLATE_DTYPE
from models.arrays import Floats
from tests.app.subjects.test_service import UNKNOWN_ID, Picture, enrol
from vault.vault import Vault

RNG = np.random.default_rng(9)


@pytest.fixture
def sealer(app: FastAPI) -> Sealer:
    sealer: Sealer = app.state.services.sealer
    return sealer


@pytest.fixture
async def subject(client: AsyncClient, picture: Picture) -> str:
    return str((await enrol(client, picture("obama2")))["subject_id"])


def probe() -> Floats:
    row = RNG.normal(size=192).astype(np.float32)
    unit: Floats = row / np.linalg.norm(row)
    return unit


def identification_of(app: FastAPI, sealer: Sealer, template: Floats, name: str = "default") -> str:
    live = app.state.services.galleries.find(name)
    return sealer.seal(live.collection_id, template, live.embedder_sha256)


async def say(client: AsyncClient, subject: str, identification: str, verdict: str) -> Response:
    return await client.post(
        f"/subjects/{subject}/feedback",
        json={"identification_id": identification, "verdict": verdict},
    )


async def said(client: AsyncClient, subject: str) -> list[dict[str, Any]]:
    answer = await client.get(f"/subjects/{subject}/feedback")
    assert answer.status_code == 200, answer.text
    feedback: list[dict[str, Any]] = answer.json()["feedback"]
    return feedback


def stored_templates(app: FastAPI, database_url: str) -> list[Floats]:
    vault: Vault = app.state.services.vault
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "SELECT template, subject_id FROM feedback ORDER BY created_at"
        ).fetchall()
    return [
        np.frombuffer(vault.open(sealed, purpose="feedback", owner=subject), TEMPLATE_DTYPE)
        for sealed, subject in rows
    ]


async def revisions(client: AsyncClient) -> tuple[int, int]:
    shown = (await client.get("/collections/default")).json()
    return shown["revision"], shown["gallery"]["revision"]


async def test_what_is_said_is_kept_with_the_face_and_in_the_feed(
    app: FastAPI, client: AsyncClient, sealer: Sealer, subject: str, database_url: str
) -> None:
    face = probe()
    answer = await say(client, subject, identification_of(app, sealer, face), "rejected")
    assert answer.status_code == 201
    assert answer.json().keys() == {"feedback_id", "subject_id", "verdict", "created_at"}
    assert (answer.json()["subject_id"], answer.json()["verdict"]) == (subject, "rejected")
    assert await said(client, subject) == [answer.json()]
    (kept,) = stored_templates(app, database_url)
    assert kept.shape == (192,)
    assert float(kept @ face) == pytest.approx(1, abs=1e-6)
    assert np.linalg.norm(kept) == pytest.approx(1, abs=1e-6)
    # The gallery has read the change before the answer was given.
    assert await revisions(client) == (2, 2)


async def test_said_again_nothing_changes(
    app: FastAPI, client: AsyncClient, sealer: Sealer, subject: str
) -> None:
    identification = identification_of(app, sealer, probe())
    first = await say(client, subject, identification, "confirmed")
    again = await say(client, subject, identification, "confirmed")
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert await revisions(client) == (2, 2)


async def test_another_verdict_takes_the_place_of_the_first(
    app: FastAPI, client: AsyncClient, sealer: Sealer, subject: str
) -> None:
    identification = identification_of(app, sealer, probe())
    first = (await say(client, subject, identification, "confirmed")).json()
    second = (await say(client, subject, identification, "rejected")).json()
    assert second["feedback_id"] == first["feedback_id"]
    assert second["verdict"] == "rejected"
    assert second["created_at"] > first["created_at"]
    assert await said(client, subject) == [second]
    assert await revisions(client) == (3, 3)


async def test_each_face_and_each_subject_has_its_own_verdict(
    app: FastAPI, client: AsyncClient, sealer: Sealer, subject: str, picture: Picture
) -> None:
    other = str((await enrol(client, picture("biden")))["subject_id"])
    one, two = (identification_of(app, sealer, probe()) for _ in range(2))
    first = (await say(client, subject, one, "rejected")).json()
    await say(client, other, one, "confirmed")
    second = (await say(client, subject, two, "rejected")).json()
    assert await said(client, subject) == [first, second]
    assert [each["verdict"] for each in await said(client, other)] == ["confirmed"]


async def test_what_was_said_can_be_taken_back_once(
    app: FastAPI, client: AsyncClient, sealer: Sealer, subject: str, database_url: str
) -> None:
    kept = (await say(client, subject, identification_of(app, sealer, probe()), "rejected")).json()
    gone = (await say(client, subject, identification_of(app, sealer, probe()), "rejected")).json()
    address = f"/subjects/{subject}/feedback/{gone['feedback_id']}"
    assert (await client.delete(address)).status_code == 204
    assert await said(client, subject) == [kept]
    assert len(stored_templates(app, database_url)) == 1
    assert await revisions(client) == (4, 4)
    again = await client.delete(address)
    assert (again.status_code, again.json()["code"]) == (404, "feedback_not_found")


async def test_it_goes_with_its_subject(
    app: FastAPI, client: AsyncClient, sealer: Sealer, subject: str, database_url: str
) -> None:
    await say(client, subject, identification_of(app, sealer, probe()), "rejected")
    await client.delete(f"/subjects/{subject}")
    assert stored_templates(app, database_url) == []
    assert (await client.get(f"/subjects/{subject}/feedback")).status_code == 404


async def test_a_face_of_another_collection_is_not_the_subjects(
    app: FastAPI, client: AsyncClient, sealer: Sealer, subject: str
) -> None:
    await client.post("/collections", json={"name": "other"})
    identification = identification_of(app, sealer, probe(), name="other")
    answer = await say(client, subject, identification, "rejected")
    assert (answer.status_code, answer.json()["code"]) == (404, "subject_not_found")
    assert await said(client, subject) == []


async def test_what_is_wrong_is_said_and_nothing_kept(
    app: FastAPI, client: AsyncClient, sealer: Sealer, subject: str, database_url: str
) -> None:
    identification = identification_of(app, sealer, probe())
    wrong = {
        "invalid_identification": (subject, identification[:-1], "rejected"),
        "invalid_request": (subject, identification, "maybe"),
        "subject_not_found": (UNKNOWN_ID, identification, "rejected"),
    }
    for code, (who, sealed, verdict) in wrong.items():
        assert (await say(client, who, sealed, verdict)).json()["code"] == code
    answer = await client.delete(f"/subjects/{UNKNOWN_ID}/feedback/{UNKNOWN_ID}")
    assert answer.json()["code"] == "subject_not_found"
    assert (await client.get(f"/subjects/{UNKNOWN_ID}/feedback")).status_code == 404
    assert stored_templates(app, database_url) == []
