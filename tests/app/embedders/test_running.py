from collections.abc import Callable
from pathlib import Path

import pytest

from app.embedders.running import Embedders
from app.problems import EmbedderNotRunning
from app.settings import Settings
from models.identifier import QueryPath
from models.zoo import EmbedderId, ManifestInvalid
from tests.app.embedders.conftest import Start, enrol, who
from tests.app.embedders.other import NAME, make_other_embedder

Picture = Callable[[str], bytes]
DEFAULT = "mobilefacenet-192"


async def test_each_collection_is_searched_by_its_own_embedder(
    start: Start, both: Settings, picture: Picture
) -> None:
    client, _ = await start(both)
    made = await client.post("/collections", json={"name": "other", "embedder": NAME})
    assert made.json()["embedder"]["name"] == NAME
    assert (await client.post("/collections", json={"name": "mine"})).json()["embedder"][
        "name"
    ] == DEFAULT
    for collection, embedder in (("default", DEFAULT), ("other", NAME)):
        asked = {"collection": collection}
        body = await enrol(client, picture("obama"), external_id="o", **asked)
        await enrol(client, picture("biden"), external_id="b", **asked)
        assert await who(client, picture("obama2"), **asked) == (embedder, "o")
        assert await who(client, picture("biden"), **asked) == (embedder, "b")
        verified = await client.post(
            "/verify",
            files={"image": picture("obama3")},
            data={"subject_id": body["subject"]["subject_id"]},
        )
        assert (verified.json()["match"], verified.json()["embedder"]) == (True, embedder)


async def test_the_version_lists_what_runs(start: Start, both: Settings) -> None:
    client, services = await start(both)
    version = (await client.get("/version")).json()
    assert version["embedder"] == DEFAULT
    assert version["embedders"] == [
        {"name": each.manifest.name, "sha256": each.manifest.sha256} for each in services.embedders
    ]
    assert [each["name"] for each in version["embedders"]] == [DEFAULT, NAME]


async def test_what_does_not_run_is_refused(
    start: Start, both: Settings, settings: Settings, picture: Picture
) -> None:
    client, _ = await start(both)
    refused = await client.post("/collections", json={"name": "x", "embedder": "nobodys"})
    assert (refused.status_code, refused.json()["code"]) == (422, "embedder_not_running")
    assert refused.json()["embedders"] == [DEFAULT, NAME]
    await client.post("/collections", json={"name": "other", "embedder": NAME})
    alone, _ = await start(settings)
    refused = await alone.post(
        "/identify", files={"image": picture("obama")}, data={"collection": "other"}
    )
    assert (refused.status_code, refused.json()["code"]) == (409, "embedder_mismatch")
    assert refused.json()["collection_embedder"]["name"] == NAME
    assert [each["name"] for each in refused.json()["running_embedders"]] == [DEFAULT]


def test_the_detector_is_shared(both: Settings, query_path: QueryPath) -> None:
    default, further = Embedders.open(both, lambda _: query_path)
    assert default.path.nets is further.path.nets
    assert further.path.embedder.manifest.dimension == 160


def test_the_default_one_may_be_listed_beside(settings: Settings, query_path: QueryPath) -> None:
    twice = settings.model_copy(update={"further_embedders": (settings.embedder,)})
    embedders = Embedders.open(twice, lambda _: query_path)
    assert [each.manifest.name for each in embedders] == [DEFAULT]


def test_two_of_one_name_are_refused(
    settings: Settings, query_path: QueryPath, tmp_path: Path
) -> None:
    namesake = make_other_embedder(tmp_path, name=DEFAULT)
    own = settings.model_copy(update={"further_embedders": (namesake,)})
    with pytest.raises(ManifestInvalid, match="the same name"):
        Embedders.open(own, lambda _: query_path)


def test_what_is_not_known_is_not_found(settings: Settings, query_path: QueryPath) -> None:
    embedders = Embedders.open(settings, lambda _: query_path)
    assert not embedders.runs(EmbedderId(DEFAULT, "0" * 64))
    with pytest.raises(EmbedderNotRunning):
        embedders.named(NAME)


def test_they_are_listed_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COHORT_FURTHER_EMBEDDERS", "a/manifest.toml, b/manifest.toml,")
    assert Settings().further_embedders == (Path("a/manifest.toml"), Path("b/manifest.toml"))
    monkeypatch.delenv("COHORT_FURTHER_EMBEDDERS")
    assert Settings().further_embedders == ()
