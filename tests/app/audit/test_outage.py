"""While the database is away, identification goes on, and so does the audit log."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from httpx import AsyncClient
from pydantic import SecretStr

from app.settings import Settings
from benchmarks.servers import Postgres
from tests.app.conftest import Serve
from tests.app.metrics.test_routes import tell


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """Not under pytest's folder, whose rights pytest itself resets."""
    with TemporaryDirectory(prefix="cohort-tests-", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder) / "postgres")
        server.start()
        yield server
        server.stop()


async def entries_of(client: AsyncClient, request_ids: list[str]) -> list[dict[str, Any]]:
    """The entries of some requests, as soon as all are there."""
    async with asyncio.timeout(30):
        while True:
            # By what was done: each look is entered, too.
            listed = [
                await client.get("/admin/audit", params={"limit": 100, "action": action})
                for action in ("identify", "enroll")
            ]
            found = [
                each
                for answer in listed
                for each in answer.json().get("entries", [])
                if each["request_id"] in request_ids
            ]
            if len(found) >= len(request_ids):
                return sorted(found, key=lambda each: str(each["at"]))
            await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_what_was_identified_meanwhile_is_entered_later(
    serve: Serve, settings: Settings, own_postgres: Postgres, picture: Callable[[str], bytes]
) -> None:
    settings = settings.model_copy(update={"database_url": SecretStr(own_postgres.url)})
    async with serve(settings) as client:
        enrolled = await client.post("/enroll", files={"images": picture("obama")})
        subject_id = enrolled.json()["subject"]["subject_id"]
        own_postgres.stop()
        told = []
        for number in range(3):
            answer = await client.post(
                "/identify",
                files={"image": picture("obama2")},
                headers={"X-Request-ID": f"r-{number}"},
            )
            assert answer.status_code == 200, answer.text
            assert answer.json()["faces"][0]["decision"] == "match"
            told.append(answer.headers["X-Request-ID"])
        refused = await client.post(
            "/enroll", files={"images": picture("biden")}, headers={"X-Request-ID": "r-3"}
        )
        assert refused.status_code == 503
        away = await tell(client)
        assert away["cohort_database_up"][()] == 0
        assert away["cohort_audit_spool_bytes"][()] > 0
        assert away["cohort_gallery_subjects"]["default",] == 1

        own_postgres.start()
        found = await entries_of(client, [*told, "r-3"])
        assert [each["request_id"] for each in found] == [*told, "r-3"]
        assert [each["outcome"] for each in found] == ["match"] * 3 + ["database_unavailable"]
        assert all(each["subject_ids"] == [subject_id] for each in found[:3])
        async with asyncio.timeout(10):
            while (await tell(client))["cohort_audit_spool_bytes"][()]:
                await asyncio.sleep(0.1)
        assert (await tell(client))["cohort_database_up"][()] == 1
