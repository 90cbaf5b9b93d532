"""`cohort encryption` on a database of its own."""

from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from app.encryption.service import read_data_keys
from tests.app.cli.conftest import Done, cohort_process
from tests.app.conftest import database_url, postgres
from vault.master import MasterKeyInvalid, read_key_file, wrap
from vault.vault import KEY_BYTES, Vault

__all__ = ["database_url", "postgres"]

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> dict[str, str]:
    return {"COHORT_DATABASE_URL": database_url, "COHORT_DATA_DIR": str(tmp_path / "data")}


def rotate_master(settings: dict[str, str], to: Path) -> Done:
    return cohort_process("encryption", "rotate-master", "--to", str(to), **settings)


def test_a_new_master_key_is_made_and_the_old_one_is_worth_nothing(
    settings: dict[str, str], database_url: str, tmp_path: Path
) -> None:
    new = tmp_path / "secrets" / "new.key"
    done = rotate_master(settings, new)
    assert (done.code, done.out) == (0, ""), done.err
    assert "1 data key encrypted with the new master key" in done.err
    assert f"COHORT_ENCRYPTION_KEY_FILE={new}" in done.err
    assert new.stat().st_mode & 0o777 == 0o600
    assert new.read_text().strip() not in done.err
    with pytest.raises(MasterKeyInvalid):
        read_data_keys(database_url, read_key_file(tmp_path / "data" / "encryption.key"))

    stale = cohort_process("encryption", "rotate", **settings)
    assert stale.code == 3
    assert "is not the one that the database's data keys were sealed with" in stale.err
    assert "COHORT_ENCRYPTION_KEY_FILE" in stale.err

    told = settings | {"COHORT_ENCRYPTION_KEY_FILE": str(new)}
    rotated = cohort_process("encryption", "rotate", **told)
    assert rotated.code == 0, rotated.err
    assert "everything is encrypted with data key 2; older ones are deleted" in rotated.err
    assert read_data_keys(database_url, read_key_file(new)).keys() == {2}

    again = rotate_master(told, new)
    assert again.code == 3
    assert "holds the master key that is in use" in again.err


def test_a_file_that_holds_no_key_is_refused(settings: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "no.key").write_text("secret")
    done = rotate_master(settings, tmp_path / "no.key")
    assert done.code == 3
    assert "should be 32 bytes in base64" in done.err
    assert "secret" not in done.err


def test_a_missing_key_is_a_sentence_and_none_is_made(
    settings: dict[str, str], tmp_path: Path
) -> None:
    assert rotate_master(settings, tmp_path / "new.key").code == 0
    elsewhere = settings | {"COHORT_DATA_DIR": str(tmp_path / "elsewhere")}
    done = cohort_process("encryption", "rotate", **elsewhere)
    assert done.code == 3
    assert "templates are encrypted, and their key is not here" in " ".join(done.err.split())
    assert "Traceback" not in done.err
    assert not (tmp_path / "elsewhere").exists()


def test_what_cannot_be_opened_ends_a_rotation_with_a_sentence(
    settings: dict[str, str], database_url: str, tmp_path: Path
) -> None:
    assert rotate_master(settings, tmp_path / "new.key").code == 0
    master = read_key_file(tmp_path / "new.key")
    keys = read_data_keys(database_url, master)
    foreign = Vault(keys).seal(b"x", purpose="another", owner=UUID(int=0))
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO secrets (name, value) VALUES ('n', %s)", [foreign])
        connection.execute(
            "INSERT INTO data_keys (id, wrapped) VALUES (2, %s)",
            [wrap(master, 2, bytes(KEY_BYTES))],
        )
    told = settings | {"COHORT_ENCRYPTION_KEY_FILE": str(tmp_path / "new.key")}
    done = cohort_process("encryption", "rotate", **told)
    assert done.code == 3
    assert "1 contents are still sealed with an old data key" in " ".join(done.err.split())
    assert "content_unreadable" in done.err
