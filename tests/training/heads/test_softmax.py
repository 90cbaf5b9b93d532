"""Softmax and NormFace against one sample and one class at a time."""

import math

import numpy as np
import pytest

from tests.training.heads.slow import fast_loss, plain_cosine, slow_loss, unit_rows, with_rows
from training.heads import NormFace, Softmax

pytestmark = pytest.mark.torch

LABELS = [0, 1, 2, 3, 1, 0, 3]
RNG = np.random.default_rng(7)
TEMPLATES = RNG.standard_normal((7, 5)) * RNG.uniform(0.5, 2, (7, 1))
ROWS = RNG.standard_normal((4, 5))


@pytest.mark.parametrize("scale", [1.0, 6.5])
def test_softmax_is_the_slow_one(scale: float) -> None:
    head = with_rows(Softmax(4, 5, scale=scale), ROWS)
    slow = slow_loss(
        TEMPLATES, LABELS, ROWS, plain_cosine, scale=scale, template_length=True, row_length=True
    )
    assert fast_loss(head, TEMPLATES, LABELS) == pytest.approx(slow, rel=1e-12)


def test_softmax_is_a_linear_layer() -> None:
    head = with_rows(Softmax(4, 5, scale=1), ROWS)
    logits = TEMPLATES @ ROWS.T
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(chances[np.arange(7), LABELS]).mean()
    assert fast_loss(head, TEMPLATES, LABELS) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("scale", [1.0, 32.0])
def test_normface_is_the_slow_one(scale: float) -> None:
    head = with_rows(NormFace(4, 5, scale=scale), ROWS)
    slow = slow_loss(TEMPLATES, LABELS, ROWS, plain_cosine, scale=scale)
    assert fast_loss(head, TEMPLATES, LABELS) == pytest.approx(slow, rel=1e-12)


def test_normface_ignores_lengths() -> None:
    head = with_rows(NormFace(4, 5), ROWS)
    longer = with_rows(NormFace(4, 5), ROWS * 3)
    assert fast_loss(longer, TEMPLATES * 2, LABELS) == pytest.approx(
        fast_loss(head, TEMPLATES, LABELS), rel=1e-12
    )


@pytest.mark.parametrize("scale", [1.0, 4.0])
def test_normface_cannot_fall_below_its_bound(scale: float) -> None:
    """Four classes as far apart as can be: the corners of a tetrahedron."""
    corners = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    bound = math.log(1 + 3 * math.exp(-scale * 4 / 3))
    best = fast_loss(with_rows(NormFace(4, 3, scale=scale), corners), corners, [0, 1, 2, 3])
    assert best == pytest.approx(bound, rel=1e-12)
    rows = unit_rows(4, 3, seed=1)
    assert fast_loss(with_rows(NormFace(4, 3, scale=scale), rows), rows, [0, 1, 2, 3]) > bound
