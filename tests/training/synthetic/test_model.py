from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.made_up_faces import made_up_store
from tests.training.small_stores import EMBEDDER, batch_of, joined, store_of
from training.stores.format import StoreInvalid
from training.stores.store import EmbeddingStore
from training.stores.writer import Batch
from training.synthetic import model as synth
from training.synthetic.angles import QUANTILES, Doubles
from training.synthetic.cosine_statistics import LEVELS, Comparison, compare, cosine_quantiles
from training.synthetic.model import SyntheticModel, draw_store

LARGEST_MATED, LARGEST_NON_MATED = 0.05, 0.03


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingStore:
    return made_up_store(tmp_path_factory.mktemp("source") / "store")


@pytest.fixture(scope="module")
def model(source: EmbeddingStore) -> SyntheticModel:
    return SyntheticModel.fit(source)


def differences(comparison: Comparison) -> tuple[float, float]:
    """Largest differences of quantiles, leaving out the lowest: few real pairs are below it."""
    mated, non_mated = (
        np.subtract(getattr(comparison.fitted, name), getattr(comparison.drawn, name))[1:]
        for name in ("mated", "non_mated")
    )
    return float(np.abs(mated).max()), float(np.abs(non_mated).max())


def test_a_drawn_store_is_as_the_one_it_was_fitted_on(
    source: EmbeddingStore, model: SyntheticModel, tmp_path: Path
) -> None:
    drawn = draw_store(model, tmp_path / "drawn", classes=3_000, samples=6, seed=1)
    assert drawn.manifest.synthetic
    assert drawn.manifest.embedder == EMBEDDER
    assert drawn.manifest.kinds == dict.fromkeys(drawn.manifest.kinds, 0) | {"original": 18_000}
    assert np.bincount(drawn.labels).tolist() == [6] * 3_000
    comparison = compare(source, drawn, seed=0)
    mated, non_mated = differences(comparison)
    assert LEVELS[0] == 0.001
    assert mated < LARGEST_MATED
    assert non_mated < LARGEST_NON_MATED
    assert comparison.largest_mated_difference < 0.15
    assert comparison.largest_non_mated_difference < 0.05


def test_each_part_of_the_model_is_needed(
    source: EmbeddingStore, model: SyntheticModel, tmp_path: Path
) -> None:
    dimension = source.dimension
    round_root = np.eye(dimension) * np.sqrt(np.square(model.between_root).sum() / dimension)
    without = {
        "shape": replace(model, between_root=round_root),
        "mean": replace(model, mean=np.zeros(dimension)),
        "tails": replace(model, tails=np.zeros(QUANTILES), log_spread_deviation=0.0),
    }
    for name, lesser in without.items():
        drawn = draw_store(lesser, tmp_path / name, classes=3_000, samples=6, seed=1)
        mated, non_mated = differences(compare(source, drawn, seed=0))
        assert mated > LARGEST_MATED or non_mated > LARGEST_NON_MATED, name


