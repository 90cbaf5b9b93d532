"""Rows that somebody has changed behind the service's back: left out, and said in the log."""

import json

import psycopg
import pytest
from httpx import AsyncClient

from app.settings import Settings
from tests.app.conftest import Serve
from tests.app.subjects.test_service import Picture, enrol


async def named(client: AsyncClient, picture: bytes) -> str | None:
    """Whom the one face of a picture is taken for."""
    answer = await client.post("/identify", files={"image": ("x.jpg", picture)})
    (face,) = answer.json()["faces"]
    return face["best"]["name"] if face["decision"] == "match" else None


@pytest.mark.slow
async def test_templates_that_were_swapped_are_left_out(
    serve: Serve,
    settings: Settings,
    picture: Picture,
    database_url: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with serve(settings) as client:
        obama = await enrol(client, picture("obama"), name="obama")
        biden = await enrol(client, picture("biden"), name="biden")
        await enrol(client, picture("astronaut"), name="astronaut")
        assert await named(client, picture("obama2")) == "obama"
    with psycopg.connect(database_url) as connection:
        swapped = connection.execute(
            "UPDATE samples SET template = other.template FROM samples AS other"
            " WHERE samples.subject_id <> other.subject_id"
            " AND samples.subject_id = ANY(%(two)s) AND other.subject_id = ANY(%(two)s)"
            " RETURNING samples.id",
            {"two": [obama["subject_id"], biden["subject_id"]]},
        ).fetchall()
    assert len(swapped) == 2
    async with serve(settings) as client:
        # Nobody is named as the other, and everybody else is found.
        assert await named(client, picture("obama2")) is None
        assert await named(client, picture("astronaut")) == "astronaut"
        said = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        left_out = [each["id"] for each in said if each["event"] == "template_unreadable"]
        assert sorted(left_out) == sorted(str(sample) for (sample,) in swapped)
        # It is mended by enrolling again.
        assert (await client.delete(f"/subjects/{obama['subject_id']}")).status_code == 204
        await enrol(client, picture("obama"), name="obama")
        assert await named(client, picture("obama2")) == "obama"


async def test_a_template_that_is_not_sealed_is_no_template(
    serve: Serve, settings: Settings, picture: Picture, database_url: str
) -> None:
    """Who can write to the database alone can't have a face taken for a subject while we run."""
    async with serve(settings) as client:
        subject = await enrol(client, picture("obama"), name="obama")
        with psycopg.connect(database_url) as connection:
            connection.execute("UPDATE samples SET template = %s", [bytes(192 * 4)])
            connection.execute("UPDATE collections SET revision = revision + 1")
            connection.execute(
                "INSERT INTO changes (collection_id, revision, subject_id, kind)"
                " SELECT id, revision, %s, 'samples_added' FROM collections",
                [subject["subject_id"]],
            )
        await enrol(client, picture("astronaut"), name="astronaut")  # which reads what is new
        assert await named(client, picture("obama2")) is None
