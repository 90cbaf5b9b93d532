"""Whoever reads the logs, the answers, the metrics or the audit log finds no key and no template.

A whole life is lived, with everything that goes wrong in it, and what came of it is searched for
known values in the ways that bytes are written down. That a dump of the database shows no template
is shown in tests/app/encryption; that nothing is left of a deleted subject in test_erasure.py.
"""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import psycopg
import pytest
from fastapi import FastAPI
from httpx import AsyncClient, Response
from pydantic import SecretStr

from app.encryption.service import master_key
from app.keys.caller import Scope
from app.keys.service import create_key, revoke_key
from app.keys.tokens import digest
from app.main import create_app
from app.settings import Settings
from models.arrays import Floats
from models.embed import embed
from models.identifier import QueryPath, find_faces
from tests.app.conftest import client_of
from tests.app.test_attacks_collections import zipped
from tests.app.traces import in_redis

Picture = Callable[[str], bytes]

NAME, EXTERNAL_ID, REFERENCE = "Melusine Quibble", "badge-7c1f09", "consent-on-paper-5521"
PASSAGE = 24
"""Bytes of a secret that are looked for: fewer could be there by chance, more be broken up."""


def written(secret: bytes) -> Iterator[bytes]:
    """The passages of some bytes, as they are, and as text that stands for them."""
    for start in range(0, len(secret) - PASSAGE + 1, PASSAGE):
        passage = secret[start : start + PASSAGE]
        yield passage
        yield passage.hex().encode()
        yield passage.hex().upper().encode()
        yield repr(passage)[2:-1].encode()
        yield passage.hex(" ").encode()
        # Where in a longer text the passage begins decides which three writings it has.
        for shift in range(3):
            inner = passage[shift : shift + (PASSAGE - shift) // 3 * 3]
            yield base64.b64encode(inner)
            yield base64.urlsafe_b64encode(inner)


def of_key(token: str) -> list[bytes]:
    secret = token.split("_", 2)[2]
    writings = [secret.encode(), secret[:PASSAGE].encode(), secret[-PASSAGE:].encode()]
    return [*writings, *written(secret.encode()), *written(digest(token))]


def of_template(template: Floats) -> list[bytes]:
    writings: list[bytes] = []
    for kind in ("<f4", "<f2", "<f8", ">f4"):
        writings += written(template.astype(kind).tobytes())
    # As numbers, of which one alone would be nothing.
    numbers = [f"{value:.4f}" for value in template[:3].tolist()]
    return [*writings, ", ".join(numbers).encode(), ",".join(numbers).encode()]


class Life:
    """What a service has said in its life."""

    def __init__(self, app: FastAPI, client: AsyncClient) -> None:
        self.app = app
        self.client = client
        self.said: list[tuple[str, bytes]] = []
        self.keys: dict[str, str] = {}

    async def call(self, method: str, path: str, key: str = "admin", **more: Any) -> Response:
        headers = {"Authorization": f"Bearer {self.keys[key]}"} | more.pop("headers", {})
        answer = await self.client.request(method, path, headers=headers, **more)
        content = answer.content
        if answer.headers.get("Content-Type", "").startswith("application/json"):
            # Sealed, and in the hands of whoever asked; it is looked at by itself.
            content = json.dumps(without_identification_ids(answer.json())).encode()
        self.said.append((f"{method} {path} {answer.status_code}", content))
        self.said.append((f"headers of {method} {path}", str(answer.headers).encode()))
        return answer


def without_identification_ids(body: Any) -> Any:
    if isinstance(body, dict):
        return {
            name: without_identification_ids(value)
            for name, value in body.items()
            if name != "identification_id"
        }
    return [without_identification_ids(each) for each in body] if isinstance(body, list) else body


async def live(life: Life, picture: Picture) -> None:
    """Do what is done with a service, well and badly."""
    database = life.app.state.services.database
    kinds: dict[str, Scope] = {"narrow": "identify", "revoked": "admin", "metrics": "metrics"}
    for name, scope in kinds.items():
        life.keys[name], made = await create_key(database, name=name, scopes=[scope])
        if name == "revoked":
            await revoke_key(database, key_id=made.key_id)
    admin = life.keys["admin"]
    life.keys["wrong"] = admin[:16] + admin[16:][::-1]
    life.keys["cut"] = admin[:-1]
    life.keys["long"] = admin + admin[16:]

    form = {"name": NAME, "external_id": EXTERNAL_ID, "consent_reference": REFERENCE}
    photo = {"images": ("holiday-9317.jpg", picture("obama"))}
    enrolled = await life.call("POST", "/enroll", files=photo, data=form)
    assert enrolled.status_code == 201
    subject = f"/subjects/{enrolled.json()['subject']['subject_id']}"
    found = await life.call("POST", "/identify", files={"image": picture("obama2")})
    (face,) = found.json()["faces"]
    assert face["best"]["name"] == NAME
    verdict = {"identification_id": face["identification_id"], "verdict": "confirmed"}
    assert (await life.call("POST", f"{subject}/feedback", json=verdict)).status_code == 201
    await life.call(
        "POST", "/verify", files={"image": picture("obama3")}, data={"subject_id": subject[10:]}
    )
    await life.call("GET", subject)
    await life.call("GET", "/subjects", params={"name_prefix": NAME})
    await life.call("PATCH", subject, json={"metadata": {"a": 1}})

    for key in ("narrow", "revoked", "metrics", "wrong", "cut", "long"):
        await life.call("GET", "/subjects", key)
        await life.call("DELETE", "/collections/default", key)
        await life.call("GET", f"/subjects?key={life.keys[key]}", key)
        await life.call("GET", "/" + life.keys[key])
    # Names, external ids and a face where they do not belong, and what can't be read.
    sealed = face["identification_id"]
    await life.call("POST", "/enroll", files=photo, data=form)
    await life.call("POST", "/enroll", files={"images": b"\xff\xd8 broken"}, data=form)
    await life.call("POST", "/identify", files={"image": picture("cat")}, data={"collection": NAME})
    await life.call("POST", "/identify", files={"image": b""}, data={"limit": sealed})
    await life.call("GET", f"/subjects/{sealed}")
    await life.call("GET", "/subjects", params={"cursor": sealed[:90], "collection": EXTERNAL_ID})
    verdict = {"identification_id": sealed[:-4], "verdict": "confirmed"}
    await life.call("POST", f"{subject}/feedback", json=verdict)
    await life.call("POST", f"{subject}/feedback", json={"verdict": sealed, NAME: REFERENCE})
    await life.call("POST", "/collections", content=b'{"name": ' + admin.encode())
    await life.call("POST", "/admin/retrain", json={})
    await life.call("GET", "/nowhere", headers={"X-Request-ID": f"{admin} {NAME}"})
    batch = {"archive": (f"{NAME}.zip", zipped(f"{EXTERNAL_ID}/a.jpg", picture("biden")))}
    await life.call("POST", "/enroll/batch", files=batch)
    await life.call("POST", "/identify/batch", files={"archive": ("x.zip", b"PK nothing")})

    @life.app.get("/broken")
    async def broken() -> None:
        raise ValueError(f"{admin} {NAME} {sealed}")

    assert (await life.call("GET", "/broken")).status_code == 500
    for path in ("/metrics", "/admin/audit?limit=1000", "/admin/audit/export", "/openapi.json"):
        assert (await life.call("GET", path)).status_code == 200, path
    assert (await life.call("GET", "/metrics", "metrics")).status_code == 200


def templates(app: FastAPI, picture: Picture, query_path: QueryPath) -> dict[str, Floats]:
    """Of all that was enrolled, and of the face that was searched for."""
    live_gallery = app.state.services.galleries.find("default")
    found = {
        f"template {number} of {subject_id}": template
        for subject_id in live_gallery.labels
        for number, template in enumerate(live_gallery.gallery.templates_of(subject_id))
    }
    crops = find_faces(query_path, picture("obama2")).crops
    found["the probe"] = embed(query_path.embedder, crops)[0]
    return found


@pytest.mark.slow
async def test_no_key_and_no_template_is_said_anywhere(
    settings: Settings,
    redis_url: str,
    database_url: str,
    query_path: QueryPath,
    picture: Picture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    settings = settings.model_copy(update={"log_level": "DEBUG", "redis_url": SecretStr(redis_url)})
    app = create_app(settings, open_path=lambda _: query_path)
    async with app.router.lifespan_context(app), client_of(app, settings) as client:
        life = Life(app, client)
        life.keys["admin"] = (settings.data_dir / "admin.key").read_text().strip()
        told_at_start = capfd.readouterr()
        # Standard output is no terminal here: it may end in a log, so it names the file only.
        assert str(settings.data_dir / "admin.key") in told_at_start.out
        await live(life, picture)
        known = templates(app, picture, query_path)
    told = capfd.readouterr()
    assert told.err.count('"event": "request"') > 40
    places = [
        *life.said,
        ("what was said at the start", (told_at_start.out + told_at_start.err).encode()),
        ("the logs", told.err.encode()),
        ("standard output", told.out.encode()),
        ("the audit log", audit_rows(database_url)),
        *in_redis(redis_url),
    ]
    secrets = {f"key {name}": of_key(token) for name, token in life.keys.items()}
    secrets |= {what: of_template(np.asarray(template)) for what, template in known.items()}
    master = master_key(settings)
    secrets["the master key"] = list(written(master))
    assert len(known) >= 2
    leaks = [
        (what, where)
        for what, writings in secrets.items()
        for where, content in places
        if any(writing in content for writing in writings)
    ]
    assert leaks == []

    personal = [each.encode() for each in (NAME, EXTERNAL_ID, REFERENCE, "holiday-9317")]
    for where, content in places:
        if where.startswith(("the ", "standard", "GET /metrics", "GET /admin/audit")):
            assert not [each for each in personal if each in content], where


def audit_rows(database_url: str) -> bytes:
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT to_jsonb(audit)::text FROM audit").fetchall()
    assert len(rows) > 10
    return "\n".join(row[0] for row in rows).encode()


def test_the_search_finds_what_is_there() -> None:
    """In the midst of others, however it is written."""
    secret = bytes(range(100, 200))
    noise = b"noise"
    for wrap in (bytes.hex, base64.b64encode, base64.urlsafe_b64encode, lambda each: each):
        for before in range(4):
            text = wrap(noise[:before] + secret + noise)
            content = text.encode() if isinstance(text, str) else text
            assert any(writing in content for writing in written(secret)), (wrap, before)
    template = np.linspace(-0.9, 0.9, 192, dtype=np.float32)
    half = base64.urlsafe_b64encode(b"x" + template.astype("<f2").tobytes())
    assert any(writing in half for writing in of_template(template))
