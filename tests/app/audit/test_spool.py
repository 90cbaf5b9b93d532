import os
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from app.audit import spool as module
from app.audit.entry import Entry
from app.audit.spool import Spool, SpoolFile


def entry() -> Entry:
    return Entry("r", "k", "identify", uuid4(), (uuid4(),), "match", 200, "10.0.0.1")


def read(path: Path) -> list[object]:
    file = SpoolFile.take(path)
    assert file is not None
    documents: list[object] = []
    while part := file.next_documents():
        documents += part
    file.close()
    return documents


def test_what_was_appended_is_read_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)
    spool = Spool(tmp_path / "audit")
    entries = [entry() for _ in range(5)]
    spool.append(entries[:3])
    spool.append(entries[3:])
    spool.close()
    (path,) = spool.files()
    assert read(path) == [each.document() for each in entries]
    assert spool.size_bytes() == sum(len(each.line()) for each in entries)


def test_it_is_its_owner_s_alone(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "audit")
    spool.append([entry()])
    (path,) = spool.files()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    spool.close()


def test_it_is_on_the_disk_when_append_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(
        os, "fsync", lambda each: synced.append(Path(f"/proc/self/fd/{each}").readlink())
    )
    spool = Spool(tmp_path / "audit")
    spool.append([entry()])
    (path,) = spool.files()
    assert synced == [path.parent, tmp_path, path]
    spool.close()


def test_a_file_that_is_written_to_is_not_taken(tmp_path: Path) -> None:
    spool, other = Spool(tmp_path), Spool(tmp_path)
    spool.append([entry()])
    (path,) = other.files()
    assert SpoolFile.take(path) is None
    spool.close()
    assert len(read(path)) == 1
    assert SpoolFile.take(tmp_path / "gone.ndjson") is None


def test_a_torn_line_is_left_out(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append([entry(), entry()])
    spool.close()
    (path,) = spool.files()
    path.write_bytes(path.read_bytes()[:-10])
    assert len(read(path)) == 1


def test_after_a_failed_write_another_file_is_begun(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.append([entry()])
    assert spool._descriptor is not None
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, spool._descriptor)
    os.close(full)
    with pytest.raises(OSError, match="No space"):
        spool.append([entry()])
    spool.append([entry()])
    spool.close()
    assert [len(read(path)) for path in spool.files()] == [1, 1]


def test_nothing_is_there_at_first(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "audit")
    assert spool.files() == []
    assert spool.size_bytes() == 0


def test_two_threads_never_close_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path / "audit")
    spool.append([entry()])
    really_close, closed = os.close, []

    def close_slowly(descriptor: int) -> None:
        time.sleep(0.1)
        closed.append(descriptor)
        really_close(descriptor)

    monkeypatch.setattr(os, "close", close_slowly)
    with ThreadPoolExecutor(2) as threads:
        for closing in [threads.submit(spool.close) for _ in range(2)]:
            closing.result()
    assert len(closed) == 1
