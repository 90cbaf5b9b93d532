from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.small_stores import batch_of, begin, joined, store_of
from training.stores.format import EmbedderIdentity, Kind, StoreInvalid
from training.stores.store import EmbeddingStore
from training.stores.writer import Batch, StoreWriter

BATCHES = [batch_of(["a", "b"]), batch_of([], seed=1), batch_of(["b", "c", "d"], seed=2)]


def contents(folder: Path) -> Mapping[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def aside(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.unfinished")


def test_bytes_do_not_depend_on_batches(tmp_path: Path) -> None:
    expected = contents(store_of(tmp_path / "one", [joined(BATCHES)]).folder)
    assert contents(store_of(tmp_path / "many", BATCHES).folder) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["many", "one"]


@pytest.mark.parametrize("killed_after", range(len(BATCHES) + 1))
def test_after_a_kill_it_goes_on(tmp_path: Path, killed_after: int) -> None:
    expected = contents(store_of(tmp_path / "whole", BATCHES).folder)
    folder = tmp_path / "store"
    writer = begin(folder)
    for batch in BATCHES[:killed_after]:
        writer.append(batch)
    # What a kill in the midst of the next shard and of an earlier `finish` leaves.
    (aside(folder) / "shards" / f"{killed_after:06}.shard.part").write_bytes(b"half")
    (aside(folder) / "store").mkdir()
    (aside(folder) / "store" / "vectors.f16").write_bytes(b"half")
    assert not folder.exists()

    writer = begin(folder)
    assert len(writer) == killed_after
    for batch in BATCHES[len(writer) :]:
        writer.append(batch)
    writer.finish()
    assert contents(folder) == expected
    assert not aside(folder).exists()


def test_a_kill_before_the_shards_were_removed_leaves_the_store(tmp_path: Path) -> None:
    store = store_of(tmp_path / "store", BATCHES)
    (aside(store.folder) / "shards").mkdir(parents=True)
    with pytest.raises(FileExistsError, match="is there already"):
        begin(store.folder)
    assert not aside(store.folder).exists()
    EmbeddingStore.open(store.folder)


def test_another_plan_does_not_go_on(tmp_path: Path) -> None:
    begin(tmp_path / "store").append(BATCHES[0])
    with pytest.raises(StoreInvalid, match=r"plan\.json: .* other inputs or settings"):
        begin(tmp_path / "store", plan="q")
    with pytest.raises(StoreInvalid, match=r"plan\.json"):
        StoreWriter(
            tmp_path / "store",
            embedder=EmbedderIdentity("other", "cd" * 32),
            dimension=8,
            synthetic=False,
            plan="p",
        )
    assert len(begin(tmp_path / "store")) == 1


def spoilt(vectors: float) -> Batch:
    batch = batch_of(["a", "b"])
    changed = batch.vectors.copy()
    changed[1] = vectors
    return replace(batch, vectors=changed)


GOOD = batch_of(["a", "b"])


@pytest.mark.parametrize(
    ("batch", "what"),
    [
        (spoilt(np.nan), "row 1 is not finite"),
        (spoilt(0), "row 1 is zero"),
        (spoilt(1), "row 1 is of length 2.83"),
        (replace(GOOD, vectors=GOOD.vectors[:, :7]), "shape"),
        (replace(GOOD, vectors=GOOD.vectors[:3]), "shape"),
        (replace(GOOD, kinds=GOOD.kinds[:3]), "different lengths"),
        (replace(GOOD, kinds=np.full(4, 8, np.uint8)), "kinds"),
        (replace(GOOD, sources=np.full(4, -1, np.int32)), "sources"),
        (replace(GOOD, quality=np.full(4, 1.1, np.float32)), "quality"),
        (replace(GOOD, subject_ids=["a", "b", "a", ""]), "empty subject id"),
    ],
)
def test_a_wrong_batch_is_refused_and_nothing_written(
    tmp_path: Path, batch: Batch, what: str
) -> None:
    writer = begin(tmp_path / "store")
    writer.append(BATCHES[0])
    with pytest.raises(StoreInvalid, match=f"store, batch 1.*{what}"):
        writer.append(batch)
    assert len(writer) == len(begin(tmp_path / "store")) == 1


def test_a_store_without_subjects_is_not_made(tmp_path: Path) -> None:
    writer = begin(tmp_path / "store")
    for _ in range(2):
        with pytest.raises(StoreInvalid, match="store: there are no subjects"):
            writer.finish()
        writer.append(batch_of([]))
    assert not (tmp_path / "store").exists()


def test_a_subject_without_an_original_is_named_and_shards_stay(tmp_path: Path) -> None:
    writer = begin(tmp_path / "store")
    batch = batch_of(["a", "b"])
    writer.append(replace(batch, kinds=np.array([0, 1, 2, 2], np.uint8)))
    with pytest.raises(StoreInvalid, match="subject 'b' has no original"):
        writer.finish()
    assert not (tmp_path / "store").exists()
    writer = begin(tmp_path / "store")
    writer.append(replace(batch, kinds=np.full(4, Kind.ORIGINAL, np.uint8)))
    writer.finish()
    assert len(EmbeddingStore.open(tmp_path / "store")) == 8
