import errno
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from training.run.folder import RunFolder, as_json, digest_of, written_whole
from training.run.refused import RunRefused


def finished(path: Path) -> RunFolder:
    """A directory in which one stage is."""
    folder = RunFolder(path)
    (path / "parts").mkdir(parents=True)
    (path / "parts" / "b").write_text("two")
    (path / "a").write_text("one")
    folder.keep("cluster", "abc", [path / "parts" / "b", path / "a"], note="two files")
    return folder


def test_a_stage_is_kept_while_it_would_be_made_from_the_same(tmp_path: Path) -> None:
    folder = finished(tmp_path / "run")
    record = folder.kept("cluster", "abc")
    assert record is not None
    assert list(record.outputs) == ["a", "parts/b"]
    assert record.note == "two files"
    assert folder.kept("cluster", "abd") is None
    assert folder.kept("subnets", "abc") is None
    # Wherever the directory is, it has the same digest.
    moved = RunFolder(tmp_path / "run").path.rename(tmp_path / "moved")
    assert RunFolder(moved).kept("cluster", "abc") == record
    elsewhere = finished(tmp_path / "elsewhere").record("cluster")
    assert elsewhere is not None
    assert elsewhere.digest == record.digest


@pytest.mark.parametrize("change", ["changed", "longer", "gone", "record"])
def test_a_stage_whose_files_are_not_whole_is_not_kept(tmp_path: Path, change: str) -> None:
    folder = finished(tmp_path)
    assert folder.record("cluster") is not None
    match change:
        case "changed":
            (tmp_path / "a").write_text("uno")
        case "longer":
            (tmp_path / "a").write_text("one more")
        case "gone":
            (tmp_path / "parts" / "b").unlink()
        case "record":
            record = tmp_path / "stages" / "cluster.json"
            record.write_bytes(record.read_bytes()[:-20])
    assert folder.record("cluster") is None


def test_the_digest_follows_the_outputs(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    before = folder.record("cluster")
    (tmp_path / "a").write_text("uno")
    after = folder.keep("cluster", "abc", [tmp_path / "a", tmp_path / "parts" / "b"], note="")
    assert before is not None
    assert after.digest != before.digest


CHILD = """
import sys, time
from pathlib import Path
from training.run.folder import RunFolder
with RunFolder(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    time.sleep(60)
"""


def test_two_at_once_are_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "deep" / "run")
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder.path)], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"locked\n"
        with (
            pytest.raises(RunRefused, match="run: another training is at work there"),
            folder.locked(),
        ):
            pass
        child.send_signal(signal.SIGKILL)
    with folder.locked():
        pass
    with folder.locked():
        pass


def test_a_file_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with written_whole(path) as file:
        file.write(b"first")
    with pytest.raises(TypeError), written_whole(path) as file:
        file.write(b"second" + None)  # type: ignore[operator]
    assert path.read_bytes() == b"first"
    (tmp_path / "file.part").unlink()
    (tmp_path / "file.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space") as error, written_whole(path) as file:
        file.write(b"third")
    assert error.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"first"


def test_values_have_one_spelling() -> None:
    assert as_json({"b": 1, "a": "ë"}) == as_json({"a": "ë", "b": 1})
    assert digest_of({"b": 1, "a": 2}) == digest_of({"a": 2, "b": 1})
    with pytest.raises(ValueError, match="JSON compliant"):
        as_json({"a": float("nan")})
