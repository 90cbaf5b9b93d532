"""New keys, while others write and read."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.errors import ForeignKeyViolation
from sqlalchemy import delete, exc, insert, select, update

from app.database import Database
from app.encryption import rotation
from app.encryption.contents import ALL_SEALED, SAMPLES, SealedColumn
from app.encryption.following import following_keys
from app.encryption.repository import is_of_rotated_key
from app.encryption.rotation import Progress, RotationUnfinished, rotate, rotate_master
from app.encryption.service import master_key, open_vault, read_data_keys
from app.settings import Settings
from app.tables import DataKeyRow, SampleRow, SubjectRow
from tests.app.encryption.conftest import (
    CONTENT,
    all_contents,
    contents_of,
    data_keys_in_use,
    store_everything,
)
from vault.master import MasterKeyInvalid
from vault.vault import KEY_BYTES, Vault


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest.fixture
async def vault(database: Database, settings: Settings) -> Vault:
    return await open_vault(database, settings)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else is there who would have to learn the key."""
    monkeypatch.setattr(rotation, "LEARNED_S", 0.0)
    monkeypatch.setattr(rotation, "POLL_S", 0.01)


@pytest.fixture
def in_small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    few = [
        SealedColumn(each.content, each.bound_by, each.binding, rows_at_once=2)
        for each in ALL_SEALED
    ]
    monkeypatch.setattr(rotation, "ALL_SEALED", few)


def told(_progress: Progress) -> None:
    return None


async def write_sample(database: Database, vault: Vault, subject: UUID) -> None:
    async with database.transaction() as session:
        await session.execute(
            insert(SampleRow).values(
                subject_id=subject,
                template=vault.seal(CONTENT, purpose="sample", owner=subject),
                picture_sha256=uuid4().bytes,
                quality_score=1,
                quality_reasons=[],
            )
        )


@pytest.mark.usefixtures("at_once", "in_small_portions")
async def test_everything_is_sealed_anew_and_the_old_key_goes(
    database: Database, vault: Vault, settings: Settings
) -> None:
    await store_everything(database, vault, samples=7)
    old = Vault(read_data_keys(database.address, master_key(settings)))
    seen: list[Progress] = []
    assert await rotate(database, master_key(settings), seen.append) == 2
    assert await data_keys_in_use(database) == {2}
    assert read_data_keys(database.address, master_key(settings)).keys() == {2}
    # Who has held the old key all the while reads what was sealed with the new one.
    contents = await all_contents(database, vault)
    assert contents == [CONTENT] * len(contents)
    assert seen[-1] == Progress(len(contents), len(contents))
    with pytest.raises(LookupError):
        await all_contents(database, old)
    assert await rotate(database, master_key(settings), told) == 3


