from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.arrays import Floats
from tests.training.people import last_originals, people
from training.heads import HEADS
from training.subnets.rows import SubnetRows
from training.subnets.settings import SubnetSettings
from training.subnets.training import UNVALIDATED_EPOCHS, Trainer, train_subnet

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

SETTINGS = SubnetSettings(learning_rate=0.02, batch_size=16, device="cpu")


def toy(folder: Path, *, spread: float = 0.5, count: int = 12) -> SubnetRows:
    store = people(folder / "store", count, spread=spread)
    validation = last_originals(store)
    classes = np.arange(count, dtype=np.int32)
    return SubnetRows.of(store, classes, training=~validation, validation=validation)


def accuracy(rows: SubnetRows, weight: Floats) -> float:
    """By plain numpy, of the validation rows."""
    unit = weight / np.linalg.norm(weight, axis=1, keepdims=True)
    answers = (rows.validation_templates @ unit.T).argmax(axis=1)
    return float((answers == rows.validation_labels).mean())


@pytest.mark.parametrize("head", HEADS)
def test_learning_from_random_rows_separates_people(tmp_path: Path, head: str) -> None:
    rows = toy(tmp_path, spread=0.2)
    settings = replace(SETTINGS, head=head, initialisation="random")
    trained = train_subnet(rows, settings, seed=1)
    shares = [epoch.validation_accuracy or 0 for epoch in trained.epochs]
    assert shares[0] < 0.5
    assert shares[trained.best] >= 0.9
    assert accuracy(rows, trained.weight) >= 0.9
    assert trained.weight.shape == (12, 8)
    assert trained.weight.dtype == np.float32


def test_class_means_start_where_the_nearest_class_mean_is(tmp_path: Path) -> None:
    rows = toy(tmp_path, spread=1.2)
    knn = accuracy(rows, rows.class_means)
    assert 0.3 < knn < 1
    start = train_subnet(rows, SETTINGS, seed=1).epochs[0]
    assert start.validation_accuracy == pytest.approx(knn)
    assert start.loss is None


def test_the_best_epoch_is_kept_and_training_stops_after_it(tmp_path: Path) -> None:
    rows = toy(tmp_path, spread=1.2)
    settings = replace(SETTINGS, learning_rate=0.05, patience=3)
    trained = train_subnet(rows, settings, seed=1)
    losses = [epoch.validation_loss or 0 for epoch in trained.epochs]
    assert trained.best == int(np.argmin(losses))
    assert len(losses) == trained.best + 1 + 3 < 51
    assert [epoch.number for epoch in trained.epochs] == list(range(len(losses)))
    kept = trained.epochs[trained.best]
    assert accuracy(rows, trained.weight) == pytest.approx(kept.validation_accuracy)
    # Stopped right there, it is the very same layer.
    stopped = train_subnet(rows, replace(settings, epochs=trained.best), seed=1)
    assert stopped.weight.tobytes() == trained.weight.tobytes()


def test_validation_in_batches_comes_to_the_same_as_all_at_once(tmp_path: Path) -> None:
    rows = toy(tmp_path, spread=1.2)
    assert len(rows.validation_labels) == 24
    loss, share = Trainer(rows, replace(SETTINGS, batch_size=7), seed=1).validated()
    probes, means = (
        vectors / np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
        for vectors in (rows.validation_templates, rows.class_means)
    )
    logits = 32 * probes @ means.T
    own = logits[np.arange(24), rows.validation_labels]
    assert loss == pytest.approx((np.log(np.exp(logits).sum(axis=1)) - own).mean(), rel=1e-5)
    assert share == pytest.approx(accuracy(rows, rows.class_means))


def test_an_epoch_can_be_cut_short(tmp_path: Path) -> None:
    rows = toy(tmp_path)
    whole, short = (Trainer(rows, SETTINGS, seed=1) for _ in range(2))
    assert whole.batches == -(-len(rows.labels) // 16)
    assert whole.batches > 2
    whole.epoch()
    short.epoch(first=2)
    steps = [t.head.weight.detach().numpy() - rows.class_means for t in (short, whole)]
    assert 0 < np.abs(steps[0]).sum() < np.abs(steps[1]).sum()
    again = Trainer(rows, SETTINGS, seed=1)
    again.epoch(first=whole.batches)
    assert torch.equal(again.head.weight, whole.head.weight)


def test_epochs_are_bounded(tmp_path: Path) -> None:
    settings = replace(SETTINGS, initialisation="random", learning_rate=1e-4, epochs=2)
    assert len(train_subnet(toy(tmp_path), settings, seed=1).epochs) == 3


@pytest.mark.parametrize("initialisation", ["class-mean", "random"])
def test_a_seed_decides_every_bit(tmp_path: Path, initialisation: str) -> None:
    rows = toy(tmp_path)
    settings = replace(SETTINGS, initialisation=initialisation, epochs=3)  # type: ignore[arg-type]
    before = torch.get_rng_state()
    first = train_subnet(rows, settings, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(5)
    assert train_subnet(rows, settings, seed=1).weight.tobytes() == first.weight.tobytes()
    assert train_subnet(rows, settings, seed=2).weight.tobytes() != first.weight.tobytes()


def test_the_device_is_cuda_where_it_is(tmp_path: Path) -> None:
    settings = replace(SETTINGS, device="auto", epochs=1)
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert train_subnet(toy(tmp_path), settings, seed=1).device == expected


def test_an_unknown_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no head 'cosface', only .*arcface"):
        train_subnet(toy(tmp_path), replace(SETTINGS, head="cosface"), seed=1)


def test_with_nothing_to_validate_on_it_trains_as_long_as_is_usual(tmp_path: Path) -> None:
    store = people(tmp_path / "store", 12)
    everything = np.ones(len(store), np.bool_)
    classes = np.arange(12, dtype=np.int32)
    rows = SubnetRows.of(store, classes, training=everything, validation=~everything)
    trained = train_subnet(rows, SETTINGS, seed=1)
    assert trained.best == len(trained.epochs) - 1 == UNVALIDATED_EPOCHS
    assert {epoch.validation_loss for epoch in trained.epochs} == {None}
    assert train_subnet(rows, replace(SETTINGS, epochs=2), seed=1).best == 2
    random = replace(SETTINGS, initialisation="random", epochs=9)
    assert train_subnet(rows, random, seed=1).best == 9
