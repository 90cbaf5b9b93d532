"""L-Softmax and A-Softmax against psi written with its k, and the blend batch by batch."""

import math

import numpy as np
import pytest
import torch

from tests.training.heads.slow import TrueCosine, at_angles, fast_loss, slow_loss, with_rows
from training.heads import ASoftmax, LSoftmax
from training.heads.multiplicative import psi

pytestmark = pytest.mark.torch

LABELS = [0, 1, 2, 3, 1, 0, 3, 2]
RNG = np.random.default_rng(11)
ROWS = RNG.standard_normal((4, 6))
# One angle in each piece of psi for m up to 5, and both ends.
ANGLES = [0.0, 0.2, 0.8, 1.4, 1.9, 2.4, 3.0, math.pi]
TEMPLATES = at_angles(ROWS, LABELS, ANGLES, seed=12) * RNG.uniform(0.5, 2, (8, 1))


def slow_psi(theta: float, multiple: int) -> float:
    for k in range(multiple):
        if k * math.pi / multiple <= theta <= (k + 1) * math.pi / multiple:
            return (-1.0 if k % 2 else 1.0) * math.cos(multiple * theta) - 2 * k
    raise AssertionError(theta)


def slow_blend(multiple: int, share: float) -> TrueCosine:
    """What stands for the true cosine where lambda is `share`."""

    def true_cosine(theta: float, label: int) -> float:
        return (share * math.cos(theta) + slow_psi(theta, multiple)) / (1 + share)

    return true_cosine


@pytest.mark.parametrize("multiple", [1, 2, 3, 4, 5])
def test_psi_is_the_slow_one(multiple: int) -> None:
    edges = [k * math.pi / multiple for k in range(multiple)]
    angles = [*np.linspace(0, math.pi, 500, endpoint=False).tolist(), *edges]
    found = psi(torch.tensor(angles, dtype=torch.float64).cos(), multiple)
    expected = [slow_psi(theta, multiple) for theta in angles]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-9)


@pytest.mark.parametrize("multiple", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_psi_falls_from_1_to_1_minus_2m(multiple: int, dtype: torch.dtype) -> None:
    cosines = torch.linspace(1, -1, 5001, dtype=dtype)
    values = psi(cosines, multiple)
    assert bool((values.diff() < (0 if dtype == torch.float64 else 1e-5)).all())
    assert float(values[0]) == pytest.approx(1)
    assert float(values[-1]) == pytest.approx(1 - 2 * multiple)


@pytest.mark.parametrize("multiple", [1, 2, 3, 4, 5])
def test_psi_stands_a_cosine_past_its_range(multiple: int) -> None:
    cosines = torch.tensor([1 + 2e-7, -1 - 2e-7], requires_grad=True)
    values = psi(cosines, multiple)
    assert values.tolist() == pytest.approx([1, 1 - 2 * multiple], abs=1e-4)
    (slopes,) = torch.autograd.grad(values.sum(), cosines)
    assert slopes.tolist() == pytest.approx([multiple**2] * 2, rel=1e-4)


@pytest.mark.parametrize("multiple", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("share", [0.0, 5.0, 1000.0])
@pytest.mark.parametrize("scale", [1.0, 8.0])
@pytest.mark.parametrize("loss", [LSoftmax, ASoftmax])
def test_loss_is_the_slow_one(
    loss: type[LSoftmax] | type[ASoftmax], scale: float, share: float, multiple: int
) -> None:
    head = loss(4, 6, scale=scale, multiple=multiple, blend_start=share, blend_floor=0)
    slow = slow_loss(
        TEMPLATES,
        LABELS,
        ROWS,
        slow_blend(multiple, share),
        scale=scale,
        template_length=True,
        row_length=loss is LSoftmax,
    )
    fast = fast_loss(with_rows(head, ROWS), TEMPLATES, LABELS)
    assert fast == pytest.approx(slow, rel=1e-9)


def test_blend_falls_with_every_batch_to_its_floor() -> None:
    head = with_rows(
        ASoftmax(4, 6, scale=8, blend_start=100, blend_decay=0.5, blend_floor=20), ROWS
    )
    shares = [100, 100 / 1.5, 50, 40, 100 / 3, 100 / 3.5, 25, 100 / 4.5, 20, 20, 20]
    for share in shares:
        assert head.blend == pytest.approx(share)
        slow = slow_loss(
            TEMPLATES, LABELS, ROWS, slow_blend(4, share), scale=8, template_length=True
        )
        assert fast_loss(head, TEMPLATES, LABELS) == pytest.approx(slow, rel=1e-9)
        head.end_of_batch()


def test_published_blend_reaches_its_floor_after_1659_batches() -> None:
    head = ASoftmax(4, 6)
    assert head.blend == 1000
    head.batches = 1658
    assert head.blend > 5
    head.end_of_batch()
    assert head.blend == 5


def test_the_blend_can_be_told_when_to_be_at_its_floor() -> None:
    head = ASoftmax(4, 6)
    head.reach_floor_after(10)
    head.batches = 9
    assert head.blend > 5
    head.end_of_batch()
    assert head.blend == pytest.approx(5)