@pytest.mark.usefixtures("at_once", "in_small_portions")
async def test_one_that_was_ended_goes_on(
    database: Database, vault: Vault, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store_everything(database, vault, samples=30)
    enough = asyncio.Event()
    master = master_key(settings)
    rotating = asyncio.create_task(rotate(database, master, lambda _: enough.set()))
    await enough.wait()
    rotating.cancel()
    await asyncio.gather(rotating, return_exceptions=True)
    assert await data_keys_in_use(database) == {1, 2}
    # Two go on at once; one is done before the other, and waits for it.
    monkeypatch.setattr(rotation, "POLL_S", 0.5)
    assert await asyncio.gather(*(rotate(database, master, told) for _ in range(2))) == [2, 2]
    assert await data_keys_in_use(database) == {2}
    assert await contents_of(database, SAMPLES, vault) == [CONTENT] * 30


@pytest.mark.usefixtures("in_small_portions")
@pytest.mark.slow
async def test_nothing_that_others_write_meanwhile_is_lost(
    database: Database, vault: Vault, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One writer follows the keys; one is frozen before it has learned of the new one."""
    monkeypatch.setattr(rotation, "LEARNED_S", 1.5)
    subject = await store_everything(database, vault)
    frozen = await open_vault(database, settings)
    written, over = 3, asyncio.Event()

    async def write() -> None:
        nonlocal written
        while not over.is_set():
            await write_sample(database, vault, subject)
            written += 1
            await asyncio.sleep(0.01)

    async with following_keys(vault, database):
        writing = asyncio.create_task(write())
        rotating = asyncio.create_task(rotate(database, master_key(settings), told))
        while 2 not in await data_keys_in_use(database):
            await write_sample(database, frozen, subject)
            written += 1
        assert await rotating == 2
        with pytest.raises(exc.IntegrityError) as refused:
            await write_sample(database, frozen, subject)
        assert is_of_rotated_key(refused.value)
        frozen.learn()
        await write_sample(database, frozen, subject)
        over.set()
        await writing
    assert await data_keys_in_use(database) == {2}
    assert await contents_of(database, SAMPLES, vault) == [CONTENT] * (written + 1)


async def test_who_goes_on_with_the_old_key_keeps_it(
    database: Database, vault: Vault, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a service that was not started again after another master key: it can't learn."""
    monkeypatch.setattr(rotation, "LEARNED_S", 0.0)
    monkeypatch.setattr(rotation, "POLL_S", 0.01)
    there_is_another, is_written = asyncio.Event(), asyncio.Event()
    count_left = rotation._count_left

    async def count_late(*arguments: Any) -> int:
        there_is_another.set()
        await is_written.wait()
        return await count_left(*arguments)

    monkeypatch.setattr(rotation, "_count_left", count_late)
    subject = await store_everything(database, vault)
    async with database.transaction() as session:
        values = {"subject_id": subject, "quality_score": 1, "quality_reasons": []}
        sealed = vault.seal(CONTENT, purpose="sample", owner=subject)
        rows = {**values, "template": sealed, "picture_sha256": b"late"}
        rotating = asyncio.create_task(rotate(database, master_key(settings), told))
        await there_is_another.wait()
        assert 2 in read_data_keys(database.address, master_key(settings))
        # Begun before the rotation has deleted the key, committed after it has tried to.
        await session.execute(insert(SampleRow).values(rows))
        is_written.set()
        await asyncio.sleep(0.5)
        assert not rotating.done()
    assert await rotating == 2
    assert await contents_of(database, SAMPLES, vault) == [CONTENT] * 4


async def test_a_key_that_is_needed_can_not_be_deleted_nor_one_that_is_gone_be_used(
    database: Database, vault: Vault
) -> None:
    subject = await store_everything(database, vault)
    with pytest.raises(exc.IntegrityError) as needed:
        async with database.transaction() as session:
            await session.execute(delete(DataKeyRow))
    assert isinstance(needed.value.orig, ForeignKeyViolation)
    gone = Vault({2: bytes(KEY_BYTES)})
    with pytest.raises(exc.IntegrityError) as refused:
        await write_sample(database, gone, subject)
    assert is_of_rotated_key(refused.value)
    assert not is_of_rotated_key(ValueError())


@pytest.mark.usefixtures("at_once")
async def test_what_cannot_be_opened_keeps_the_old_key(
    database: Database, vault: Vault, settings: Settings
) -> None:
    subject = await store_everything(database, vault)
    foreign = vault.seal(CONTENT, purpose="sample", owner=uuid4())
    async with database.transaction() as session:
        first = select(SampleRow.id).where(SampleRow.subject_id == subject).limit(1)
        await session.execute(
            update(SampleRow)
            .where(SampleRow.id == first.scalar_subquery())
            .values(template=foreign)
        )
    with pytest.raises(RotationUnfinished, match="1 contents are still sealed with an old"):
        await rotate(database, master_key(settings), told)
    assert read_data_keys(database.address, master_key(settings)).keys() == {1, 2}
    async with database.transaction() as session:
        await session.execute(delete(SampleRow).where(SampleRow.template == foreign))
    assert await rotate(database, master_key(settings), told) == 2
    assert read_data_keys(database.address, master_key(settings)).keys() == {2}


@pytest.mark.usefixtures("at_once")
async def test_a_row_that_others_hold_is_waited_for(
    database: Database, vault: Vault, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "POLL_S", 0.2)
    subject = await store_everything(database, vault)
    async with database.transaction() as session:
        await session.execute(
            select(SampleRow.id).where(SampleRow.subject_id == subject).with_for_update()
        )
        rotating = asyncio.create_task(rotate(database, master_key(settings), told))
        await asyncio.sleep(0.3)
        assert not rotating.done()
    assert await rotating == 2


@pytest.mark.usefixtures("at_once")
async def test_subjects_may_be_deleted_meanwhile(
    database: Database, vault: Vault, settings: Settings
) -> None:
    subjects = [await store_everything(database, vault, samples=20) for _ in range(4)]

    async def erase() -> None:
        for subject in subjects[:2]:
            async with database.transaction() as session:
                await session.execute(delete(SubjectRow).where(SubjectRow.id == subject))

    await asyncio.gather(erase(), rotate(database, master_key(settings), told))
    assert await contents_of(database, SAMPLES, vault) == [CONTENT] * 40


async def test_another_master_key_opens_the_same_contents(
    database: Database, vault: Vault, settings: Settings
) -> None:
    await store_everything(database, vault)
    before = await all_contents(database, vault)
    old, new = master_key(settings), bytes(range(KEY_BYTES))
    assert await rotate_master(database, old=old, new=new) == 1
    with pytest.raises(MasterKeyInvalid):
        read_data_keys(database.address, old)
    afresh = Vault(read_data_keys(database.address, new))
    assert await all_contents(database, afresh) == before
    with pytest.raises(MasterKeyInvalid):
        await rotate_master(database, old=old, new=bytes(KEY_BYTES))


async def test_who_runs_on_goes_on_after_another_master_key(
    database: Database, vault: Vault, settings: Settings
) -> None:
    subject = await store_everything(database, vault)
    await rotate_master(database, old=master_key(settings), new=bytes(KEY_BYTES))
    async with following_keys(vault, database):
        await asyncio.sleep(1.2)
        await write_sample(database, vault, subject)
        assert len(await contents_of(database, SAMPLES, vault)) == 4
