from pathlib import Path

import numpy as np

from models.arrays import Floats
from models.runtime import open_session
from tests.training.retraining.galleries import (
    CLUSTERS,
    DIMENSION,
    SIZE,
    active,
    class_means,
    subject,
    weights,
)
from tests.training.small_stores import unit_rows
from training.clusters.bounded_assignment import SizeBounds
from training.retraining.changes import GAINED, Changes
from training.retraining.kept import STIFFNESS, imprint, keep_subnet
from training.retraining.refresh import Refresh, plan_refresh
from training.subnets.export import export_subnet

BOUNDS = SizeBounds(smallest=10, largest=40)
KNOWN = range(CLUSTERS * SIZE)


def refresh_of(folder: Path, present: list[int], changed: int, means: Floats) -> Refresh:
    found = plan_refresh(
        active(folder, imprinted=(8, 9)),
        tuple(subject(number) for number in present),
        means,
        Changes({subject(changed): frozenset({GAINED})}),
        set(),
        BOUNDS,
    )
    assert isinstance(found, Refresh)
    assert found.trained == {}
    return found


def cosines(file: Path, probes: Floats) -> Floats:
    (found,) = open_session(file).run(None, {"template": probes})
    answers: Floats = found
    return answers


def test_a_subnet_whose_classes_stayed_is_the_very_same(tmp_path: Path) -> None:
    means = class_means(120)
    # Subject 6, which has gained a sample, keeps its trained weight; 8 and 9 are imprinted.
    refresh = refresh_of(tmp_path, list(KNOWN), 6, means)
    for number in range(CLUSTERS):
        file = tmp_path / f"{number}.onnx"
        assert not keep_subnet(refresh, number, means, file)
        assert file.read_bytes() == export_subnet(weights(number))


def test_classes_come_and_go_and_the_others_keep_their_weights(tmp_path: Path) -> None:
    # Of cluster 1, the imprinted 9 is gone; of cluster 0, the imprinted 8 has changed.
    present = [number for number in KNOWN if number != 9] + [121]
    means = class_means(122)[present]
    refresh = refresh_of(tmp_path, present, 8, means)
    probes = unit_rows(np.random.default_rng(5), 20, DIMENSION)
    file = tmp_path / "net.onnx"
    assert keep_subnet(refresh, 1, means, file)
    trained = [place for place, number in enumerate(present) if number % 4 == 1][:-1]
    new = imprint(means[-1:], means[trained], np.delete(weights(1), 2, axis=0))
    wanted = np.concatenate([np.delete(weights(1), 2, axis=0), new])
    np.testing.assert_allclose(cosines(file, probes), probes @ wanted.T, atol=1e-6)
    assert keep_subnet(refresh, 0, means, file)
    wanted = weights(0)
    others = np.delete(np.arange(0, 120, 4), 2).tolist()
    others = [present.index(number) for number in others]
    wanted[2] = imprint(means[8:9], means[others], np.delete(wanted, 2, axis=0))[0]
    np.testing.assert_allclose(cosines(file, probes), probes @ wanted.T, atol=1e-6)
    assert not keep_subnet(refresh, 2, means, file)


def test_new_weights_are_turned_as_training_has_turned_the_others() -> None:
    rng = np.random.default_rng(7)
    means = unit_rows(rng, 40, DIMENSION)
    # Training has taken one direction out of all rows.
    common = unit_rows(rng, 1, DIMENSION)[0]
    taken = means - np.outer(means @ common, common)
    trained = taken / np.linalg.norm(taken, axis=1, keepdims=True)
    new = unit_rows(rng, 5, DIMENSION)
    found = imprint(new, means, trained)
    assert np.abs(new @ common).max() > 0.3
    assert np.abs(found @ common).max() < 0.2
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    # The slow twin: the same least squares with the stiffness as further rows.
    stiff = np.sqrt(STIFFNESS * 40 / DIMENSION) * np.eye(DIMENSION)
    turn, *_ = np.linalg.lstsq(
        np.concatenate([means, stiff]), np.concatenate([trained - means, 0 * stiff]), rcond=None
    )
    slow = new @ (np.eye(DIMENSION) + turn)
    slow /= np.linalg.norm(slow, axis=1, keepdims=True)
    np.testing.assert_allclose(found, slow, atol=1e-5)


def test_where_training_has_turned_nothing_a_new_weight_is_the_class_mean() -> None:
    means = unit_rows(np.random.default_rng(7), 40, DIMENSION)
    np.testing.assert_allclose(imprint(means[:3], means[3:], means[3:]), means[:3], atol=1e-6)
    none = means[:0]
    np.testing.assert_allclose(imprint(means[:3], none, none), means[:3], atol=1e-6)
