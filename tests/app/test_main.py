import asyncio
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from app.main import create_app, open_query_path, openapi_document
from app.settings import Settings
from models.calibration import CalibrationInvalid
from models.identifier import QueryPath
from models.zoo import ManifestInvalid

ROOT = Path(__file__).parents[2]
Serve = Callable[[Settings], AbstractAsyncContextManager[AsyncClient]]
Picture = Callable[[str], bytes]


def test_the_openapi_document_is_the_one_that_was_agreed_on() -> None:
    """After a wanted change: `cohort openapi > docs/openapi.json`, and tell it in the changelog."""
    snapshot = json.loads((ROOT / "docs" / "openapi.json").read_text())
    assert json.loads(json.dumps(openapi_document())) == snapshot


def test_every_operation_teaches_and_names_its_errors() -> None:
    document = openapi_document()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path
            assert operation["description"], path
            assert operation["tags"], path
            if operation["tags"] != ["operations"]:
                assert operation["security"] == [{"key": []}], path
                assert {"401", "403"} <= operation["responses"].keys(), path
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert response["content"].keys() == {"application/problem+json"}, path
                    assert response["content"]["application/problem+json"]["examples"], path
                others = response.get("content", {}).keys() - {"application/json"}
                if (
                    status in ("200", "201", "202")
                    and not others
                    and operation["tags"] != ["operations"]
                ):
                    reference = response["content"]["application/json"]["schema"]["$ref"]
                    schema = document["components"]["schemas"][reference.split("/")[-1]]
                    assert schema["examples"], reference


def test_the_problems_that_no_route_names_are_declared() -> None:
    document = openapi_document()
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert {"408", "413", "415", "500"} <= operation["responses"].keys(), path
            if "requestBody" in operation:
                malformed = operation["responses"]["400"]
                assert "`malformed_request`" in malformed["description"], path
            if "security" in operation:
                assert "429" in operation["responses"], path
                unavailable = operation["responses"]["503"]
                assert "`database_unavailable`" in unavailable["description"], path
    refused = document["paths"]["/enroll"]["post"]["responses"]["422"]
    schema = refused["content"]["application/problem+json"]["schema"]["$ref"]
    assert "rejected" in document["components"]["schemas"][schema.split("/")[-1]]["properties"]


async def test_before_its_start_it_is_not_ready(settings: Settings, query_path: QueryPath) -> None:
    app = create_app(settings, open_path=lambda _: query_path)
    async with AsyncClient(transport=ASGITransport(app), base_url="http://cohort") as client:
        assert (await client.get("/healthz")).status_code == 200
        before = await client.get("/readyz")
        assert (before.status_code, before.json()["code"]) == (503, "not_ready")
        async with app.router.lifespan_context(app):
            assert (await client.get("/readyz")).json() == {
                "status": "ready",
                "database": "reachable",
            }
        after = await client.get("/readyz")
        assert (after.status_code, after.json()["code"]) == (503, "not_ready")


async def test_the_first_start_makes_one_admin_key_and_says_where_it_is(
    serve: Serve, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serve(settings) as client:
        path = settings.data_dir / "admin.key"
        token = path.read_text().strip()
        assert path.stat().st_mode & 0o777 == 0o600
        said = capsys.readouterr().out
        assert str(path) in said
        assert token not in said  # who keeps a service's output keeps no key with it
        assert (await client.get("/collections")).status_code == 200
    async with serve(settings) as client:
        assert path.read_text().strip() == token
        assert str(path) not in capsys.readouterr().out
        assert (await client.get("/collections")).status_code == 200


async def test_what_was_enrolled_is_found_after_a_start(
    serve: Serve, settings: Settings, picture: Picture
) -> None:
    async with serve(settings) as client:
        for name in ("obama2", "biden"):
            files = {"images": (name, picture(name))}
            assert (await client.post("/enroll", files=files, data={"name": name})).is_success
    async with serve(settings) as client:
        answer = (await client.post("/identify", files={"image": ("x", picture("obama3"))})).json()
        assert answer["faces"][0]["best"]["name"] == "obama2"
        assert answer["revision"] == 2


async def test_replicas_can_start_at_once(settings: Settings, query_path: QueryPath) -> None:
    apps = [create_app(settings, open_path=lambda _: query_path) for _ in range(3)]

    async def start_and_stop(app: FastAPI) -> None:
        async with app.router.lifespan_context(app):
            await asyncio.sleep(0.1)

    await asyncio.gather(*(start_and_stop(app) for app in apps))


async def test_another_embedder_leaves_a_collection_readable_but_not_usable(
    settings: Settings, query_path: QueryPath, serve: Serve, picture: Picture
) -> None:
    face = {"images": ("x", picture("obama2"))}
    async with serve(settings) as client:
        subject = (await client.post("/enroll", files=face)).json()["subject"]
        token = client.headers["Authorization"]
    embedder = query_path.embedder
    other = dataclasses.replace(
        query_path,
        embedder=dataclasses.replace(
            embedder, manifest=dataclasses.replace(embedder.manifest, name="another")
        ),
    )
    app = create_app(settings, open_path=lambda _: other)
    transport = ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        AsyncClient(
            transport=transport, base_url="http://cohort", headers={"Authorization": token}
        ) as client,
    ):
        image = {"image": ("x", picture("obama3"))}
        for path, files, data in (
            ("/enroll", face, {}),
            ("/enroll", face, {"subject_id": subject["subject_id"]}),
            ("/identify", image, {}),
            ("/verify", image, {"subject_id": subject["subject_id"]}),
        ):
            refused = await client.post(path, files=files, data=data)
            assert (refused.status_code, refused.json()["code"]) == (409, "embedder_mismatch")
            assert refused.json()["running_embedders"][0]["name"] == "another"
        assert (await client.get(f"/subjects/{subject['subject_id']}")).status_code == 200
        await client.post("/collections", json={"name": "new"})
        made = await client.post("/enroll", files=face, data={"collection": "new"})
        assert made.status_code == 201
        # The old one can be given up: an empty one for the running embedder takes its place.
        assert (await client.delete("/collections/default")).status_code == 204
        assert (await client.post("/identify", files=image)).json()["faces"][0]["candidates"] == []


@pytest.mark.parametrize("provider", ["cuda", "openvino"])
def test_a_missing_provider_stops_the_start(provider: str) -> None:
    with pytest.raises(RuntimeError, match=provider):
        open_query_path(Settings.model_validate({"provider": provider}))


def test_a_wrong_embedder_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises((ManifestInvalid, CalibrationInvalid)):
        open_query_path(Settings(embedder=tmp_path / "none.toml"))


def test_the_service_needs_no_heavy_imports() -> None:
    """A start is quick because nothing that takes long is imported for nothing."""
    heavy = ("torch", "scipy", "pandas", "matplotlib", "onnx")
    code = f"import app.main, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONWARNINGS": "default"},
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/subjects/"), ("GET", "/healthz/"), ("POST", "/identify/")]
)
async def test_a_trailing_slash_is_another_path_and_no_redirect(
    client: AsyncClient, method: str, path: str
) -> None:
    answer = await client.request(method, path, headers={"Host": "elsewhere.example"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "Location" not in answer.headers
