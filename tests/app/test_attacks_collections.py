"""A key of one collection, held by an attacker who knows everything of another one.

Whatever route is called with whatever names that other collection, or something in it, the answer
is the one that is given where there is no such thing. All operations of the OpenAPI document are
walked; one that takes something this does not know fails here, and is to be added.
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from httpx import AsyncClient, Response

from app.keys.service import create_key
from app.tables import BundleRow, CollectionRow, JobRow

Picture = Callable[[str], bytes]

PROBES = {"/healthz", "/readyz"}
NEITHER = {"limit", "cursor", "open", "since", "until", "action", "name_prefix", "external_id"}
"""What is asked of a list, and names nothing that is stored."""
PLAIN = NEITHER | {
    *("max_fpir", "threshold", "max_fmr", "allow_conflict", "select"),
    *(
        "metadata",
        "consent_reference",
        "verdict",
        "full",
        "seed",
        "target_size",
        "embedder",
        "failed",
    ),
    *("keep_pictures", "picture_days", "subject_days", "key_id"),
}
"""Fields that name nothing of a collection."""


@dataclass
class Known:
    """What an attacker may have heard of a collection: ids of what is in it, by parameter."""

    name: str
    ids: dict[str, str] = field(default_factory=dict)
    identification_id: str = ""

    @property
    def words(self) -> list[str]:
        """What must not be in any answer."""
        return [self.name, f"Somebody of {self.name}", *self.ids.values()]


async def make(app: FastAPI, client: AsyncClient, picture: Picture, name: str) -> Known:
    """Fill a collection with one of everything."""
    known = Known(name)
    assert (await client.post("/collections", json={"name": name})).status_code == 201
    data = {"collection": name, "name": f"Somebody of {name}"}
    enrolled = await client.post("/enroll", files={"images": picture("obama")}, data=data)
    known.ids["subject_id"] = enrolled.json()["subject"]["subject_id"]
    known.ids["sample_id"] = enrolled.json()["accepted"][0]["sample_id"]
    found = await client.post(
        "/identify", files={"image": picture("obama2")}, data={"collection": name}
    )
    known.identification_id = found.json()["faces"][0]["identification_id"]
    verdict = {"identification_id": known.identification_id, "verdict": "confirmed"}
    path = f"/subjects/{known.ids['subject_id']}/feedback"
    known.ids["feedback_id"] = (await client.post(path, json=verdict)).json()["feedback_id"]
    other = await client.post("/enroll", files={"images": picture("biden")}, data=data)
    gone = await client.delete(f"/subjects/{other.json()['subject']['subject_id']}")
    assert gone.status_code == 204, gone.text
    known.ids["erasure_id"] = gone.headers["Cohort-Erasure"]
    async with app.state.services.database.transaction() as session:
        collection_id = (
            await session.get_one(
                CollectionRow, app.state.services.galleries.find(name).collection_id
            )
        ).id
        known.ids["bundle_id"] = sha256(name.encode()).hexdigest()
        job = JobRow(
            collection_id=collection_id,
            kind="retraining",
            state="rejected",
            stage="",
            progress=0.0,
            message="",
            options={"full": False, "target_size": None, "seed": None, "automatic": False},
            metrics={},
            cancel_requested=False,
        )
        session.add(job)
        session.add(
            BundleRow(
                id=known.ids["bundle_id"],
                collection_id=collection_id,
                watermark=1,
                classes=1,
                subnets=1,
                metrics={},
                active=False,
            )
        )
        await session.flush()
        known.ids["job_id"] = str(job.id)
    return known


@pytest.fixture
async def others(app: FastAPI, client: AsyncClient, picture: Picture) -> tuple[Known, Known]:
    """Own and another's collection; the client has a key of the own one alone, with all rights."""
    own = await make(app, client, picture, "own")
    other = await make(app, client, picture, "other")
    token, _ = await create_key(
        app.state.services.database, name="own", scopes=["admin"], collections=["own"]
    )
    client.headers["Authorization"] = f"Bearer {token}"
    return own, other


Operation = tuple[str, str, dict[str, Any]]


def operations(app: FastAPI) -> Iterator[Operation]:
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            if path not in PROBES:
                yield method, path, operation


def nothing_like(known: Known) -> Known:
    """Names of things that are not there."""
    ids = {name: str(uuid4()) for name in known.ids}
    ids["bundle_id"] = sha256(b"nothing").hexdigest()
    return Known("nothing", ids, known.identification_id)


