"""Whatever is sent: the documented status and code, nothing stored, and the service goes on."""

import gc
import io
import json
import re
import struct
import uuid
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import pytest
from fastapi import FastAPI
from httpx import AsyncClient, Response
from PIL import Image

from app.freed_memory import give_back
from app.keys.service import create_key
from app.main import openapi_document

PICTURES = Path(__file__).parents[1] / "data"
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"
MEMORY_BOUND_MIB = 32
"""Growth allowed over three rounds of all cases. A picture kept by each would be several
hundred."""


Request = dict[str, Any] | Callable[[], dict[str, Any]]
"""What httpx is given; a function where it is too large to be kept."""


@dataclass(frozen=True)
class Case:
    """A request, and how it must be answered."""

    name: str
    method: str
    path: str
    status: int
    code: str | None = None
    request: Request = field(default_factory=dict)
    reason: str | None = None
    """Why the first picture of an enrolment is rejected."""
    faces: int | None = None
    key: str = "admin"


def read(name: str) -> bytes:
    return (PICTURES / f"{name}.jpg").read_bytes()


@cache
def small_face() -> Image.Image:
    with Image.open(PICTURES / "biden.jpg") as image:
        return image.convert("RGB").crop((130, 20, 370, 300))


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def png_declaring(width: int, height: int) -> bytes:
    """A picture of noughts that takes a thousandth of its size on the wire."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(min(3 * width * height, 30_000_000)), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def with_orientation(value: int) -> bytes:
    """The picture stored turned or mirrored, with the EXIF tag that puts it right."""
    stored = {
        1: lambda i: i,
        2: lambda i: i.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: lambda i: i.transpose(Image.Transpose.ROTATE_180),
        4: lambda i: i.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: lambda i: i.transpose(Image.Transpose.TRANSPOSE),
        6: lambda i: i.transpose(Image.Transpose.ROTATE_90),
        7: lambda i: i.transpose(Image.Transpose.TRANSVERSE),
        8: lambda i: i.transpose(Image.Transpose.ROTATE_270),
    }[value](small_face())
    exif = Image.Exif()
    exif[0x0112] = value
    return encoded(stored, "JPEG", exif=exif, quality=95)


def animated() -> bytes:
    frames = [small_face(), Image.new("RGB", small_face().size)]
    return encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=100)


def sixteen_bit() -> bytes:
    grey = np.asarray(small_face().convert("L"), np.uint16) * np.uint16(257)
    return encoded(Image.fromarray(grey), "PNG")


def palette_with_transparency() -> bytes:
    return encoded(small_face().quantize(256), "PNG", transparency=0)


def image(data: bytes, **fields: Any) -> dict[str, Any]:
    return {"files": {"image": ("x.jpg", data)}, "data": fields}


def images(*data: bytes, **fields: Any) -> dict[str, Any]:
    return {"files": [("images", ("x.jpg", each)) for each in data], "data": fields}


def multipart(body: bytes, content_type: str = "multipart/form-data; boundary=b") -> dict[str, Any]:
    return {"content": body, "headers": {"Content-Type": content_type}}


def identify(name: str, status: int, code: str | None, request: Request) -> Case:
    return Case(f"identify-{name}", "POST", "/identify", status, code, request)


def shown(name: str, data: bytes) -> Case:
    """A picture of an unusual kind that is as good as any."""
    return Case(f"identify-{name}", "POST", "/identify", 200, None, image(data), faces=1)


def enrol(name: str, status: int, code: str, request: Request, **more: Any) -> Case:
    return Case(f"enroll-{name}", "POST", "/enroll", status, code, request, **more)


def cases() -> list[Case]:
    face = encoded(small_face(), "JPEG", quality=90)
    two_faces = read("golden/group-pair-240")
    return [
        # What the picture is.
        identify("empty", 422, "empty_image", image(b"")),
        identify("text", 422, "unsupported_format", image(b"<html>not a picture</html>")),
        identify("gif", 422, "unsupported_format", image(encoded(small_face(), "GIF"))),
        identify("bmp", 422, "unsupported_format", image(encoded(small_face(), "BMP"))),
        identify("disguised", 422, "corrupt_image", image(b"\xff\xd8\xff\xe0" + b"no jpeg" * 99)),
        *(
            identify(
                f"truncated-{tenth}", 422, "corrupt_image", image(face[: len(face) * tenth // 11])
            )
            for tenth in range(1, 11)
        ),
        identify(
            "truncated-png", 422, "corrupt_image", image(encoded(small_face(), "PNG")[:-2000])
        ),
        identify(
            "truncated-webp", 422, "corrupt_image", image(encoded(small_face(), "WEBP")[:-2000])
        ),
        identify("bomb", 422, "too_many_pixels", image(png_declaring(12_000, 12_000))),
        identify("30000x30000", 422, "too_many_pixels", image(png_declaring(30_000, 30_000))),
        identify("1x1", 422, "image_too_small", image(png_declaring(1, 1))),
        identify("50-mb", 422, "image_too_large", lambda: image(face + bytes(50_000_000))),
        shown("animated", animated()),
        shown("cmyk", encoded(small_face().convert("CMYK"), "JPEG")),
        shown("16-bit", sixteen_bit()),
        shown("palette-with-transparency", palette_with_transparency()),
        *(shown(f"exif-{each}", with_orientation(each)) for each in range(1, 9)),
        Case("detect-text", "POST", "/detect", 422, "unsupported_format", image(b"text")),
        # What the request is.
        identify("no-body", 422, "invalid_request", {}),
        identify("missing-field", 422, "invalid_request", {"data": {"limit": "5"}}),
        identify("wrong-field", 422, "invalid_request", {"files": {"picture": ("x", face)}}),
        identify("text-field", 422, "invalid_request", {"data": {"image": "text"}}),
        identify("json-body", 422, "invalid_request", {"json": {"image": "aGVsbG8="}}),
        identify("no-boundary", 400, "malformed_request", multipart(b"x", "multipart/form-data")),
        identify("broken-multipart", 400, "malformed_request", multipart(b"no parts at all")),
        identify("unfinished-multipart", 422, "invalid_request", multipart(b"--b\r\nContent-")),
        identify("large-json", 413, "request_too_large", {"json": {"image": "A" * 100_000}}),
        identify("limit-0", 422, "invalid_request", image(face, limit="0")),
        identify("limit-text", 422, "invalid_request", image(face, limit="many")),
        identify("max-fpir-0", 422, "invalid_request", image(face, max_fpir="0")),
        identify("max-fpir-nan", 422, "invalid_request", image(face, max_fpir="nan")),
        identify("threshold-2", 422, "invalid_request", image(face, threshold="2")),
        identify("threshold-nan", 422, "invalid_request", image(face, threshold="nan")),
        identify("both", 422, "fields_not_allowed", image(face, threshold="0.5", max_fpir="0.1")),
        identify(
            "unknown-collection", 404, "collection_not_found", image(face, collection="nowhere")
        ),
        identify("nul-collection", 404, "collection_not_found", image(face, collection="a\x00")),
        enrol("no-images", 422, "invalid_request", {"data": {"name": "x"}}),
        enrol("21-images", 422, "too_many_images", images(*[face] * 21)),
        enrol("1000-images", 400, "malformed_request", images(*[b"x"] * 1000)),
        enrol("1000-fields", 400, "malformed_request", images(face, name=["x"] * 1000)),
        identify("1000-files", 400, "malformed_request", images(*[b"x"] * 1000)),
        enrol("cat", 422, "no_face_enrolled", images(read("cat")), reason="no_face"),
        enrol(
            "two-faces",
            422,
            "no_face_enrolled",
            images(two_faces),
            reason="multiple_faces",
        ),
        enrol(
            "50-mb",
            422,
            "no_face_enrolled",
            lambda: images(bytes(50_000_000)),
            reason="image_too_large",
        ),
        enrol(
            "known-face",
            422,
            "no_face_enrolled",
            images(read("obama3")),
            reason="conflicts_with_subject",
        ),
        enrol("bad-metadata", 422, "invalid_metadata", images(face, metadata="{no json")),
        enrol("array-metadata", 422, "invalid_metadata", images(face, metadata="[1, 2]")),
        enrol("nan-metadata", 422, "invalid_metadata", images(face, metadata='{"a": NaN}')),
        enrol("huge-number", 422, "invalid_metadata", images(face, metadata='{"a": 1e999}')),
        enrol("nul-metadata", 422, "invalid_metadata", images(face, metadata='{"a": "\\u0000"}')),
        enrol("surrogate", 422, "invalid_metadata", images(face, metadata='{"a": "\\ud800"}')),
        enrol("deep-metadata", 422, "invalid_metadata", images(face, metadata='{"a":' * 100_000)),
        enrol(
            "large-metadata",
            422,
            "invalid_metadata",
            images(face, metadata=json.dumps({"a": "x" * 20_000})),
        ),
        enrol("long-name", 422, "invalid_request", images(face, name="x" * 257)),
        enrol("nul-name", 422, "invalid_request", images(face, name="a\x00b")),
        enrol("nul-external-id", 422, "invalid_request", images(face, external_id="\x00")),
        enrol("select", 422, "invalid_request", images(face, select="best")),
        enrol("bad-subject-id", 422, "invalid_request", images(face, subject_id="7")),
        enrol("unknown-subject", 404, "subject_not_found", images(face, subject_id=UNKNOWN_ID)),
        enrol(
            "subject-and-name",
            422,
            "fields_not_allowed",
            images(face, subject_id=UNKNOWN_ID, name="x"),
        ),
        enrol("unknown-collection", 404, "collection_not_found", images(face, collection="x")),
        enrol("taken-external-id", 409, "external_id_taken", images(face, external_id="taken")),
        Case(
            "verify-one",
            "POST",
            "/verify",
            422,
            "fields_not_allowed",
            {"files": {"image_a": ("a", face)}},
        ),
        Case(
            "verify-cat",
            "POST",
            "/verify",
            422,
            "no_face",
            {"files": {"image_a": ("a", face), "image_b": ("b", read("cat"))}},
        ),
        Case(
            "verify-two-faces",
            "POST",
            "/verify",
            422,
            "multiple_faces",
            {"files": {"image_a": ("a", face), "image_b": ("b", two_faces)}},
        ),
        Case(
            "verify-unknown",
            "POST",
            "/verify",
            404,
            "subject_not_found",
            image(face, subject_id=UNKNOWN_ID),
        ),
        # What is stored.
        Case("get-unknown", "GET", f"/subjects/{UNKNOWN_ID}", 404, "subject_not_found"),
        Case("get-no-id", "GET", "/subjects/obama", 422, "invalid_request"),
        Case("delete-unknown", "DELETE", f"/subjects/{UNKNOWN_ID}", 404, "subject_not_found"),
        Case(
            "patch-unknown",
            "PATCH",
            f"/subjects/{UNKNOWN_ID}",
            404,
            "subject_not_found",
            {"json": {"name": "x"}},
        ),
        Case(
            "patch-no-json",
            "PATCH",
            f"/subjects/{UNKNOWN_ID}",
            400,
            "malformed_request",
            {"content": b"{", "headers": {"Content-Type": "application/json"}},
        ),
        Case(
            "patch-other-field",
            "PATCH",
            f"/subjects/{UNKNOWN_ID}",
            422,
            "invalid_request",
            {"json": {"nmae": "x"}},
        ),
        Case(
            "patch-nul",
            "PATCH",
            f"/subjects/{UNKNOWN_ID}",
            422,
            "invalid_metadata",
            {"json": {"metadata": {"a\x00": 1}}},
        ),
        Case(
            "patch-large",
            "PATCH",
            f"/subjects/{UNKNOWN_ID}",
            413,
            "request_too_large",
            {"json": {"metadata": {"a": "x" * 100_000}}},
        ),
        Case(
            "sample-unknown",
            "DELETE",
            f"/subjects/{UNKNOWN_ID}/samples/{UNKNOWN_ID}",
            404,
            "subject_not_found",
        ),
        Case("list-cursor", "GET", "/subjects?cursor=abc", 422, "invalid_cursor"),
        Case("list-nul", "GET", "/subjects?name_prefix=%00", 422, "invalid_request"),
        Case("list-nowhere", "GET", "/subjects?collection=x", 404, "collection_not_found"),
        Case(
            "collection-name",
            "POST",
            "/collections",
            422,
            "invalid_request",
            {"json": {"name": "../x"}},
        ),
        Case(
            "collection-taken",
            "POST",
            "/collections",
            409,
            "collection_exists",
            {"json": {"name": "default"}},
        ),
        Case(
            "collection-no-json",
            "POST",
            "/collections",
            400,
            "malformed_request",
            {"content": b"{", "headers": {"Content-Type": "application/json"}},
        ),
        Case("collection-unknown", "DELETE", "/collections/%00", 404, "collection_not_found"),
        Case("no-path", "GET", "/nowhere", 404, "not_found"),
        Case("no-method", "PUT", "/identify", 405, "method_not_allowed"),
        # Who asks.
        Case("no-key", "POST", "/enroll", 401, "missing_key", images(face), key="none"),
        Case("other-kind", "POST", "/enroll", 401, "missing_key", images(face), key="basic"),
        Case("wrong-key", "POST", "/enroll", 401, "invalid_key", images(face), key="wrong"),
        Case("no-such-key", "POST", "/enroll", 401, "invalid_key", images(face), key="garbage"),
        Case(
            "may-not-enroll", "POST", "/enroll", 403, "missing_scope", images(face), key="identify"
        ),
        Case(
            "may-not-delete",
            "DELETE",
            f"/subjects/{UNKNOWN_ID}",
            403,
            "missing_scope",
            key="identify",
        ),
        Case(
            "may-not-identify", "POST", "/identify", 403, "missing_scope", image(face), key="enroll"
        ),
        Case(
            "may-not-make",
            "POST",
            "/collections",
            403,
            "missing_scope",
            {"json": {"name": "x"}},
            key="enroll",
        ),
    ]


CASES = cases()


@pytest.fixture
async def keys(app: FastAPI, client: AsyncClient) -> dict[str, str]:
    """Authorization headers by kind; and a subject that is there before."""
    database = app.state.services.database
    made = await client.post("/enroll", **images(read("obama2"), external_id="taken"))
    assert made.status_code == 201
    admin = client.headers["Authorization"]
    return {
        "admin": admin,
        "none": "",
        "basic": "Basic dXNlcjpwYXNz",
        "garbage": "Bearer x",
        "wrong": admin[:-4] + "AAAA",
        "identify": f"Bearer {(await create_key(database, name='i', scopes=['identify']))[0]}",
        "enroll": f"Bearer {(await create_key(database, name='e', scopes=['enroll']))[0]}",
    }


async def send(client: AsyncClient, case: Case, keys: dict[str, str]) -> Response:
    request = dict(case.request() if callable(case.request) else case.request)
    headers = {"Authorization": keys[case.key], **request.pop("headers", {})}
    return await client.request(case.method, case.path, headers=headers, **request)


def declared(case: Case) -> dict[str, set[str]]:
    """The statuses that OpenAPI has for the case's route, with their codes."""
    for path, operations in openapi().items():
        pattern = re.sub(r"\{\w+\}", "[^/]+", path)
        if re.fullmatch(pattern, case.path.partition("?")[0]):
            responses = operations[case.method.lower()]["responses"]
            return {
                status: set(
                    response.get("content", {})
                    .get("application/problem+json", {})
                    .get("examples", {})
                )
                for status, response in responses.items()
            }
    raise LookupError(case.path)


