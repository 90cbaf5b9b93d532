"""A replica that was asleep while the data key was rotated."""

import pytest
from fastapi import FastAPI

from app.encryption import following, rotation
from app.encryption.rotation import rotate
from app.encryption.service import master_key
from app.main import create_app
from app.settings import Settings
from models.identifier import QueryPath
from tests.app.conftest import client_of
from tests.app.subjects.test_service import Picture, enrol


@pytest.fixture
def frozen(settings: Settings, query_path: QueryPath, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """It does not look at the data keys again."""
    monkeypatch.setattr(following, "POLL_S", 3600.0)
    return create_app(settings, open_path=lambda _: query_path)


async def test_it_reads_on_and_can_store_nothing_under_the_old_key(
    frozen: FastAPI, settings: Settings, picture: Picture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "LEARNED_S", 0.0)
    async with (
        frozen.router.lifespan_context(frozen),
        client_of(frozen, settings) as client,
    ):
        services = frozen.state.services
        obama = await enrol(client, picture("obama"), name="obama")
        await rotate(services.database, master_key(settings), lambda _: None)
        refused = await client.post(
            "/enroll", files={"images": ("x.jpg", picture("biden"))}, data={"name": "biden"}
        )
        assert refused.status_code == 503
        assert refused.json()["code"] == "database_unavailable"
        assert refused.headers["Retry-After"] == "1"
        assert (await client.get("/subjects")).json()["subjects"] == [obama]
        # What it reads was sealed anew: so it learns the key, and can write again.
        await services.galleries.refresh()
        services.vault.learn()
        await enrol(client, picture("biden"), name="biden")
        answer = await client.post("/identify", files={"image": ("x.jpg", picture("obama2"))})
        (face,) = answer.json()["faces"]
        assert (face["decision"], face["best"]["name"]) == ("match", "obama")