def test_pictures_under_a_wrong_name_are_in_the_tails(
    source: EmbeddingStore, tmp_path: Path
) -> None:
    rows = len(source)
    vectors = source.vectors.astype(np.float32)
    vectors[::50] = vectors[(np.arange(rows)[::50] + rows // 2) % rows]
    subjects = [source.subject_ids[label] for label in source.labels]
    batch = Batch(subjects, vectors, source.kinds, source.sources, source.quality)
    spoilt = store_of(tmp_path / "spoilt", [batch], dimension=source.dimension)
    model = SyntheticModel.fit(spoilt)
    drawn = draw_store(model, tmp_path / "drawn", classes=3_000, samples=6, seed=1)
    lowest = [cosine_quantiles(store, seed=0).mated[1] for store in (source, spoilt, drawn)]
    assert LEVELS[1] == 0.01
    assert lowest[1] < lowest[0] - 0.1
    assert lowest[2] == pytest.approx(lowest[1], abs=0.15)


def _shape(matrix: Doubles) -> Doubles:
    """The same at a fixed scale: only the direction of what is drawn with it counts."""
    shape: Doubles = matrix / np.linalg.norm(matrix)
    return shape


def test_what_was_drawn_gives_back_what_it_was_drawn_from(
    model: SyntheticModel, tmp_path: Path
) -> None:
    vectors = model.draw(2_000, 12, np.random.default_rng(5))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=2), 1, atol=1e-5)
    rows = 24_000
    batch = batch_of([f"s{row // 12}" for row in range(rows)], dimension=len(model.mean))
    changed = batch.vectors.copy()
    changed[:rows] = vectors.reshape(rows, -1)
    store = store_of(
        tmp_path / "store", [replace(batch, vectors=changed)], dimension=len(model.mean)
    )
    again = SyntheticModel.fit(store)
    np.testing.assert_allclose(again.mean, model.mean, atol=0.03)
    assert again.log_spread_deviation == pytest.approx(model.log_spread_deviation, abs=0.05)
    middle = slice(QUANTILES // 20, -QUANTILES // 20)
    np.testing.assert_allclose(again.tails[middle], model.tails[middle], atol=0.1)
    assert again.typical_angle == pytest.approx(model.typical_angle, rel=0.03)
    for name in ("between_root", "within_root"):
        expected, found = (_shape(getattr(one, name)) for one in (model, again))
        assert np.linalg.norm(found - expected) < 0.12, name


def test_a_draw_goes_on_after_a_kill(
    model: SyntheticModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(synth, "CLASSES_A_BATCH", 4)
    whole = draw_store(model, tmp_path / "whole", classes=10, samples=2, seed=3)
    folder = tmp_path / "store"
    folder.with_name("store.unfinished").mkdir()
    # A file where the joined store is to be made stops the draw after its last batch.
    (folder.with_name("store.unfinished") / "store").write_bytes(b"")
    with pytest.raises(FileExistsError):
        draw_store(model, folder, classes=10, samples=2, seed=3)
    shards = sorted(folder.with_name("store.unfinished").glob("shards/*.shard"))
    assert len(shards) == 3
    shards[1].write_bytes(b"half")
    (folder.with_name("store.unfinished") / "store").unlink()
    with pytest.raises(StoreInvalid, match="other inputs or settings"):
        draw_store(model, folder, classes=10, samples=2, seed=4)
    store = draw_store(model, folder, classes=10, samples=2, seed=3)
    assert store.manifest == whole.manifest
    assert store.subject_ids[:2] == ("synthetic-0000000", "synthetic-0000001")


def test_another_seed_draws_others(model: SyntheticModel, tmp_path: Path) -> None:
    stores = [
        draw_store(model, tmp_path / str(seed), classes=5, samples=1, seed=seed) for seed in (1, 2)
    ]
    assert not np.array_equal(stores[0].vectors, stores[1].vectors)
    with pytest.raises(ValueError, match="0 classes"):
        draw_store(model, tmp_path / "none", classes=0, samples=1, seed=1)


def test_stores_that_cannot_be_fitted_are_refused(model: SyntheticModel, tmp_path: Path) -> None:
    drawn = draw_store(model, tmp_path / "drawn", classes=5, samples=5, seed=1)
    with pytest.raises(ValueError, match="drawn: is synthetic"):
        SyntheticModel.fit(drawn)
    small = store_of(tmp_path / "small", [batch_of(["a"] * 9 + ["b"] * 2)])
    with pytest.raises(ValueError, match="small: needs two subjects of 3"):
        SyntheticModel.fit(small)
    batch = joined([batch_of(["a", "b"] * 5)])
    same = replace(batch, vectors=np.repeat(batch.vectors[:1], 20, axis=0))
    with pytest.raises(ValueError, match="all the same"):
        SyntheticModel.fit(store_of(tmp_path / "same", [same]))
