"""`cohort demo`, which is also the shortest test of everything together."""

import shutil
from pathlib import Path

import pytest

from tests.app.cli.conftest import PICTURES, Cohort


@pytest.mark.slow
def test_it_sees_what_it_should(cohort: Cohort) -> None:
    done = cohort("demo")
    assert done.code == 0, done.out
    assert done.words[-1] == ["8", "of", "8", "as", "they", "should", "be"]
    assert [words[-1] for words in done.words[1:-1]] == ["pass"] * 8


@pytest.mark.slow
def test_it_says_what_it_did_not_see(cohort: Cohort, tmp_path: Path) -> None:
    for picture in PICTURES.glob("*.jpg"):
        shutil.copy(picture, tmp_path)
    shutil.copy(PICTURES / "biden.jpg", tmp_path / "obama3.jpg")
    shutil.copy(PICTURES / "cat.jpg", tmp_path / "astronaut.jpg")
    done = cohort("demo", "--pictures", tmp_path)
    assert done.code == 1
    failed = [words[0] for words in done.words if words[-1] == "FAIL"]
    # Nobody is there before, at and after the enrolment.
    assert set(failed) == {"obama3.jpg", "astronaut.jpg"}
    assert done.words[-1][0] == "4"


def test_missing_pictures_are_named(cohort: Cohort, tmp_path: Path) -> None:
    shutil.copy(PICTURES / "cat.jpg", tmp_path)
    done = cohort("demo", "--pictures", tmp_path)
    assert done.code == 3
    assert "lacks obama.jpg, obama2.jpg" in done.err
