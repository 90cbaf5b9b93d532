"""Folders of pictures, one a subject, read into templates."""

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from models.arrays import Floats
from models.decode import PictureRefused
from models.embed import embed
from models.identifier import QueryPath, find_faces

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
"""Of the files that are taken for pictures; others in a subject's folder are passed over."""


def chosen_pictures(
    folder: Path, *, min_images: int = 1, left_out: Collection[str] = ()
) -> dict[str, list[Path]]:
    """List the pictures of each subject, names and pictures sorted.

    Args:
        folder: holds one folder a subject.
        min_images: subjects with fewer are left out.
        left_out: names of subjects that are not to be used (known label errors, say).
    """
    chosen = {}
    for subject in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        pictures = sorted(
            entry
            for entry in subject.iterdir()
            if entry.suffix.lower() in SUFFIXES and entry.is_file()
        )
        if len(pictures) >= min_images and subject.name not in left_out:
            chosen[subject.name] = pictures
    return chosen


def centre_templates(
    path: QueryPath, pictures: Sequence[Path], *, workers: int = 2
) -> Iterator[Floats | None]:
    """Make the template of the face nearest to the centre of each picture, in order.

    Args:
        path: the opened nets.
        pictures: files.
        workers: pictures worked on at a time.

    Yields:
        (d,) unit template, or None where no face was found.

    Raises:
        ValueError: a file can't be decoded; the message names it.
    """

    def template(picture: Path) -> Floats | None:
        try:
            found = find_faces(path, picture.read_bytes())
        except PictureRefused as refused:
            raise ValueError(f"{picture}: {refused.detail}") from refused
        if not len(found):
            return None
        centre = found.nearest_to_centre()
        row: Floats = embed(path.embedder, found.crops[centre : centre + 1])[0]
        return row

    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(template, pictures)
