from pathlib import Path

import pytest

from training.embedding.skipped import Skipped, read_skipped, write_skipped


@pytest.mark.parametrize(
    "pictures",
    [
        (),
        (Skipped("Zoë, the first/1.jpg", "no_face"), Skipped('a "b"\n/2 .png', "corrupt_image")),
    ],
)
def test_what_was_written_is_read(tmp_path: Path, pictures: tuple[Skipped, ...]) -> None:
    path = tmp_path / "skipped.csv"
    write_skipped(path, pictures)
    assert read_skipped(path) == pictures
    assert path.read_bytes().startswith(b"picture,reason\r\n")
