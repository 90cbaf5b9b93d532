"""What is to be imported: folders or a CSV, read into one list of subjects with their files."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.cli.output import Failure, printable

# What the service can decode. Other files in a folder (notes, thumbnails' databases) are passed by.
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


@dataclass(frozen=True)
class Subject:
    """One person to enrol.

    `files` are relative to the folder of the import, with forward slashes, as the journal has them.
    """

    external_id: str
    name: str
    files: tuple[str, ...]
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Source:
    """Everything that one import is about."""

    root: Path
    subjects: Sequence[Subject]
    ignored_files: int
    unnameable: Sequence[str] = ()
    """Pictures whose names are not UTF-8, in a form that can be printed."""

    @property
    def file_count(self) -> int:
        """Number of pictures, over all subjects."""
        return sum(len(subject.files) for subject in self.subjects)


def read_folders(root: Path) -> Source:
    """Take each folder directly below `root` as one subject.

    The folder's name is the external_id; the name is the same with blanks for underscores.

    Raises:
        Failure: there is no such folder, or no picture in it.
    """
    if not root.is_dir():
        raise Failure(f"{root} is not a folder.")
    subjects: list[Subject] = []
    unnameable: list[str] = []
    ignored = 0
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        files = sorted(path for path in folder.iterdir() if path.is_file())
        pictures = [path for path in files if path.suffix.lower() in PICTURE_SUFFIXES]
        ignored += len(files) - len(pictures)
        relative = [path.relative_to(root).as_posix() for path in pictures]
        # Neither a form nor a report can carry the others: bytes that stand for no characters.
        named = tuple(path for path in relative if path == printable(path))
        unnameable += [printable(path) for path in relative if path not in named]
        if named:
            subjects.append(Subject(folder.name, folder.name.replace("_", " "), named))
    if not subjects and not unnameable:
        raise Failure(
            f"No pictures found: {root} should hold one folder for each person.",
            hint="Pictures are files that end in .jpg, .jpeg, .png or .webp.",
        )
    return Source(root, subjects, ignored, unnameable)


def read_csv(file: Path, root: Path) -> Source:
    """Take each row as one picture; rows with the same external_id are one subject.

    Args:
        file: with a header line: `path` and `external_id`, optionally `name`; every other column
            becomes metadata of the subject. The first row that says something counts.
        root: the folder that relative paths start from.

    Raises:
        Failure: the file can't be read, or lacks a column or a value, or names a picture under two
            subjects.
    """
    files: dict[str, list[str]] = {}
    owners: dict[str, str] = {}
    names: dict[str, str] = {}
    metadata: dict[str, dict[str, str]] = {}
    try:
        # utf-8-sig: spreadsheets write a byte order mark.
        with file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            for column in ("path", "external_id"):
                if column not in (reader.fieldnames or ()):
                    raise Failure(f"{file} has no column {column}.")
            for row in reader:
                path, external_id = row.pop("path"), row.pop("external_id")
                if not path or not external_id:
                    raise Failure(f"{file}, line {reader.line_num}: no path or no external_id.")
                path = Path(path).as_posix()
                if owners.setdefault(path, external_id) != external_id:
                    raise Failure(f"{file}, line {reader.line_num}: {path} is of two subjects.")
                files.setdefault(external_id, []).append(path)
                names.setdefault(external_id, row.pop("name", "") or external_id)
                known = metadata.setdefault(external_id, {})
                for column, value in row.items():
                    if column and value:
                        known.setdefault(column, value)
    except OSError as error:
        raise Failure(f"{file} can't be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise Failure(f"{file} is not a CSV file in UTF-8: {error}.") from error
    if not files:
        raise Failure(f"{file} has no rows.")
    subjects = [
        Subject(external_id, names[external_id], tuple(dict.fromkeys(paths)), metadata[external_id])
        for external_id, paths in files.items()
    ]
    return Source(root, subjects, ignored_files=0)
