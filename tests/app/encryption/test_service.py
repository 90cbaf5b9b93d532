import asyncio
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import select

from app.database import Database
from app.encryption.service import (
    KEY_FILE,
    MasterKeyMissing,
    key_variables,
    master_key,
    open_vault,
    read_data_keys,
)
from app.problems import DatabaseUnavailable
from app.settings import Settings
from app.tables import DataKeyRow
from vault.master import MasterKeyInvalid, key_of_environment, write_master_key
from vault.vault import KEY_BYTES


def settings_of(folder: Path, **settings: object) -> Settings:
    return Settings.model_validate({"data_dir": folder, **settings})


async def test_the_first_start_makes_a_key_and_later_ones_find_it(
    database: Database, tmp_path: Path
) -> None:
    settings = settings_of(tmp_path)
    first = await open_vault(database, settings)
    file = tmp_path / KEY_FILE
    assert file.stat().st_mode & 0o777 == 0o600
    written = file.read_text()
    sealed = first.seal(b"x", purpose="p", owner=(owner := uuid4()))
    again = await open_vault(database, settings)
    assert again.open(sealed, purpose="p", owner=owner) == b"x"
    assert file.read_text() == written


async def test_several_at_once_make_one_key(database: Database, tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    vaults = await asyncio.gather(*(open_vault(database, settings) for _ in range(6)))
    owner = uuid4()
    for one in vaults:
        for other in vaults:
            sealed = one.seal(b"x", purpose="p", owner=owner)
            assert other.open(sealed, purpose="p", owner=owner) == b"x"


async def test_a_replica_without_the_key_refuses_and_makes_none(
    database: Database, tmp_path: Path
) -> None:
    await open_vault(database, settings_of(tmp_path / "first"))
    with pytest.raises(MasterKeyMissing, match="their key is not here: neither"):
        await open_vault(database, settings_of(tmp_path / "second"))
    assert not (tmp_path / "second").exists()
    shared = settings_of(tmp_path / "second", encryption_key_file=tmp_path / "first" / KEY_FILE)
    assert (await open_vault(database, shared)).current == 1


async def test_two_that_start_at_once_on_data_of_their_own_do_not_both_make_one(
    database: Database, tmp_path: Path
) -> None:
    starts = [open_vault(database, settings_of(tmp_path / name)) for name in "abcd"]
    ended = await asyncio.gather(*starts, return_exceptions=True)
    assert sum(isinstance(each, MasterKeyMissing) for each in ended) == 3
    async with database.snapshot() as session:
        assert list(await session.scalars(select(DataKeyRow.id))) == [1]


async def test_another_key_is_refused(database: Database, tmp_path: Path) -> None:
    await open_vault(database, settings_of(tmp_path))
    other = SecretStr(write_master_key(bytes(KEY_BYTES)))
    with pytest.raises(MasterKeyInvalid, match="is not the one that the database's data keys"):
        await open_vault(database, settings_of(tmp_path, encryption_key=other))
    with pytest.raises(MasterKeyInvalid, match="nowhere: No such file"):
        await open_vault(database, settings_of(tmp_path, encryption_key_file=tmp_path / "nowhere"))


async def test_a_key_of_the_settings_is_taken_and_none_made(
    database: Database, tmp_path: Path
) -> None:
    key = bytes(range(KEY_BYTES))
    settings = settings_of(tmp_path, encryption_key=SecretStr(write_master_key(key)))
    await open_vault(database, settings)
    assert master_key(settings) == key
    assert read_data_keys(database.address, key).keys() == {1}
    assert not (tmp_path / KEY_FILE).exists()


async def test_a_child_process_is_told_the_key_in_any_folder(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = settings_of(Path("data"))
    await open_vault(database, settings)
    variables = key_variables(settings)
    monkeypatch.chdir("/")
    assert key_of_environment(variables) == (
        key_of_environment({"COHORT_ENCRYPTION_KEY": (tmp_path / "data" / KEY_FILE).read_text()})
    )
    given = settings_of(tmp_path, encryption_key=SecretStr(write_master_key(bytes(KEY_BYTES))))
    assert key_of_environment(key_variables(given)) == bytes(KEY_BYTES)


def test_a_database_that_is_away_is_told_as_such() -> None:
    with pytest.raises(DatabaseUnavailable):
        read_data_keys("postgresql://nobody@127.0.0.1:1/none", bytes(KEY_BYTES))
