import os
from pathlib import Path

import pytest

from vault.master import (
    MasterKeyInvalid,
    key_of_environment,
    read_key_file,
    read_master_key,
    unwrap,
    unwrap_all,
    wrap,
    write_master_key,
)
from vault.vault import KEY_BYTES

MASTER = os.urandom(KEY_BYTES)


def test_a_key_is_read_as_it_was_written() -> None:
    assert read_master_key(f" {write_master_key(MASTER)}\n") == MASTER


@pytest.mark.parametrize("text", ["", "c2hvcnQ=", "secret word!", "A" * 44, "é" * 44])
def test_what_is_no_key_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(MasterKeyInvalid, match="should be 32 bytes in base64") as refused:
        read_master_key(text)
    assert not text or text not in str(refused.value)


def test_a_file_that_holds_no_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyInvalid, match=r"can't be read from .*nothing: No such file"):
        read_key_file(tmp_path / "nothing")
    (tmp_path / "binary").write_bytes(b"\xff" * 32)
    with pytest.raises(MasterKeyInvalid, match="it is no text"):
        read_key_file(tmp_path / "binary")


def test_the_environment_holds_it_or_names_its_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(write_master_key(MASTER))
    other = write_master_key(bytes(KEY_BYTES))
    assert key_of_environment({"COHORT_ENCRYPTION_KEY_FILE": str(file)}) == MASTER
    both = {"COHORT_ENCRYPTION_KEY": other, "COHORT_ENCRYPTION_KEY_FILE": str(file)}
    assert key_of_environment(both) == bytes(KEY_BYTES)
    with pytest.raises(MasterKeyInvalid, match="set COHORT_ENCRYPTION_KEY_FILE"):
        key_of_environment({"COHORT_ENCRYPTION_KEY": ""})


def test_data_keys_open_with_their_master_key_and_under_their_own_id_alone() -> None:
    data_key = os.urandom(KEY_BYTES)
    wrapped = wrap(MASTER, 7, data_key)
    assert data_key not in wrapped
    assert unwrap_all(MASTER, [(7, wrapped)]) == {7: data_key}
    for master, key_id in ((bytes(KEY_BYTES), 7), (MASTER, 8)):
        with pytest.raises(MasterKeyInvalid, match="is not the one"):
            unwrap(master, key_id, wrapped)
