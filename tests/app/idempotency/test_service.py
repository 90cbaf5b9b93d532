"""Processes that end in the middle, or stand still: the write is done once all the same."""

import asyncio
from collections.abc import Callable
from uuid import uuid4

import psycopg
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.database import Database
from app.idempotency import service
from app.idempotency.answers import Answer
from app.idempotency.claim import Claim, keep_answer
from app.idempotency.repository import Key
from app.idempotency.service import claim_or_answer, purge_answers
from app.problems import AnswerLost, RequestInProgress
from app.services import Services

Picture = Callable[[str], bytes]
Rows = Callable[[], dict[str, int]]

KEY = Key("0123abcd", "0" * 64)
SHA256 = bytes(32)


@pytest.fixture
def services(app: FastAPI) -> Services:
    services: Services = app.state.services
    return services


async def claimed(services: Services) -> Claim:
    held = await claim_or_answer(KEY, SHA256, database=services.database, vault=services.vault)
    assert isinstance(held, Claim)
    return held


async def answered(services: Services) -> Answer:
    held = await claim_or_answer(KEY, SHA256, database=services.database, vault=services.vault)
    assert isinstance(held, Answer)
    return held


async def write(database: Database, name: str) -> None:
    """Change something that can be looked up."""
    async with database.transaction() as session:
        await session.execute(
            text("INSERT INTO secrets (name, value) VALUES (:name, '')"), {"name": name}
        )


def written(database_url: str) -> list[str]:
    with psycopg.connect(database_url) as connection:
        found = connection.execute("SELECT name FROM secrets WHERE value = ''").fetchall()
    return [name for (name,) in found]


def lapse(database_url: str) -> None:
    """Let the time of all claims be over, as if whoever has them stood still."""
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE idempotency SET leased_until = now() - interval '1 second'")


async def test_one_is_in_progress_until_it_has_an_answer(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = await claimed(services)
    monkeypatch.setattr(service, "WAIT_S", 0.3)
    with pytest.raises(RequestInProgress):
        await answered(services)
    monkeypatch.setattr(service, "WAIT_S", 10)
    waiting = asyncio.create_task(answered(services))
    await asyncio.sleep(0.2)
    await claim.finish(Answer(200, [(b"a", b"b")], b"body"))
    assert await waiting == Answer(200, [(b"a", b"b")], b"body")


async def test_one_that_is_given_up_can_be_tried_again(services: Services) -> None:
    first = await claimed(services)
    await first.give_up()
    second = await claimed(services)
    assert first.token != second.token


async def test_a_dead_one_that_wrote_nothing_is_taken_over(
    services: Services, database_url: str
) -> None:
    first = await claimed(services)
    lapse(database_url)
    second = await claimed(services)
    assert first.token != second.token


async def test_a_frozen_one_that_was_taken_over_commits_nothing(
    services: Services, database_url: str
) -> None:
    frozen = await claimed(services)
    lapse(database_url)
    second = await claimed(services)
    async with second.held():
        await write(services.database, "second")
    with pytest.raises(RequestInProgress):
        async with frozen.held():
            await write(services.database, "frozen")
    await second.finish(Answer(200, [], b"second"))
    await frozen.finish(Answer(200, [], b"frozen"))
    await frozen.give_up()
    assert written(database_url) == ["second"]
    assert (await answered(services)).body == b"second"


async def test_one_that_stands_still_before_its_commit_is_not_taken_over(
    services: Services, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "WAIT_S", 0.3)
    lapsed = await claimed(services)
    lapse(database_url)
    async with lapsed.held(), services.database.transaction() as session:
        await session.execute(text("INSERT INTO secrets (name, value) VALUES ('it', '')"))
        await lapsed._note_written(session)
        # From here to the commit its row is locked, and whoever comes sees it unwritten.
        with pytest.raises(RequestInProgress):
            await asyncio.create_task(_outside(services))
    lapse(database_url)
    with pytest.raises(AnswerLost):
        await answered(services)
    assert written(database_url) == ["it"]


async def _outside(services: Services) -> Claim | Answer:
    return await claim_or_answer(KEY, SHA256, database=services.database, vault=services.vault)


async def test_a_dead_one_that_has_written_is_never_done_again(
    services: Services, database_url: str
) -> None:
    claim = await claimed(services)
    async with claim.held():
        await write(services.database, "it")
    lapse(database_url)
    with pytest.raises(AnswerLost):
        await answered(services)


async def test_an_answer_that_was_committed_with_the_write_outlives_its_process(
    services: Services, database_url: str
) -> None:
    claim = await claimed(services)
    async with claim.held():
        keep_answer(None, status=204, revision=7, subject_id=uuid4(), headers={"Location": "/here"})
        await write(services.database, "it")
    lapse(database_url)
    headers = [(b"cohort-revision", b"7"), (b"location", b"/here")]
    assert await answered(services) == Answer(204, headers, b"")


async def test_a_write_that_fails_after_its_commit_is_not_done_again(services: Services) -> None:
    claim = await claimed(services)
    async with claim.held():
        await write(services.database, "it")
    await claim.give_up()  # as after a 503
    with pytest.raises(AnswerLost):
        await answered(services)


async def test_reading_does_not_count_as_a_write(services: Services) -> None:
    claim = await claimed(services)
    async with claim.held(), services.database.transaction() as session:
        await session.execute(text("SELECT * FROM secrets"))
    await claim.give_up()
    await (await claimed(services)).give_up()


async def test_a_job_that_goes_on_after_its_request_writes_freely(
    services: Services, database_url: str
) -> None:
    claim = await claimed(services)
    go_on = asyncio.Event()

    async def job() -> None:
        await go_on.wait()
        await write(services.database, "job")

    async with claim.held():
        working = asyncio.create_task(job())
    await claim.finish(Answer(202, [], b""))
    go_on.set()
    await working
    assert written(database_url) == ["job"]


async def test_the_old_are_purged(services: Services, database_url: str) -> None:
    await (await claimed(services)).finish(Answer(200, [], b""))
    await purge_answers(services.database, hours=24)
    assert (await answered(services)).status == 200
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE idempotency SET created_at = now() - interval '25 hours'")
    await purge_answers(services.database, hours=24)
    await (await claimed(services)).give_up()
