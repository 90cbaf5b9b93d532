from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.arrays import Floats
from tests.training.subnets.test_training import SETTINGS, toy
from training.heads import HEADS
from training.subnets.repulsion import NEGATIVE_MARGIN
from training.subnets.training import train_subnet

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("validated", [True, False])
def test_a_rejected_template_is_pushed_away_and_nobody_else_is_moved(
    tmp_path: Path, head: str, validated: bool
) -> None:
    rows = toy(tmp_path)
    if not validated:
        rows = replace(
            rows,
            validation_templates=rows.validation_templates[:0],
            validation_labels=rows.validation_labels[:0],
        )
    settings = replace(SETTINGS, head=head, epochs=3, learning_rate=0.005)
    before = train_subnet(rows, settings, seed=1)
    # Somebody who looks a lot like person 3, and one who does not look like person 5.
    mean = rows.class_means[3]
    aside = np.roll(mean, 1) - (np.roll(mean, 1) @ mean) * mean
    stranger = 0.5 * mean + 0.866 * aside / np.linalg.norm(aside)
    negatives = np.stack([stranger, -rows.class_means[5]])
    rejected = replace(
        rows, negatives=negatives.astype(np.float32), negative_labels=np.array([3, 5])
    )
    after = train_subnet(rejected, settings, seed=1)

    def cosines(weight: Floats, label: int, templates: Floats) -> Floats:
        found: Floats = templates @ weight[label] / np.linalg.norm(weight[label])
        return found

    assert cosines(before.weight, 3, negatives[0]) > 0.35
    assert cosines(after.weight, 3, negatives[0]) <= NEGATIVE_MARGIN + 0.05
    own = rows.templates[rows.labels == 3]
    assert cosines(after.weight, 3, own).mean() > cosines(before.weight, 3, own).mean() - 0.2
    others = np.delete(np.arange(12), 3)
    np.testing.assert_array_equal(after.weight[others], before.weight[others])
    assert after.best == before.best


def test_negatives_that_are_far_off_change_nothing(tmp_path: Path) -> None:
    rows = toy(tmp_path)
    far = replace(rows, negatives=-rows.class_means[:1], negative_labels=np.array([0]))
    settings = replace(SETTINGS, epochs=2)
    before, after = (train_subnet(each, settings, seed=1) for each in (rows, far))
    assert before.weight.tobytes() == after.weight.tobytes()