@cache
def openapi() -> dict[str, Any]:
    paths: dict[str, Any] = openapi_document()["paths"]
    return paths


def check(case: Case, answer: Response) -> None:
    assert answer.status_code == case.status, (case.name, answer.text)
    if case.code not in ("not_found", "method_not_allowed"):  # those have no route
        assert str(case.status) in declared(case), case.name
        assert case.code is None or case.code in declared(case)[str(case.status)], case.name
    assert uuid.UUID(hex=answer.headers["X-Request-ID"])
    body = answer.json()
    if case.code is not None:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (body["code"], body["status"]) == (case.code, case.status), (case.name, body)
        assert body["request_id"] == answer.headers["X-Request-ID"]
        assert "Traceback" not in answer.text
    if case.reason is not None:
        assert body["rejected"][0]["reason"] == case.reason
    if case.faces is not None:
        assert len(body["faces"]) == case.faces


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES])
async def test_bad_input_is_answered_as_documented_and_changes_nothing(
    case: Case, client: AsyncClient, keys: dict[str, str], rows: Callable[[], dict[str, int]]
) -> None:
    before = rows()

    check(case, await send(client, case, keys))

    assert rows() == before
    assert (await client.get("/healthz")).status_code == 200


async def test_memory_is_flat_and_the_service_alive_after_all_of_them(
    client: AsyncClient, keys: dict[str, str], rows: Callable[[], dict[str, int]]
) -> None:
    assert len(CASES) >= 40
    process = psutil.Process()
    before = rows()

    async def a_round() -> float:
        for case in CASES:
            check(case, await send(client, case, keys))
        gc.collect()
        give_back()
        return float(process.memory_info().rss) / 2**20

    # Heaps grow until the largest have come together some times; what is lost grows on and on.
    after = [await a_round() for _ in range(7)][1:]

    assert median(after[3:]) - median(after[:3]) < MEMORY_BOUND_MIB
    assert rows() == before
    assert (await client.get("/readyz")).status_code == 200
    good = await client.post("/identify", **image(read("obama3")))
    assert good.json()["faces"][0]["decision"] == "match"


@pytest.mark.parametrize("orientation", range(1, 9))
async def test_boxes_are_in_the_upright_picture(client: AsyncClient, orientation: int) -> None:
    upright = await client.post("/detect", **image(with_orientation(1)))
    turned = await client.post("/detect", **image(with_orientation(orientation)))

    (expected,), (found,) = upright.json()["faces"], turned.json()["faces"]
    assert found["box"] == pytest.approx(expected["box"], abs=4)