def body_of(app: FastAPI, operation: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The media type of an operation's body, and its fields."""
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = content["schema"]
        if "$ref" in schema:
            schema = app.openapi()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return kind, schema.get("properties", {})
    return "", {}


def without_request_id(answer: Response) -> tuple[int, str]:
    text = answer.text
    for request_id in (answer.headers["X-Request-ID"],):
        text = text.replace(request_id, "")
    return answer.status_code, text


async def test_an_address_that_names_something_of_another_collection_leads_nowhere(
    app: FastAPI, client: AsyncClient, others: tuple[Known, Known]
) -> None:
    _, other = others
    nothing = nothing_like(other)
    walked = set()
    for method, path, operation in operations(app):
        names = [each["name"] for each in operation.get("parameters", []) if each["in"] == "path"]
        if not names:
            continue
        kind, fields = body_of(app, operation)
        body = {"verdict": "confirmed", "identification_id": other.identification_id}
        seen = [
            without_request_id(
                await client.request(
                    method,
                    path.format(**{"name": each.name, **each.ids}),
                    json=body if kind and fields else None,
                )
            )
            for each in (other, nothing)
        ]
        assert seen[0][0] == 404, (method, path, seen[0])
        assert seen[0] == seen[1], (method, path)
        walked |= set(names)
    assert walked == {"name", *other.ids}


async def test_what_a_query_or_a_body_names_of_another_collection_is_not_there(
    app: FastAPI, client: AsyncClient, others: tuple[Known, Known], picture: Picture
) -> None:
    own, other = others
    nothing = nothing_like(other)
    asked = 0
    for method, path, operation in operations(app):
        kind, fields = body_of(app, operation)
        query = {each["name"] for each in operation.get("parameters", []) if each["in"] == "query"}
        for name in query | set(fields):
            if name in PLAIN or (name == "name" and path != "/collections"):
                continue
            if is_file(fields.get(name, {})):
                continue
            seen = []
            for each in (other, nothing):
                value = {
                    "collection": each.name,
                    "with": each.name,
                    "name": each.name,
                    "identification_id": each.identification_id,
                    **each.ids,
                }[name]
                answer = await call(
                    client,
                    method,
                    path.format(**{"name": own.name, **own.ids}),
                    kind,
                    fields,
                    {name: value},
                    picture,
                )
                seen.append(without_request_id(answer))
            # A list that is asked for what is nowhere is empty.
            empty = (200,) if method == "get" else ()
            assert seen[0][0] in (403, 404, *empty), (method, path, name, seen[0])
            assert seen[0] == seen[1], (method, path, name)
            asked += 1
    assert asked > 10


def is_file(schema: dict[str, Any]) -> bool:
    return any(
        each.get("format") == "binary" or each.get("contentMediaType") or "contentEncoding" in each
        for each in (schema, schema.get("items", {}), *schema.get("anyOf", []))
    )


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, content)
    return file.getvalue()


async def call(
    client: AsyncClient,
    method: str,
    path: str,
    kind: str,
    fields: dict[str, Any],
    values: dict[str, str],
    picture: Picture,
) -> Response:
    if not kind or not values.keys() <= fields.keys():
        return await client.request(method, path, params=values)
    if kind == "application/json":
        filled = {"verdict": "confirmed"} if "verdict" in fields else {}
        return await client.request(method, path, json=filled | values)
    # `/verify` with a subject takes `image`; with two pictures it names nobody.
    contents = {
        "image": picture("obama"),
        "images": picture("obama"),
        "archive": zipped("somebody/a.jpg", picture("obama")),
    }
    files = {name: contents[name] for name in fields.keys() & contents.keys()}
    return await client.request(method, path, data=values, files=files)


async def test_lists_show_the_key_s_own_collections_alone(
    app: FastAPI, client: AsyncClient, others: tuple[Known, Known]
) -> None:
    own, other = others
    lists = [path for method, path, _ in operations(app) if method == "get" and "{" not in path]
    assert len(lists) > 5
    shown = ""
    for path in lists:
        answer = await client.get(path)
        for word in other.words:
            assert word not in answer.text, (path, word)
        shown += answer.text
    for kind in ("subject_id", "job_id", "bundle_id", "erasure_id"):
        assert own.ids[kind] in shown, kind
    names = [each["name"] for each in (await client.get("/collections")).json()["collections"]]
    assert names == ["own"]


async def test_a_subject_of_another_collection_takes_no_samples_by_the_own_one_s_name(
    client: AsyncClient, others: tuple[Known, Known], picture: Picture
) -> None:
    own, other = others
    for collection in (own.name, other.name):
        for subject_id in (other.ids["subject_id"], own.ids["subject_id"], str(uuid4())):
            answer = await client.post(
                "/enroll",
                files={"images": picture("obama3")},
                data={"subject_id": subject_id, "collection": collection},
            )
            allowed = (collection, subject_id) == (own.name, own.ids["subject_id"])
            assert answer.status_code == (201 if allowed else 404)


async def test_a_face_that_was_searched_elsewhere_tells_nothing_here(
    client: AsyncClient, others: tuple[Known, Known]
) -> None:
    own, other = others
    answer = await client.post(
        f"/subjects/{own.ids['subject_id']}/feedback",
        json={"identification_id": other.identification_id, "verdict": "rejected"},
    )
    assert (answer.status_code, answer.json()["code"]) == (404, "subject_not_found")


async def test_the_key_does_in_its_own_collection_what_its_scope_allows(
    client: AsyncClient, others: tuple[Known, Known], picture: Picture
) -> None:
    own, _ = others
    for path in (
        "/collections/own",
        f"/subjects/{own.ids['subject_id']}",
        f"/admin/jobs/{own.ids['job_id']}",
        f"/admin/bundles/{own.ids['bundle_id']}",
        f"/admin/erasures/{own.ids['erasure_id']}",
        "/subjects?collection=own",
        "/version",
    ):
        assert (await client.get(path)).status_code == 200, path
    found = await client.post(
        "/identify", files={"image": picture("obama")}, data={"collection": "own"}
    )
    assert found.json()["faces"][0]["best"]["subject_id"] == own.ids["subject_id"]
    assert (await client.post("/collections", json={"name": "own"})).status_code == 409
    refused = await client.post("/collections", json={"name": "third"})
    assert (refused.status_code, refused.json()["code"]) == (403, "missing_scope")
    # `default` is a collection like others.
    for path in ("/subjects", "/subjects?collection=default"):
        assert (await client.get(path)).json()["code"] == "collection_not_found"
    metrics = await client.get("/metrics")
    assert metrics.status_code in (403, 404)
    assert json.loads(metrics.text)["code"] in ("missing_scope", "not_found")
