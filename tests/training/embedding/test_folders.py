import errno
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from models.weights import DEFAULT_EMBEDDER
from tests.training.embedding.folders_of_pictures import PEOPLE, picture_folders
from training.embedding import listing
from training.embedding.folders import MADE_FROM, SKIPPED, EmbedSummary, embed_folder
from training.embedding.listing import EmbedSettings, PicturesUnusable
from training.embedding.skipped import Skipped, read_skipped
from training.stores.format import StoreInvalid
from training.stores.store import EmbeddingStore

SETTINGS = EmbedSettings(degraded=1, seed=5)
FILES = [SKIPPED, MADE_FROM, "store"]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """One batch a subject."""
    monkeypatch.setattr(listing, "BATCH_PICTURES", 1)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return picture_folders(tmp_path / "images", PEOPLE)


def embed_all(
    images: Path,
    run: Path,
    *,
    settings: EmbedSettings = SETTINGS,
    workers: int | None = None,
    calls: list[tuple[int, int]] | None = None,
) -> EmbedSummary:
    return embed_folder(
        images,
        run / "store",
        embedder_manifest=DEFAULT_EMBEDDER,
        settings=settings,
        workers=workers,
        progress=lambda done, total: None if calls is None else calls.append((done, total)),
    )


def contents(run: Path) -> Mapping[str, bytes]:
    return {
        str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()
    }


@pytest.mark.slow
def test_a_store_is_made_with_what_was_asked(images: Path, tmp_path: Path) -> None:
    (images / "Biden" / "1.jpg").write_bytes((images / "Biden" / "0.jpg").read_bytes()[:5000])
    calls: list[tuple[int, int]] = []
    run = tmp_path / "run"
    summary = embed_all(images, run, calls=calls)
    # Of two pictures of Biden one is whole, so that he and the astronaut get two copies each.
    assert summary == EmbedSummary(
        subjects=3,
        pictures=7,
        rows={
            "original": 7,
            "augmented": 4,
            "degraded": 7,
            "hard_resolution": 5,
            "hard_blur": 5,
            "hard_brightness": 5,
            "hard_jpeg": 5,
            "hard_cover": 5,
        },
        skipped={"corrupt_image": 1, "no_face": 1},
        left_out=("Cat",),
    )
    assert calls == [(0, 9), (1, 9), (3, 9), (4, 9), (9, 9)]
    assert sorted(path.name for path in run.iterdir()) == FILES
    assert read_skipped(run / SKIPPED) == (
        Skipped("Biden/1.jpg", "corrupt_image"),
        Skipped("Cat/0.jpg", "no_face"),
    )
    store = EmbeddingStore.open(run / "store")
    assert store.subject_ids == ("Astronaut", "Biden", "Obama")
    np.testing.assert_array_equal(np.unique(store.sources), [0, 1, 4, 5, 6, 7, 8])
    of_obama = store.vectors[(store.labels == 2) & store.originals].astype(np.float32)
    assert (of_obama @ of_obama.T).min() > 0.5
    others = store.vectors[(store.labels != 2) & store.originals].astype(np.float32)
    assert (of_obama @ others.T).max() < 0.5

    # Again, it is only looked at; with other settings or pictures, it is another store.
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    # What a kill after the last rename leaves is cleared away.
    (run / "store.unfinished" / "shards").mkdir(parents=True)
    assert embed_all(images, run, calls=calls) == summary
    assert calls[-1] == (9, 9)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before
    with pytest.raises(FileExistsError, match="store: is there already, made from other"):
        embed_all(images, run, settings=EmbedSettings())
    (run / MADE_FROM).unlink()
    with pytest.raises(FileExistsError, match="store: is there already, made from other"):
        embed_all(images, run)


CHILD = """
import signal
import sys
from pathlib import Path
from training.embedding import listing
from tests.training.embedding.test_folders import embed_all
class Calls(list):
    def append(self, call):
        if call[0] >= int(sys.argv[3]):
            signal.pause()
listing.BATCH_PICTURES = 1
embed_all(Path(sys.argv[1]), Path(sys.argv[2]), calls=Calls())
"""
"""Goes no further than so many pictures: it is killed between two batches."""


@pytest.mark.slow
@pytest.mark.parametrize("batches", [1, 3])
def test_killed_and_resumed_it_has_the_same_bytes(
    images: Path, tmp_path: Path, batches: int
) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    summary = embed_all(images, whole, workers=1)
    pictures = [1, 3, 4][batches - 1]
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(images), str(run), str(pictures)])
    shard = run / "store.unfinished" / "shards" / f"{batches - 1:06}.shard"
    while not shard.exists():
        assert child.poll() is None
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not (run / "store").exists()

    calls: list[tuple[int, int]] = []
    assert embed_all(images, run, workers=3, calls=calls) == summary
    assert calls[0][0] >= pictures, "what was there is not made again"
    assert contents(run) == contents(whole)
    assert sorted(path.name for path in run.iterdir()) == FILES


@pytest.mark.slow
def test_a_full_disk_is_an_error_after_which_it_goes_on(images: Path, tmp_path: Path) -> None:
    whole, run = tmp_path / "whole", tmp_path / "run"
    embed_all(images, whole)
    # Whatever is written to this device does not fit.
    blocked = run / "store.unfinished" / "shards" / "000002.shard.part"
    blocked.parent.mkdir(parents=True)
    blocked.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as error:
        embed_all(images, run)
    assert error.value.errno == errno.ENOSPC
    blocked.unlink()
    calls: list[tuple[int, int]] = []
    embed_all(images, run, calls=calls)
    assert calls[0] == (3, 9)
    assert contents(run) == contents(whole)


def test_what_was_begun_with_other_settings_does_not_go_on(images: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"

    class Enough(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done:
            raise Enough

    with pytest.raises(Enough):
        embed_folder(
            images,
            run / "store",
            embedder_manifest=DEFAULT_EMBEDDER,
            settings=SETTINGS,
            progress=stop,
        )
    with pytest.raises(StoreInvalid, match=r"plan\.json: .* other inputs or settings; remove"):
        embed_all(images, run, settings=EmbedSettings(seed=6))
    (images / "Obama" / "4.jpg").unlink()
    with pytest.raises(StoreInvalid, match=r"plan\.json"):
        embed_all(images, run)


def test_one_subject_with_a_face_is_not_enough(tmp_path: Path) -> None:
    images = picture_folders(tmp_path / "images", {"Cat": ["cat"], "Obama": ["obama"]})
    run = tmp_path / "run"
    for _ in range(2):
        with pytest.raises(
            PicturesUnusable, match=rf"1 subject with a face .*{SKIPPED} lists the pictures"
        ):
            embed_all(images, run)
    assert read_skipped(run / SKIPPED) == (Skipped("Cat/0.jpg", "no_face"),)
    assert not (run / "store").exists()


def test_folders_without_pictures_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "images" / "a").mkdir(parents=True)
    with pytest.raises(PicturesUnusable, match="0 subjects with pictures"):
        embed_all(tmp_path / "images", tmp_path / "run")
    with pytest.raises(PicturesUnusable, match="no such folder"):
        embed_all(tmp_path / "nowhere", tmp_path / "run")
    assert not (tmp_path / "run").exists()
