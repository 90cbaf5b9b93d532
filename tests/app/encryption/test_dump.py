"""Who has a dump of the database and not the key has no template."""

import re
from collections.abc import Iterable
from typing import Any, LiteralString
from uuid import UUID

import numpy as np
import psycopg
import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from psycopg import sql

from app.services import Services
from models.arrays import Floats
from tests.app.subjects.test_service import Picture, enrol

RUN_BYTES = 16
"""Of a template: four components, far more than a stranger would come upon."""


def dump(database_url: str) -> dict[str, bytes]:
    """All tables as `COPY` writes them, as text and binary."""
    found = {}
    forms: tuple[LiteralString, ...] = ("text", "binary")
    with psycopg.connect(database_url) as connection:
        tables = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        ).fetchall()
        for (table,) in tables:
            for form in forms:
                query = sql.SQL("COPY (SELECT * FROM {}) TO STDOUT (FORMAT {})").format(
                    sql.Identifier(table), sql.SQL(form)
                )
                with connection.cursor().copy(query) as copy:
                    found[f"{table} {form}"] = b"".join(bytes(portion) for portion in copy)
    return found


def runs_of(templates: Iterable[Floats]) -> set[bytes]:
    """All runs of bytes of some templates, in both precisions that they are written in."""
    return {
        content[place : place + RUN_BYTES]
        for template in templates
        for kind in ("<f4", "<f2")
        for content in (template.astype(kind).tobytes(),)
        for place in range(len(content) - RUN_BYTES + 1)
    }


def runs_in(content: bytes, runs: set[bytes]) -> bool:
    return any(
        content[place : place + RUN_BYTES] in runs for place in range(len(content) - RUN_BYTES + 1)
    )


def holds_any(dumped: bytes, runs: set[bytes]) -> bool:
    hexadecimal = re.findall(rb"\\\\x([0-9a-f]+)", dumped)
    return runs_in(dumped, runs) or any(
        runs_in(bytes.fromhex(each.decode()), runs) for each in hexadecimal
    )


def stored_templates(services: Services, database_url: str) -> list[Floats]:
    """Every template that is stored, opened with the key."""
    queries: dict[str, LiteralString] = {
        "sample": "SELECT template, subject_id FROM samples",
        "variant": "SELECT template, sample_id FROM variants",
        "feedback": "SELECT template, subject_id FROM feedback",
    }
    with psycopg.connect(database_url) as connection:
        return [
            np.frombuffer(services.vault.open(sealed, purpose=purpose, owner=owner), "<f4")
            for purpose, query in queries.items()
            for sealed, owner in connection.execute(query).fetchall()
        ]


@pytest.fixture
def services(app: FastAPI) -> Services:
    services: Services = app.state.services
    return services


async def test_a_dump_holds_no_template(
    client: AsyncClient, services: Services, picture: Picture, database_url: str
) -> None:
    await client.patch("/collections/default", json={"keep_pictures": True})
    client.headers["Idempotency-Key"] = "door-1"
    subject = (await enrol(client, picture("obama"), picture("obama2")))["subject_id"]
    del client.headers["Idempotency-Key"]
    for name, verdict in (("obama3", "confirmed"), ("biden", "rejected")):
        answer = await client.post("/identify", files={"image": picture(name)})
        (face, *_) = answer.json()["faces"]
        said = await client.post(
            f"/subjects/{subject}/feedback",
            json={"identification_id": face["identification_id"], "verdict": verdict},
        )
        assert said.status_code == 201, said.text

    known = stored_templates(services, database_url)
    assert len(known) == 2 + 6 + 2
    in_memory = services.galleries.find("default").gallery.templates_of(UUID(subject))
    runs = runs_of([*known, *in_memory])
    assert any(np.array_equal(known[0], template) for template in in_memory)
    dumped = dump(database_url)
    assert holds_any(known[3].astype("<f2").tobytes(), runs)
    assert {"samples text", "samples binary", "idempotency binary"} <= dumped.keys()
    assert all(dumped[f"{table} text"] for table in ("samples", "variants", "feedback", "secrets"))
    assert [name for name, content in dumped.items() if holds_any(content, runs)] == []
    # Nor does it hold the key of the ids that templates travel in, nor a picture.
    (secret,) = opened_secrets(services, database_url)
    pictures = [picture(name) for name in ("obama", "obama2")]
    for content in dumped.values():
        for known_bytes in (secret, *(each[:64] for each in pictures)):
            assert known_bytes not in content
            assert known_bytes.hex().encode() not in content


def opened_secrets(services: Services, database_url: str) -> list[bytes]:
    from app.encryption.contents import SECRET, secret_owner

    with psycopg.connect(database_url) as connection:
        rows: list[Any] = connection.execute("SELECT name, value FROM secrets").fetchall()
    return [
        services.vault.open(value, purpose=SECRET, owner=secret_owner(name)) for name, value in rows
    ]
