"""What a client sends is data: it never becomes SQL, a path, a header, or an address to read.

Every text field of every operation in the OpenAPI document is given every hostile text, whatever
else the operation needs being in order.
"""

import asyncio
import io
import tarfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response
from PIL import Image

from app.settings import Settings
from tests.app.test_attacks_collections import (
    body_of,
    is_file,
    operations,
    without_request_id,
    zipped,
)

Picture = Callable[[str], bytes]

SQL = [
    "' OR '1'='1",
    "\\'; DROP TABLE subjects; --",
    "$$; TRUNCATE samples; $$",
    "%' ESCAPE '\\",
    ":name %(id)s {0} ${jndi:ldap://x}",
]
PATHS = ["../../../../etc/passwd", "/etc/passwd", "..\\..\\boot.ini", "~root"]
CONTROL = ["a\0b", "a\r\nSet-Cookie: stolen=1", "\x1b[2J", "\u2028"]
ODD = ["\u202etxt.exe", "𝔫𝔞𝔪𝔢", "\ud800", "e\u0301 İ ß", "<script>", "{{1337*1337}}", "=1+1"]
HOSTILE = [*SQL, *PATHS, *CONTROL, *ODD, "", "x" * 5000]

IDS = {"subject_id", "sample_id", "feedback_id", "job_id", "erasure_id"}


