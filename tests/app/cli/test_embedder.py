"""`cohort embedder` on a database of its own."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from httpx import AsyncClient

from app.settings import Settings
from tests.app.cli.conftest import Done, cohort_process
from tests.app.conftest import database_url, picture, postgres, query_path, settings
from tests.app.embedders.conftest import Start, both, enrol, other_embedder, start
from tests.app.embedders.other import NAME

__all__ = [
    "both",
    "database_url",
    "other_embedder",
    "picture",
    "postgres",
    "query_path",
    "settings",
    "start",
]

pytestmark = pytest.mark.slow


def change(settings: Settings, manifest: Path) -> Done:
    assert settings.database_url is not None
    return cohort_process(
        *("embedder", "change", "default", "--to", NAME),
        COHORT_DATABASE_URL=settings.database_url.get_secret_value(),
        COHORT_DATA_DIR=str(settings.data_dir),
        COHORT_FURTHER_EMBEDDERS=str(manifest),
    )


async def test_a_collection_gets_another_embedder(
    start: Start,
    both: Settings,
    other_embedder: Path,
    picture: Callable[[str], bytes],
    database_url: str,
) -> None:
    client, _ = await start(both)
    await enrol(client, picture("obama"), external_id="o")
    refused = change(both, other_embedder)
    assert refused.code == 3
    assert "1 of 1 samples have no kept picture" in refused.err
    assert "/admin/collections/NAME/switch" in refused.err

    await client.patch("/collections/default", json={"keep_pictures": True})
    await client.delete(f"/subjects/{(await subject_ids(client))[0]}")
    await enrol(client, picture("obama"), external_id="o")
    done = change(both, other_embedder)
    assert done.code == 0, done.err
    assert f"default has the embedder {NAME}: 1 samples" in done.err
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT embedder_name FROM collections").fetchone()
    assert row == (NAME,)

    again = change(both, other_embedder)
    assert again.code == 3
    assert "already" in again.err


async def subject_ids(client: AsyncClient) -> list[str]:
    answer = await client.get("/subjects")
    return [each["subject_id"] for each in answer.json()["subjects"]]
