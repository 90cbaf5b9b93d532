"""Services that run two embedders."""

import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient
from PIL import Image

from app.main import create_app
from app.services import Services
from app.settings import Settings
from models.identifier import QueryPath
from tests.app.conftest import client_of
from tests.app.embedders.other import make_other_embedder

Replica = tuple[AsyncClient, Services]
Start = Callable[[Settings], Awaitable[Replica]]
PEOPLE = ("obama", "biden", "astronaut")


@pytest.fixture(scope="session")
def other_embedder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifest of a second embedder."""
    return make_other_embedder(tmp_path_factory.mktemp("embedder"))


@pytest.fixture
def both(settings: Settings, other_embedder: Path) -> Settings:
    return settings.model_copy(
        update={"further_embedders": (other_embedder,), "enroll_variants": 2}
    )


@pytest.fixture
async def start(settings: Settings, query_path: QueryPath) -> AsyncIterator[Start]:
    """Start a service with some settings; all end with the test."""

    @asynccontextmanager
    async def replica(own: Settings) -> AsyncIterator[Replica]:
        app = create_app(own, open_path=lambda _: query_path)
        async with app.router.lifespan_context(app), client_of(app, settings) as client:
            yield client, app.state.services

    async with AsyncExitStack() as stack:
        yield lambda own: stack.enter_async_context(replica(own))


def varied(picture: bytes, number: int) -> bytes:
    """The same picture, compressed otherwise: another file, and nearly the same face."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    file = io.BytesIO()
    image.save(file, "JPEG", quality=95 - number)
    return file.getvalue()


async def enrol(client: AsyncClient, picture: bytes, **fields: str) -> dict[str, Any]:
    """Enrol one picture; `select` is there for those with several faces."""
    answer = await client.post(
        "/enroll", files={"images": picture}, data={"select": "largest"} | fields
    )
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def who(client: AsyncClient, picture: bytes, **fields: str) -> tuple[str, str | None]:
    """Which embedder answers, and who the largest face is."""
    answer = await client.post("/identify", files={"image": picture}, data=fields)
    assert answer.status_code == 200, answer.text
    best = answer.json()["faces"][0]["best"]
    return answer.json()["embedder"], None if best is None else best["external_id"]
