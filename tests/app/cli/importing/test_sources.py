"""What folders and CSV files are read as."""

from pathlib import Path

import pytest

from app.cli.importing.sources import Subject, read_csv, read_folders
from app.cli.output import Failure


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def test_each_folder_is_a_subject_with_its_pictures_sorted(tmp_path: Path) -> None:
    touch(tmp_path, "Grace_Hopper/b.PNG", "Grace_Hopper/a.webp", "ada/1.jpg", "ada/2.jpeg")
    source = read_folders(tmp_path)
    assert source.subjects == [
        Subject("Grace_Hopper", "Grace Hopper", ("Grace_Hopper/a.webp", "Grace_Hopper/b.PNG")),
        Subject("ada", "ada", ("ada/1.jpg", "ada/2.jpeg")),
    ]
    assert source.file_count == 4


def test_other_files_are_counted_and_left(tmp_path: Path) -> None:
    touch(
        tmp_path, "ada/1.jpg", "ada/notes.txt", "ada/deeper/2.jpg", "empty/Thumbs.db", "loose.jpg"
    )
    source = read_folders(tmp_path)
    assert [subject.files for subject in source.subjects] == [("ada/1.jpg",)]
    assert source.ignored_files == 2


def test_no_folder_and_no_pictures_are_said(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="is not a folder"):
        read_folders(tmp_path / "nowhere")
    with pytest.raises(Failure, match="No pictures found"):
        read_folders(tmp_path)


def test_rows_of_one_external_id_are_one_subject(tmp_path: Path) -> None:
    file = tmp_path / "staff.csv"
    # With the byte order mark that spreadsheets write.
    file.write_text(
        "path,external_id,name,team\n1.jpg,7,Ada,engines\n2.jpg,8,,\n./3.jpg,7,,looms\n3.jpg,7,,\n",
        encoding="utf-8-sig",
    )
    source = read_csv(file, tmp_path / "pictures")
    assert source.root == tmp_path / "pictures"
    assert source.subjects == [
        Subject("7", "Ada", ("1.jpg", "3.jpg"), {"team": "engines"}),
        Subject("8", "8", ("2.jpg",)),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("path,name\n1.jpg,Ada\n", "has no column external_id", id="no-column"),
        pytest.param("path,external_id\n", "has no rows", id="no-rows"),
        pytest.param("", "has no column path", id="empty"),
        pytest.param("path,external_id\n1.jpg,7\n2.jpg,\n", "line 3: no path or", id="no-value"),
        pytest.param("path,external_id\n2.jpg\n", "line 2: no path or", id="short-row"),
        pytest.param("path,external_id\n1.jpg,7\n1.jpg,8\n", "of two subjects", id="two-subjects"),
        pytest.param("path,external_id\n\xff\n", "not a CSV file in UTF-8", id="latin-1"),
    ],
)
def test_a_csv_that_can_not_be_used_is_said(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "staff.csv"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(Failure, match=sentence):
        read_csv(file, tmp_path)


def test_a_missing_csv_is_said(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="can't be read: No such file"):
        read_csv(tmp_path / "staff.csv", tmp_path)
