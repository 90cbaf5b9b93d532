import os
from dataclasses import replace
from pathlib import Path

import pytest

from training.embedding.listing import (
    BATCH_PICTURES,
    EmbedSettings,
    PicturesUnusable,
    batches_of,
    listed_subjects,
    plan_digest,
)
from training.stores.format import EmbedderIdentity

EMBEDDER = EmbedderIdentity("linear-7", "ab" * 32)


def folders(images: Path, **counts: int) -> Path:
    for subject, count in counts.items():
        (images / subject).mkdir(parents=True)
        for number in range(count):
            (images / subject / f"{number:03}.jpg").write_bytes(b"1234")
    return images


def test_pictures_are_numbered_over_all_subjects(tmp_path: Path) -> None:
    folders(tmp_path, b=3, a=2, c=1, d=0)
    listed = listed_subjects(tmp_path, min_images=1)
    assert [(each.name, each.first, len(each.pictures)) for each in listed] == [
        ("a", 0, 2),
        ("b", 2, 3),
        ("c", 5, 1),
    ]
    assert [each.first for each in listed_subjects(tmp_path, min_images=2)] == [0, 2]
    assert listed[1].picture_name(listed[1].pictures[1]) == "b/001.jpg"


def test_a_folder_that_cannot_be_trained_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PicturesUnusable, match="none: there is no such folder"):
        listed_subjects(tmp_path / "none", min_images=1)
    with pytest.raises(PicturesUnusable, match=r"0 subjects with pictures \(\.jpeg, .* least 2"):
        listed_subjects(tmp_path, min_images=1)
    folders(tmp_path, a=1, b=2, c=0)
    listed_subjects(tmp_path, min_images=1)
    with pytest.raises(PicturesUnusable, match="1 subject with 2 or more pictures"):
        listed_subjects(tmp_path, min_images=2)


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    folders(tmp_path, a=1)
    folder = os.fsencode(tmp_path) + b"/z\xff"
    os.mkdir(folder)  # noqa: PTH102  (a Path can't be made from bytes)
    Path(os.fsdecode(folder), "1.jpg").touch()
    with pytest.raises(PicturesUnusable, match="is not UTF-8; rename it"):
        listed_subjects(tmp_path, min_images=1)


def test_batches_are_of_whole_subjects_and_of_some_pictures(tmp_path: Path) -> None:
    counts = {"a": BATCH_PICTURES - 1, "b": 3 * BATCH_PICTURES, "c": 2, "d": BATCH_PICTURES, "e": 1}
    listed = listed_subjects(folders(tmp_path, **counts), min_images=1)
    batches = batches_of(listed)
    assert [[each.name for each in batch] for batch in batches] == [["a", "b"], ["c", "d"], ["e"]]
    assert batches_of(listed[:4]) == batches[:2]


def test_the_plan_changes_with_pictures_settings_and_embedder(tmp_path: Path) -> None:
    def plan(settings: EmbedSettings = EmbedSettings(), sha256: str = EMBEDDER.sha256) -> str:
        listed = listed_subjects(tmp_path, min_images=1)
        return plan_digest(listed, settings, replace(EMBEDDER, sha256=sha256))

    folders(tmp_path, a=2, b=1)
    first = plan()
    assert plan() == first
    changed = {plan(EmbedSettings(seed=1)), plan(EmbedSettings(degraded=4)), plan(sha256="cd")}
    (tmp_path / "b" / "000.jpg").write_bytes(b"12345")
    changed.add(plan())
    (tmp_path / "b" / "000.jpg").rename(tmp_path / "b" / "001.jpg")
    changed.add(plan())
    assert len(changed - {first}) == 5
