"""The journal: what it keeps over a stop, a crash and a change of mind."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from app.cli.importing.journal import Entry, FileState, Journal
from app.cli.output import Failure

URL = "http://127.0.0.1:8000"


def open_journal(folder: Path, *, collection: str = "default", url: str = URL) -> Journal:
    return Journal.open(folder / "journal.jsonl", url=url, collection=collection, root=folder)


def entry(path: str, state: FileState = FileState(3, 4)) -> Entry:
    return Entry(path, state.size_bytes, state.modified_ns, "ada", "rejected", "no_face", "héros")


def test_what_was_recorded_is_there_after_opening_again(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.record([entry("ada/1.jpg"), entry("ada/2.jpg")])
    assert journal.find("ada/2.jpg", FileState(3, 4)) == entry("ada/2.jpg")
    again = open_journal(tmp_path)
    assert again.find("ada/1.jpg", FileState(3, 4)) == entry("ada/1.jpg")
    assert again.find("ada/3.jpg", FileState(3, 4)) is None


def test_line_ends_and_bytes_in_names_do_not_break_it(tmp_path: Path) -> None:
    names = ["a\u2028b.jpg", "a\u0085b.jpg", "a\nb\r.jpg", "a\udcffb.jpg"]
    open_journal(tmp_path).record([entry(name) for name in names])
    assert (tmp_path / "journal.jsonl").read_bytes().isascii()
    again = open_journal(tmp_path)
    assert all(again.find(name, FileState(3, 4)) == entry(name) for name in names)


def test_only_a_rejection_under_the_same_fields_is_settled(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    state, largest = FileState(3, 4), {"select": "largest"}
    judged = replace(entry("judged.jpg"), fields={})
    enrolled = replace(entry("enrolled.jpg"), status="enrolled")
    journal.record([judged, enrolled, entry("unjudged.jpg")])
    for known in (journal, open_journal(tmp_path)):
        assert known.settles("judged.jpg", state, {})
        assert not known.settles("judged.jpg", state, largest)
        assert known.settles("enrolled.jpg", state, largest)
        assert not known.settles("unjudged.jpg", state, {})
        assert not known.settles("other.jpg", state, {})


def test_a_changed_file_is_new_and_its_last_entry_counts(tmp_path: Path) -> None:
    picture = tmp_path / "1.jpg"
    assert FileState.of(picture) == FileState(-1, -1)
    picture.write_bytes(b"one")
    before = FileState.of(picture)
    journal = open_journal(tmp_path)
    journal.record([entry("1.jpg", before)])
    picture.write_bytes(b"another")
    after = FileState.of(picture)
    assert journal.find("1.jpg", after) is None
    journal.record([entry("1.jpg", after)])
    assert open_journal(tmp_path).find("1.jpg", after) == entry("1.jpg", after)


@pytest.mark.parametrize("kept_characters", [1, 40, -1])
def test_a_line_cut_by_a_crash_is_forgotten(tmp_path: Path, kept_characters: int) -> None:
    open_journal(tmp_path).record([entry("1.jpg")])
    file = tmp_path / "journal.jsonl"
    whole = file.read_text(encoding="utf-8")
    torn = json.dumps({"path": "2.jpg", "padding": "x" * 50})
    file.write_text(whole + torn[:kept_characters], encoding="utf-8")
    journal = open_journal(tmp_path)
    assert journal.find("1.jpg", FileState(3, 4)) is not None
    assert file.read_text(encoding="utf-8") == whole


def test_a_crash_in_the_first_line_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").write_text('{"url": "http')
    journal = open_journal(tmp_path)
    assert journal.find("1.jpg", FileState(3, 4)) is None


@pytest.mark.parametrize("other", [{"collection": "staff"}, {"url": "http://elsewhere"}])
def test_a_journal_of_another_import_is_refused(tmp_path: Path, other: dict[str, str]) -> None:
    open_journal(tmp_path)
    with pytest.raises(Failure, match="journal of another import"):
        open_journal(tmp_path, **other)


@pytest.mark.parametrize(
    "text", ["notes\n", "notes", "[1]\n", '{"url": 1}\n{"no": 1}\n', "1\n{}\n"]
)
def test_another_file_is_left_alone(tmp_path: Path, text: str) -> None:
    file = tmp_path / "journal.jsonl"
    file.write_text(text)
    with pytest.raises(Failure, match="journal"):
        open_journal(tmp_path)
    assert file.read_text() == text


def test_a_place_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="can't be used: No such file"):
        open_journal(tmp_path / "nowhere")
