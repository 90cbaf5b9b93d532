import json
from pathlib import Path

import pytest

from models.weights import DEFAULT_EMBEDDER
from tests.training.embedding.folders_of_pictures import picture_folders
from tests.training.run.jobs import ignore, job_of
from training.embedding.gallery import GALLERY
from training.run.folder import RunFolder
from training.run.sources import Pictures, collection_id, embed, watermark
from training.stores.store import EmbeddingStore


@pytest.mark.slow
def test_pictures_become_the_store_and_what_gave_none_is_said(tmp_path: Path) -> None:
    people = {"Biden": ["biden"], "Cat": ["cat"], "Obama": ["obama", "obama2"]}
    images = picture_folders(tmp_path / "images", people)
    (images / "Biden" / "broken.jpg").write_bytes(b"no picture")
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    source = Pictures(images, 1, DEFAULT_EMBEDDER)
    note = embed(folder, source, ignore)
    assert note.startswith("2 subjects, 3 pictures, ")
    assert "pictures skipped: 1 " in note
    assert note.endswith("1 left out, without a face: Cat")
    assert EmbeddingStore.open(folder.store).subject_ids == ("Biden", "Obama")
    assert watermark(folder) is None
    assert embed(folder, source, ignore) == note
    with pytest.raises(FileExistsError, match="made from other pictures"):
        embed(folder, Pictures(images, 2, DEFAULT_EMBEDDER), ignore)


def test_watermark_and_collection_are_the_gallerys(tmp_path: Path) -> None:
    folder = job_of(tmp_path).folder
    assert (watermark(folder), collection_id(folder)) == (None, None)
    record = {"collection": "staff", "collection_id": "1111-22", "watermark": 41}
    (tmp_path / GALLERY).write_text(json.dumps(record))
    assert (watermark(folder), collection_id(folder)) == (41, "1111-22")
