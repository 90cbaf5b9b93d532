"""`cohort import` into a real service: first, again, interrupted, with bad pictures."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image, ImageEnhance

from tests.app.cli.conftest import PICTURES, ROOT, Cohort, Running

PEOPLE = {"Barack_Obama": "obama2.jpg", "Joe_Biden": "biden.jpg", "Eileen_Collins": "astronaut.jpg"}


def fill(root: Path, *, pictures: int) -> None:
    """A folder for each of the cast with that many pictures, all different."""
    for person, file in PEOPLE.items():
        (root / person).mkdir(parents=True)
        with Image.open(PICTURES / file) as opened:
            opened.thumbnail((360, 360))
            for number in range(pictures):
                brighter = ImageEnhance.Brightness(opened).enhance(0.8 + 0.02 * number)
                brighter.save(root / person / f"{number:02}.jpg")


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that journal and report come into."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def target(running: Running) -> list[str]:
    """Options that lead to an empty collection."""
    collection = running.new_collection()
    return ["--url", running.url, "--key", running.key, "--collection", collection]


def counts(words: list[list[str]]) -> dict[str, int]:
    names = ("enrolled", "already there", "rejected", "not dealt with yet")
    lines = {" ".join(line[:-1]): line[-1] for line in words}
    return {name: int(lines[name]) for name in names if name in lines}


def samples(running: Running, target: list[str]) -> dict[str, int]:
    """Number of samples of each subject, by external_id."""
    subjects = running.subjects(target[-1])
    return {person: subject["sample_count"] for person, subject in subjects.items()}


def test_folders_are_enrolled_and_a_second_run_sends_nothing(
    cohort: Cohort, running: Running, target: list[str], workplace: Path
) -> None:
    fill(workplace.parent / "people", pictures=2)
    done = cohort("import", workplace.parent / "people", *target)
    assert done.code == 0, done.out + done.err
    assert counts(done.words) == {"enrolled": 6, "already there": 0, "rejected": 0}
    assert samples(running, target) == dict.fromkeys(PEOPLE, 2)
    assert [path.name for path in workplace.iterdir()] == ["cohort-import-people.jsonl"]

    again = cohort("import", workplace.parent / "people", *target)
    assert again.code == 0
    assert "sent now: 0 of 6" in again.err
    assert counts(again.words) == {"enrolled": 6, "already there": 0, "rejected": 0}


def test_a_lost_journal_does_no_harm(
    cohort: Cohort, running: Running, target: list[str], workplace: Path
) -> None:
    fill(workplace.parent / "people", pictures=2)
    cohort("import", workplace.parent / "people", *target)
    (workplace / "cohort-import-people.jsonl").unlink()
    done = cohort("import", workplace.parent / "people", *target)
    assert done.code == 0
    assert counts(done.words) == {"enrolled": 0, "already there": 6, "rejected": 0}
    assert samples(running, target) == dict.fromkeys(PEOPLE, 2)


@pytest.mark.slow
def test_more_pictures_than_a_call_takes(
    cohort: Cohort, running: Running, target: list[str], workplace: Path
) -> None:
    fill(workplace.parent / "people", pictures=23)
    done = cohort("import", workplace.parent / "people", *target)
    assert done.code == 0, done.out + done.err
    assert samples(running, target) == dict.fromkeys(PEOPLE, 23)


def test_what_is_rejected_is_reported_until_it_is_better(
    cohort: Cohort, target: list[str], workplace: Path
) -> None:
    people = workplace.parent / "people"
    fill(people, pictures=1)
    (people / "Joe_Biden" / "cat.jpg").write_bytes((PICTURES / "cat.jpg").read_bytes())
    (people / "nobody").mkdir()
    (people / "nobody" / "torn.png").write_bytes(b"no picture")
    (people / "nobody" / "notes.txt").write_text("left alone")
    for _ in range(2):
        done = cohort("import", people, *target)
        assert done.code == 1
        assert counts(done.words) == {"enrolled": 3, "already there": 0, "rejected": 2}
        assert "files left because of their names: 1" in done.err
    with (workplace / "cohort-import-people-rejected.csv").open(newline="") as file:
        reasons = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert reasons == {"Joe_Biden/cat.jpg": "no_face", "nobody/torn.png": "unsupported_format"}

    (people / "Joe_Biden" / "cat.jpg").unlink()
    better = io.BytesIO()
    with Image.open(PICTURES / "obama.jpg") as opened:
        opened.save(better, "PNG")
    (people / "nobody" / "torn.png").write_bytes(better.getvalue())
    done = cohort(
        *("import", people, *target, "--select", "largest", "--allow-conflict"),
        *("--report", workplace / "left.jsonl"),
    )
    assert done.code == 0, done.out
    assert "sent now: 1 of 4" in done.err
    assert not (workplace / "left.jsonl").exists()


def test_what_other_options_may_take_is_sent_again(
    cohort: Cohort, target: list[str], workplace: Path
) -> None:
    person = workplace.parent / "people" / "pair"
    person.mkdir(parents=True)
    with Image.open(PICTURES / "obama2.jpg") as one, Image.open(PICTURES / "biden.jpg") as other:
        height = min(one.height, other.height)
        both = Image.new("RGB", (one.width + other.width, height))
        both.paste(one, (0, 0))
        both.paste(other, (one.width, 0))
        both.save(person / "both.jpg")
    command = ("import", person.parent, *target)
    first, again = cohort(*command), cohort(*command)
    assert (first.code, again.code) == (1, 1), first.err
    assert "multiple_faces" in first.out
    assert "sent now: 0 of 1" in again.err
    done = cohort(*command, "--select", "largest")
    assert done.code == 0, done.out
    assert "sent now: 1 of 1" in done.err
    assert "sent now: 0 of 1" in cohort(*command).err


def test_names_that_are_not_utf_8_are_said_and_the_others_enrolled(
    cohort: Cohort, running: Running, target: list[str], workplace: Path
) -> None:
    people = workplace.parent / "people"
    odd = "Zo\u2028e\u0085"
    (people / odd).mkdir(parents=True)
    content = (PICTURES / "obama2.jpg").read_bytes()
    (people / odd / "a\u2028.jpg").write_bytes(content)
    for path in (people / odd / os.fsdecode(b"f\xfc.jpg"), people / os.fsdecode(b"\xfc") / "1.jpg"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    for _ in range(2):
        done = cohort("import", people, *target, "--report", workplace / "left.csv")
        assert done.code == 1, done.err
        assert counts(done.words) == {"enrolled": 1, "already there": 0, "rejected": 0}
        assert "names are not UTF-8: 2, such as " in done.err
        assert "\\xfc" in done.err
    assert "sent now: 0 of 1" in done.err
    assert samples(running, target) == {odd: 1}


def test_rows_of_a_csv_with_metadata(
    cohort: Cohort, running: Running, target: list[str], workplace: Path
) -> None:
    file = workplace / "staff.csv"
    file.write_text(
        "path,external_id,name,team\n"
        f"{PICTURES}/obama2.jpg,7,Barack Obama,white house\n"
        f"{PICTURES}/obama3.jpg,7,,\n"
        "missing.jpg,8,Nobody,\n"
    )
    done = cohort("import", "--csv", file, *target, "--report", workplace / "left.jsonl")
    assert done.code == 1
    assert counts(done.words) == {"enrolled": 2, "already there": 0, "rejected": 1}
    (left,) = map(json.loads, (workplace / "left.jsonl").read_text().splitlines())
    assert left["path"] == "missing.jpg"
    assert left["reason"] == "unreadable_file"
    subjects = running.subjects(target[-1])
    assert list(subjects) == ["7"]
    subject = subjects["7"]
    assert subject["name"] == "Barack Obama"
    assert subject["metadata"] == {"team": "white house"}
    assert subject["sample_count"] == 2


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_import_continues(
    cohort: Cohort, running: Running, target: list[str], workplace: Path, end: signal.Signals
) -> None:
    fill(workplace.parent / "people", pictures=25)
    command = ["import", str(workplace.parent / "people"), *target, "--parallel", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "app.cli", *command],
        cwd=workplace,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    journal = workplace / "cohort-import-people.jsonl"
    deadline = time.monotonic() + 60
    while not (journal.exists() and len(journal.read_text().splitlines()) > 5):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(end)
    _, said = process.communicate(timeout=60)
    if end == signal.SIGINT:
        assert process.returncode == 130
        assert "The same command continues" in said
    done = cohort(*command)
    assert done.code == 0, done.out + done.err
    assert "sent now: 75" not in done.err
    counted = counts(done.words)
    assert counted["enrolled"] + counted["already there"] == 75
    assert samples(running, target) == dict.fromkeys(PEOPLE, 25)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--url", "http://127.0.0.1:1"], "No service answers"),
        (["--key", "cohort_00000000_" + 43 * "x"], "does not accept this API key"),
        (["--collection", "nobody"], "No collection has this name"),
        (["--journal", "/nowhere/journal"], "The journal /nowhere/journal can't be used"),
    ],
)
def test_what_can_not_be_done_is_a_sentence(
    cohort: Cohort, target: list[str], workplace: Path, options: list[str], sentence: str
) -> None:
    fill(workplace.parent / "people", pictures=1)
    done = cohort("import", workplace.parent / "people", *target, *options)
    assert done.code == 3
    assert sentence in done.err
    assert not (workplace / "cohort-import-people-rejected.csv").exists()
