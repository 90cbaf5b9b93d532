"""AM-Softmax, ArcFace and AdaptiveFace against one sample and one class at a time."""

import math

import numpy as np
import pytest
import torch

from tests.training.heads.slow import at_angles, fast_loss, slow_loss, with_rows
from training.heads import AdaptiveFace, AMSoftmax, ArcFace

pytestmark = pytest.mark.torch

LABELS = [0, 1, 2, 3, 1, 0, 3, 2]
RNG = np.random.default_rng(21)
ROWS = RNG.standard_normal((4, 6))
ANGLES = [0.002, 0.4, 1.1, 1.5, 2.0, 2.5, 2.9, math.pi]
TEMPLATES = at_angles(ROWS, LABELS, ANGLES, seed=22) * RNG.uniform(0.5, 2, (8, 1))


@pytest.mark.parametrize("scale", [1.0, 32.0])
@pytest.mark.parametrize("margin", [0.0, 0.3, 1.0])
def test_am_softmax_is_the_slow_one(scale: float, margin: float) -> None:
    head = with_rows(AMSoftmax(4, 6, scale=scale, margin=margin), ROWS)

    def true_cosine(theta: float, label: int) -> float:
        return math.cos(theta) - margin

    slow = slow_loss(TEMPLATES, LABELS, ROWS, true_cosine, scale=scale)
    assert fast_loss(head, TEMPLATES, LABELS) == pytest.approx(slow, rel=1e-9)


@pytest.mark.parametrize("scale", [1.0, 32.0])
@pytest.mark.parametrize("margin", [0.0, 0.3, 0.5, 1.2, math.pi / 2])
def test_arcface_is_the_slow_one(scale: float, margin: float) -> None:
    """Among the angles are some beyond pi - m, where the straight line goes on."""
    head = with_rows(ArcFace(4, 6, scale=scale, margin=margin), ROWS)

    def true_cosine(theta: float, label: int) -> float:
        if theta + margin < math.pi:
            return math.cos(theta + margin)
        return math.cos(theta) - margin * math.sin(margin)

    slow = slow_loss(TEMPLATES, LABELS, ROWS, true_cosine, scale=scale)
    assert fast_loss(head, TEMPLATES, LABELS) == pytest.approx(slow, rel=1e-9)


def test_arcface_drops_where_the_straight_line_begins() -> None:
    margin = 0.5
    angles = torch.tensor([math.pi - margin - 1e-6, math.pi - margin + 1e-6], dtype=torch.float64)
    labels = torch.zeros(2, dtype=torch.int64)
    before, after = ArcFace(2, 6, margin=margin).true_cosines(angles.cos()[:, None], labels)
    drop = math.cos(margin) + margin * math.sin(margin) - 1
    assert float(before) == pytest.approx(-1, abs=1e-9)
    assert float(before - after) == pytest.approx(drop, abs=1e-5)


@pytest.mark.parametrize("pull", [0.0, 5.0])
def test_adaptiveface_is_the_slow_one(pull: float) -> None:
    head = AdaptiveFace(4, 6, scale=16, pull=pull)
    margins = [0.0, 0.2, 0.45, 1.0]
    with_rows(head, ROWS)
    with torch.no_grad():
        head.margins.copy_(torch.tensor(margins))

    def true_cosine(theta: float, label: int) -> float:
        return math.cos(theta) - margins[label]

    slow = slow_loss(TEMPLATES, LABELS, ROWS, true_cosine, scale=16) - pull * sum(margins) / 4
    assert fast_loss(head, TEMPLATES, LABELS) == pytest.approx(slow, rel=1e-7)


def test_adaptiveface_margins_settle_where_the_pull_balances_the_errors() -> None:
    """Two loose classes and one tight: each gets the margin its samples bear."""
    rows = np.eye(3)
    labels = [0, 1, 2] * 4
    spread = [0.6, 0.5, 0.1] * 4
    templates = torch.from_numpy(at_angles(rows, labels, spread, seed=3))
    head = AdaptiveFace(3, 3, scale=16, margin=0.0, pull=4)
    with_rows(head, rows)
    head.weight.requires_grad_(False)
    optimiser = torch.optim.SGD([head.margins], lr=0.05)
    for _ in range(300):
        optimiser.zero_grad()
        head(templates, torch.tensor(labels)).backward()
        optimiser.step()
        head.end_of_batch()
    chances = head.logits(templates, torch.tensor(labels)).softmax(1)[range(12), labels]
    means = chances.detach().reshape(4, 3).mean(0).tolist()
    assert means == pytest.approx([1 - 4 / 16] * 3, abs=1e-3)
    loose, less_loose, tight = head.margins.tolist()
    assert 0 < loose < less_loose < tight < 1


def test_adaptiveface_brings_margins_back_into_their_range() -> None:
    head = AdaptiveFace(3, 6)
    with torch.no_grad():
        head.margins.copy_(torch.tensor([-0.1, 0.4, 1.2]))
    head.end_of_batch()
    assert head.margins.tolist() == pytest.approx([0, 0.4, 1])
    (slopes,) = torch.autograd.grad(head(torch.ones(3, 6), torch.tensor([0, 1, 2])), [head.margins])
    assert bool((slopes != 0).all())
