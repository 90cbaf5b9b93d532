"""`cohort identify`: one line a face."""

import os
from pathlib import Path

import pytest

from app.cli.identify import display_name
from tests.app.cli.conftest import PICTURES, Cohort, Running


@pytest.fixture(scope="module")
def known(running: Running) -> list[str]:
    """Somebody to be found, as options that lead to the collection."""
    picture = ("obama.jpg", (PICTURES / "obama.jpg").read_bytes())
    collection = running.new_collection()
    running.client.enroll([picture], name="Barack Obama", collection=collection)
    return ["--url", running.url, "--key", running.key, "--collection", collection]


def test_each_file_has_a_line_with_what_was_decided(cohort: Cohort, known: list[str]) -> None:
    files = [PICTURES / name for name in ("obama2.jpg", "biden.jpg", "cat.jpg")]
    done = cohort("identify", *files, *known)
    assert done.code == 0
    header, obama, biden, cat = done.words
    assert header == ["file", "face", "decision", "name", "score", "threshold"]
    assert obama[1:5] == ["1", "match", "Barack", "Obama"]
    assert float(obama[5]) > float(obama[6]) == float(biden[5])
    assert biden[1:4] == ["1", "unknown", "-"]
    assert cat[1:5] == ["-", "no", "face", "-"]


def test_a_stricter_question_has_a_higher_threshold(cohort: Cohort, known: list[str]) -> None:
    def threshold(*more: str) -> float:
        done = cohort("identify", PICTURES / "cat.jpg", *known, *more)
        return float(done.words[1][-1])

    assert threshold("--max-fpir", "0.0001") > threshold()


def test_a_refused_file_is_said_and_the_others_are_answered(
    cohort: Cohort, known: list[str]
) -> None:
    done = cohort("identify", __file__, PICTURES / "cat.jpg", *known)
    assert done.code == 1
    assert "refused" in done.out
    assert "no face" in done.out


def test_a_file_that_can_not_be_read_is_said_before_anything_is_sent(
    cohort: Cohort, tmp_path: Path
) -> None:
    nowhere = ("--url", "http://127.0.0.1:1", "--key", "k")
    for path, reason in ((tmp_path, "Is a directory"), (tmp_path / "none.jpg", "No such file")):
        done = cohort("identify", PICTURES / "cat.jpg", path, *nowhere)
        assert done.code == 3
        assert done.err.startswith(f"cohort: {path} can't be read: {reason}")


def test_a_name_that_is_not_utf_8_is_shown_all_the_same(
    cohort: Cohort, known: list[str], tmp_path: Path
) -> None:
    file = tmp_path / os.fsdecode(b"caf\xe9.jpg")
    file.write_bytes((PICTURES / "cat.jpg").read_bytes())
    done = cohort("identify", file, *known)
    assert done.code == 0
    assert "caf\\xe9.jpg" in done.out


def test_an_unknown_collection_is_a_failure(cohort: Cohort, known: list[str]) -> None:
    done = cohort("identify", PICTURES / "cat.jpg", *known, "--collection", "nobody")
    assert done.code == 3
    assert done.err.startswith("cohort: No collection")


def test_a_subject_is_called_by_the_best_name_that_it_has() -> None:
    ids = {"subject_id": "5e0f", "external_id": "p-44", "name": "Barack Obama"}
    assert display_name(ids) == "Barack Obama"
    assert display_name(ids | {"name": None}) == "p-44"
    assert display_name({"subject_id": "5e0f", "external_id": None, "name": None}) == "5e0f"
