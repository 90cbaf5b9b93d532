"""Who is in an upload, and in which order."""

import io

import pytest

from app.batches import items as module
from app.batches.items import NO_FOLDER, Format, Item, items
from app.batches.lines import TOO_LONG
from tests.app.batches.made import base64_of, ndjson_of, tar_of, zip_of


def read(
    upload: bytes, upload_format: Format, *, enrol: bool = True, skip: set[int] | None = None
) -> list[Item]:
    coming = items(
        io.BytesIO(upload),
        upload_format,
        size=len(upload),
        enrol=enrol,
        max_picture_bytes=1000,
        skip=(skip or set()).__contains__,
    )
    return list(coming)


def contents(item: Item) -> list[bytes]:
    return [picture.content for picture in item.pictures]


@pytest.mark.parametrize("upload_format", ["zip", "tar"])
def test_a_folder_is_a_person(upload_format: Format) -> None:
    make = zip_of if upload_format == "zip" else tar_of
    upload = make({"x/ada_l/1.jpg": b"1", "x/ada_l/2.jpg": b"2", "ben/1.jpg": b"3", "4.jpg": b"4"})
    ada, ben, nobody = read(upload, upload_format)
    assert ada.person is not None
    assert (ada.name, ada.person.external_id, ada.person.name) == ("ada_l", "ada_l", "ada l")
    assert contents(ada) == [b"1", b"2"]
    assert (ben.position, ben.name, contents(ben)) == (1, "ben", [b"3"])
    assert (nobody.person, nobody.wrong) == (None, NO_FOLDER)
    pictures = read(upload, upload_format, enrol=False)
    assert [(each.position, each.name) for each in pictures] == [
        (0, "x/ada_l/1.jpg"),
        (1, "x/ada_l/2.jpg"),
        (2, "ben/1.jpg"),
        (3, "4.jpg"),
    ]


def test_many_pictures_of_one_are_several_items(monkeypatch: pytest.MonkeyPatch) -> None:
    upload = zip_of({f"ada/{number:02}.jpg": bytes(10) for number in range(45)})
    assert [len(item.pictures) for item in read(upload, "zip")] == [20, 20, 5]
    monkeypatch.setattr(module, "MAX_ITEM_BYTES", 30)
    parts = read(upload, "zip")
    assert [len(item.pictures) for item in parts] == [3] * 15
    assert {item.name for item in parts} == {"ada"}
    # The same whether they are read or not.
    skipped = read(upload, "zip", skip=set(range(15)) - {7})
    assert [len(item.pictures) for item in skipped] == [3] * 15
    assert [any(contents(item)) or contents(item) == [bytes(10)] * 3 for item in skipped] == [
        item.position == 7 for item in skipped
    ]


def test_names_that_no_subject_can_have() -> None:
    (item,) = read(zip_of({f"{'n' * 300}/1.jpg": b"1"}), "zip")
    assert item.person is None
    assert item.wrong is not None
    assert "n" * 300 not in item.wrong


def test_lines_of_people() -> None:
    image = base64_of(b"picture")
    upload = ndjson_of(
        {"external_id": "a", "metadata": {"door": 3}, "images": [image, image]},
        {"images": [image]},
        {"images": []},
        {"images": ["no base64!"]},
        {"images": [image], "more": 1},
        {"images": [image], "name": "\0"},
    )
    upload = b"\n" + upload + b"{\n" + b"[" * 5000 + b"\n"
    found = read(upload, "ndjson")
    assert [each.position for each in found] == list(range(8))
    assert found[0].person is not None
    assert (found[0].name, found[0].person.metadata) == ("a", {"door": 3})
    assert contents(found[0]) == [b"picture"] * 2
    assert (found[1].name, found[1].wrong) == (None, None)
    assert [each.wrong is None for each in found] == [True, True] + [False] * 6
    assert found[4].wrong is not None
    assert "more" in found[4].wrong
    assert [each.pictures for each in read(upload, "ndjson", skip=set(range(8)))] == [()] * 8


def test_lines_of_pictures() -> None:
    upload = ndjson_of({"id": "a", "image": base64_of(b"1")}, {"image": "?"}, {"id": "b"})
    found = read(upload, "ndjson", enrol=False)
    assert (found[0].name, contents(found[0])) == ("a", [b"1"])
    assert [each.wrong is None for each in found] == [True, False, False]


def test_a_line_that_is_too_long_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.batches.lines.MAX_LINE_BYTES", 100)
    monkeypatch.setattr("app.batches.lines.PORTION_BYTES", 64)
    short = ndjson_of({"id": "a", "image": base64_of(b"1")})
    for length in (101, 102, 164, 165, 166, 1000):
        upload = b"x" * length + b"\n" + short
        long, found = read(upload, "ndjson", enrol=False)
        assert (long.wrong, found.name) == (TOO_LONG, "a")
    (long,) = read(b"x" * 1000, "ndjson", enrol=False)
    assert long.wrong == TOO_LONG