class Listener:
    """A place on the network that a service could be told to read from."""

    def __init__(self) -> None:
        self.calls = 0
        self.port = 0

    async def __aenter__(self) -> "Listener":
        self._server = await asyncio.start_server(self._called, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _called(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        writer.close()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    async with Listener() as listening:
        yield listening


@pytest.fixture
async def client(app: FastAPI, settings: Settings) -> AsyncIterator[AsyncClient]:
    """As the usual one, but an answer's headers are checked as a server would send them."""
    key = (settings.data_dir / "admin.key").read_text().strip()
    async with AsyncClient(
        transport=ASGITransport(app),
        base_url="http://cohort",
        headers={"Authorization": f"Bearer {key}"},
        event_hooks={"response": [is_sound]},
    ) as client:
        yield client


async def is_sound(answer: Response) -> None:
    """No error of the service's own, and no header that is not one of ours."""
    await answer.aread()
    assert answer.status_code < 500 or answer.json()["code"] == "training_unavailable", answer.text
    for name, value in answer.headers.raw:
        assert not set(b"\r\n\0") & set(name + value)
    assert "set-cookie" not in answer.headers
    assert "x-injected" not in answer.headers


def nobody() -> bytes:
    """A picture that is looked at in no time."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "grey").save(file, "png")
    return file.getvalue()


async def sends(
    app: FastAPI, client: AsyncClient, texts: list[str]
) -> AsyncIterator[tuple[str, str, str, str, Response]]:
    """Send each text in each place of each operation; gives method, path, place, text, answer."""
    files = {
        "image": nobody(),
        "images": nobody(),
        "archive": zipped("somebody/a.png", nobody()),
    }
    for method, path, operation in operations(app):
        kind, fields = body_of(app, operation)
        filled = path.format_map(Fresh())
        body = {name: files[name] for name in fields if name in files and is_file(fields[name])}
        for parameter in operation.get("parameters", []):
            name, place = parameter["name"], parameter["in"]
            for text in texts:
                if place == "path":
                    raw = "".join(f"%{byte:02x}" for byte in text.encode(errors="replace"))
                    hostile = path.replace(f"{{{name}}}", raw).format_map(Fresh())
                    answer = await client.request(method, hostile)
                elif place == "query":
                    answer = await client.request(
                        method, filled, params={name: text.encode(errors="replace").decode()}
                    )
                else:
                    raw_header = text.encode(errors="replace")
                    if set(b"\r\n\0") & set(raw_header):
                        continue  # no server hands such a header over
                    headers = [(name.encode(), raw_header)]
                    answer = await client.request(method, filled, headers=headers)
                yield method, path, name, text, answer
        for name in fields:
            if name in body:
                continue
            for text in texts:
                sendable = text.encode(errors="replace").decode()
                if kind == "application/json":
                    answer = await client.request(method, filled, json={name: sendable})
                elif kind == "multipart/form-data":
                    answer = await client.request(
                        method, filled, data={name: sendable}, files=body or {"x": b""}
                    )
                else:
                    continue
                yield method, path, name, text, answer


class Fresh(dict[str, str]):
    """Something for each parameter of a path."""

    def __missing__(self, name: str) -> str:
        if name in IDS:
            return str(uuid4())
        return "0" * 64 if name == "bundle_id" else "nothing"


def structure(database_url: str) -> list[Any]:
    with psycopg.connect(database_url) as connection:
        return connection.execute(
            "SELECT table_name, column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = 'public' ORDER BY 1, 2"
        ).fetchall()


@pytest.mark.slow
async def test_no_text_in_no_field_is_more_than_a_text(
    app: FastAPI,
    client: AsyncClient,
    database_url: str,
    rows: Callable[[], dict[str, int]],
) -> None:
    before, tables = rows(), structure(database_url)
    sent = 0
    async for _, path, name, _, answer in sends(app, client, HOSTILE):
        sent += 1
        _, text = without_request_id(answer)
        assert "1787569" not in text, (path, name)
        assert "root:" not in answer.text
    assert sent > 1000
    assert structure(database_url) == tables
    after = rows()
    assert after.pop("collections") >= before.pop("collections")
    assert after == before


ROUND = [
    text for text in HOSTILE if text.strip("\0 ") and "\0" not in text and "\ud800" not in text
]


@pytest.mark.parametrize("text", [text for text in ROUND if len(text) <= 200])
async def test_a_hostile_name_is_kept_and_found_as_it_is(
    client: AsyncClient, picture: Picture, text: str
) -> None:
    made = await client.post(
        "/enroll",
        files={"images": picture("obama")},
        data={"name": "x", "external_id": "y"},
    )
    path = f"/subjects/{made.json()['subject']['subject_id']}"
    changed = await client.patch(
        path, json={"name": text, "external_id": text, "metadata": {text: text}}
    )
    if changed.status_code == 422:  # a control character, said so
        assert not text.isprintable()
        return
    assert changed.status_code == 200
    shown = (await client.get(path)).json()
    assert (shown["name"], shown["external_id"], shown["metadata"]) == (text, text, {text: text})
    for parameter in ("external_id", "name_prefix"):
        (found,) = (await client.get("/subjects", params={parameter: text})).json()["subjects"]
        assert found["subject_id"] == shown["subject_id"]
    other = (await client.get("/subjects", params={"external_id": text + "x"})).json()
    assert other["subjects"] == []


@pytest.mark.parametrize(
    "value", [b"a\r\nX-Injected: 1", b"a\nb", b"\0", b"a;b", b"a b", "ä".encode(), b"x" * 129]
)
async def test_a_request_id_can_t_break_out_of_its_header(
    client: AsyncClient, value: bytes
) -> None:
    answer = await client.get("/collections", headers=[(b"X-Request-ID", value)])
    assert answer.headers["X-Request-ID"].isalnum()
    assert len(answer.headers["X-Request-ID"]) == 32


def addresses(listener: Listener, canary: Path) -> Iterator[str]:
    """Places that a server could be led to read from."""
    host = f"127.0.0.1:{listener.port}"
    yield from (f"{scheme}://{host}/x" for scheme in ("http", "https", "ftp", "s3", "gopher"))
    yield f"//{host}/x"
    yield f"postgresql://{host}/x"
    yield f"redis://{host}/0"
    yield str(canary)
    yield f"file://{canary}"
    yield f"local://{canary}"
    yield f"@{canary}"
    yield f"../../../../../../../..{canary}"
    yield "/proc/self/environ"


@pytest.mark.slow
async def test_nothing_is_read_from_where_a_client_says(
    app: FastAPI, client: AsyncClient, picture: Picture, listener: Listener, tmp_path: Path
) -> None:
    canary = tmp_path / "canary.jpg"
    canary.write_bytes(b"canary-3b1f " + picture("obama"))
    face = tmp_path / "face.jpg"
    face.write_bytes(picture("obama"))
    targets = [*addresses(listener, canary), str(face), f"file://{face}"]
    async for _, path, name, text, answer in sends(app, client, targets):
        assert "canary-3b1f" not in answer.text, (path, name, text)
        assert "PATH=" not in answer.text, (path, name, text)

    # In place of a picture, as its name, its type and its content.
    for path, field in (("/identify", "image"), ("/detect", "image"), ("/enroll", "images")):
        for text in targets:
            typed = await client.post(path, data={field: text})
            assert typed.status_code == 422
            assert typed.json()["code"] == "invalid_request"
            said = await client.post(path, files={field: (text, text.encode(), "image/jpeg")})
            assert said.status_code == 422
            named = await client.post(path, files={field: (text, nobody(), text)})
            assert named.status_code in (200, 422)
            assert "canary-3b1f" not in typed.text + said.text + named.text
    for text in targets:
        headers = {"Referer": text, "Host": f"127.0.0.1:{listener.port}", "X-Forwarded-Host": text}
        await client.get("/collections", headers=headers)
    assert listener.calls == 0


async def test_a_picture_that_names_other_files_is_none(
    client: AsyncClient, listener: Listener, tmp_path: Path
) -> None:
    canary = tmp_path / "canary.png"
    canary.write_bytes(b"canary")
    url = f"http://127.0.0.1:{listener.port}/x"
    pictures = [
        f'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "{url}">]>'
        f'<svg xmlns="http://www.w3.org/2000/svg"><image href="file://{canary}"/>&x;</svg>',
        f"push graphic-context\nfill 'url({url})'\npop graphic-context",  # ImageMagick's MVG
        f"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:10.0,\nconcat:{url}|file://{canary}\n",
        f"%!PS\n(file://{canary}) (r) file",
    ]
    for content in pictures:
        answer = await client.post("/identify", files={"image": ("a.jpg", content.encode())})
        assert (answer.status_code, answer.json()["code"]) == (422, "unsupported_format")
    assert listener.calls == 0


async def test_an_archive_that_names_other_files_gives_none_of_them(
    client: AsyncClient, picture: Picture, tmp_path: Path
) -> None:
    face = tmp_path / "face.jpg"
    face.write_bytes(picture("obama"))
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as archive:
            link = tarfile.TarInfo("somebody/a.jpg")
            link.type, link.linkname = kind, str(face)
            archive.addfile(link)
        answer = await client.post("/identify/batch", files={"archive": ("a.tar", file.getvalue())})
        assert 400 <= answer.status_code < 500, answer.text
