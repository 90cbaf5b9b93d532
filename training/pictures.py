"""Folders of pictures, one a subject, read into templates."""

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from models.arrays import Floats
from models.embed import embed
from models.identifier import QueryPath, find_faces


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
        pictures = sorted(picture for picture in subject.iterdir() if picture.is_file())
        if len(pictures) >= min_images and subject.name not in left_out:
            chosen[subject.name] = pictures
    return chosen


def centre_templates(
    path: QueryPath, pictures: Sequence[Path], *, workers: int = 2
) -> Iterator[Floats | None]:
    """Make the template of the face nearest to the centre of each picture, in order.

    Args:
        path: the opened nets.
        pictures: files; one that can't be decoded raises PictureRefused.
        workers: pictures worked on at a time.

    Yields:
        (d,) unit template, or None where no face was found.
    """

    def template(picture: Path) -> Floats | None:
        found = find_faces(path, picture.read_bytes())
        if not len(found):
            return None
        centre = found.nearest_to_centre()
        row: Floats = embed(path.embedder, found.crops[centre : centre + 1])[0]
        return row

    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(template, pictures)
