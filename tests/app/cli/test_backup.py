"""`cohort backup`, `cohort restore` and `cohort erasures` beside a running service."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.cli.child_service import running_service
from tests.app.cli.conftest import PICTURES, Done, Running, cohort_process

pytestmark = pytest.mark.slow


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """Another place. Not under pytest's folder, whose rights pytest itself resets."""
    folder = Path(tempfile.mkdtemp(prefix="cohort-cli-"))
    yield folder
    shutil.rmtree(folder)


def cohort(data: Path, *arguments: str | Path) -> Done:
    return cohort_process(*map(str, arguments), COHORT_DATA_DIR=str(data))


def ask(url: str, key: str, method: str, path: str, **content: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"}
    return httpx.request(method, url + path, headers=headers, trust_env=False, **content)


def enrol(running: Running, name: str, collection: str) -> str:
    answer = ask(
        running.url,
        running.key,
        "POST",
        "/enroll",
        files={"images": (PICTURES / f"{name}.jpg").read_bytes()},
        data={"name": name, "collection": collection},
    )
    assert answer.status_code == 201, answer.text
    subject: str = answer.json()["subject"]["subject_id"]
    return subject


def found(url: str, key: str, name: str, collection: str) -> list[Any]:
    answer = ask(
        url,
        key,
        "POST",
        "/identify",
        files={"image": (PICTURES / f"{name}.jpg").read_bytes()},
        data={"collection": collection},
    )
    assert answer.status_code == 200, answer.text
    return [(face["decision"], face["candidates"]) for face in answer.json()["faces"]]


def test_what_was_backed_up_answers_elsewhere(
    running: Running, elsewhere: Path, tmp_path: Path
) -> None:
    collection = running.new_collection()
    enrol(running, "obama", collection)
    biden = enrol(running, "biden", collection)
    before = found(running.url, running.key, "obama2", collection)
    assert before[0][0] == "match"

    made = cohort(running.data_dir, "backup", tmp_path / "backup.tar")
    assert (made.code, made.out) == (0, ""), made.err
    assert "subjects" in made.err
    assert f"the master key, {running.data_dir.resolve()}/encryption.key" in made.err
    assert (tmp_path / "backup.tar").stat().st_mode & 0o777 == 0o600
    key = (running.data_dir / "encryption.key").read_bytes().strip()
    content = (tmp_path / "backup.tar").read_bytes()
    assert key not in content
    assert b"obama" not in content
    ask(running.url, running.key, "DELETE", f"/subjects/{biden}")
    receipts = tmp_path / "erasures.ndjson"
    exported = cohort(running.data_dir, "erasures", "export", receipts)
    assert exported.code == 0, exported.err
    assert receipts.stat().st_mode & 0o777 == 0o600

    data = elsewhere / "data"
    keyless = cohort(data, "restore", tmp_path / "backup.tar")
    assert keyless.code == 3
    assert "and their key is not here" in keyless.err
    data.mkdir(exist_ok=True)
    shutil.copy(running.data_dir / "encryption.key", data)
    restored = cohort(data, "restore", tmp_path / "backup.tar", "--erasures", receipts)
    assert restored.code == 0, restored.err
    assert "erased again: 1 of" in restored.err
    again = cohort(data, "restore", tmp_path / "backup.tar")
    assert again.code == 3
    assert "The database is not empty" in again.err

    made_key = cohort(data, "keys", "create", "--name", "admin", "--scope", "admin")
    (data / "admin.key").write_text(made_key.out)
    with running_service(elsewhere) as client:
        other_key = made_key.out.strip()
        # Biden is not among the candidates any more.
        after = found(client.url, other_key, "obama2", collection)
        assert [
            (decision, [each for each in candidates if each["subject_id"] != biden])
            for decision, candidates in before
        ] == after
        assert ask(client.url, other_key, "GET", f"/subjects/{biden}").status_code == 404
        # Keys that were made before are good there as here.
        assert found(client.url, running.key, "obama2", collection) == after


def test_a_file_that_is_there_stays(running: Running, tmp_path: Path) -> None:
    (tmp_path / "backup.tar").write_text("mine")
    done = cohort(running.data_dir, "backup", tmp_path / "backup.tar")
    assert done.code == 3
    assert "is there already" in done.err
    assert (tmp_path / "backup.tar").read_text() == "mine"
    nowhere = cohort(running.data_dir, "backup", tmp_path / "nowhere" / "backup.tar")
    assert nowhere.code == 3
    assert "No such file or directory" in nowhere.err


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "No such file or directory"),
        (b"no backup", "can't be restored: it is no whole tar file"),
    ],
)
def test_a_file_that_is_no_backup_is_a_sentence(
    elsewhere: Path, running: Running, tmp_path: Path, content: bytes | None, sentence: str
) -> None:
    shutil.copy(running.data_dir / "encryption.key", elsewhere)
    if content is not None:
        (tmp_path / "backup.tar").write_bytes(content)
    done = cohort(elsewhere, "restore", tmp_path / "backup.tar")
    assert done.code == 3
    assert sentence in done.err
    assert "Traceback" not in done.err


def test_receipts_that_are_none_are_a_sentence(
    elsewhere: Path, running: Running, tmp_path: Path
) -> None:
    shutil.copy(running.data_dir / "encryption.key", elsewhere)
    (tmp_path / "receipts").write_text('\n{"id": 1}\n')
    done = cohort(
        elsewhere, "restore", tmp_path / "backup.tar", "--erasures", tmp_path / "receipts"
    )
    assert done.code == 3
    assert "line 2 is no receipt of an erasure" in done.err


def test_nothing_is_not_backed_up(running: Running, elsewhere: Path, tmp_path: Path) -> None:
    keyless = cohort(elsewhere, "backup", tmp_path / "backup.tar")
    assert keyless.code == 3
    assert "and their key is not here" in keyless.err
    shutil.copy(running.data_dir / "encryption.key", elsewhere)
    done = cohort(elsewhere, "backup", tmp_path / "backup.tar")
    assert done.code == 3
    assert "There is nothing to back up" in done.err
    assert not (tmp_path / "backup.tar").exists()
