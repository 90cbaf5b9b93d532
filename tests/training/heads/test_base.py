"""What every loss must do: the interface, gradients, margins, training."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from tests.training.heads.slow import angle, at_angles, unit_rows, with_rows
from training.heads import (
    HEADS,
    AdaptiveFace,
    AMSoftmax,
    ArcFace,
    ASoftmax,
    Head,
    LSoftmax,
    NormFace,
)

pytestmark = pytest.mark.torch

LABELS = [0, 1, 2, 3, 1, 0, 3, 2]
ROWS = unit_rows(4, 6, seed=31)
MARGINS = sorted(HEADS.keys() - {"softmax", "normface"})
every_loss = pytest.mark.parametrize("name", HEADS)


def gradients_agree(head: Head, templates: Tensor, labels: Tensor) -> bool:
    """Whether those of the templates and of every parameter are the central differences."""
    names = [name for name, _ in head.named_parameters()]

    def loss(features: Tensor, *parameters: Tensor) -> Tensor:
        values = dict(zip(names, parameters, strict=True))
        return functional_call(head, values, (features, labels))

    inputs = [templates, *head.parameters()]
    leaves = [tensor.detach().clone().requires_grad_() for tensor in inputs]
    return bool(torch.autograd.gradcheck(loss, leaves))


@every_loss
@pytest.mark.parametrize("scale", [1.0, 32.0])
@pytest.mark.parametrize(
    "angles",
    [
        pytest.param([0.1, 0.5, 0.9, 1.3, 1.7, 2.1, 2.5, 2.7], id="between"),
        pytest.param([0.01, 0.002] * 4, id="near-0"),
        pytest.param([math.pi - 0.01, math.pi - 0.002] * 4, id="near-pi"),
        pytest.param([0.0, math.pi] * 4, id="0-and-pi"),
    ],
)
def test_gradient_is_the_finite_difference(name: str, scale: float, angles: list[float]) -> None:
    head = with_rows(HEADS[name](4, 6, scale=scale), ROWS * 1.5)
    templates = torch.from_numpy(at_angles(ROWS, LABELS, angles, seed=32) * 0.8)
    assert gradients_agree(head, templates, torch.tensor(LABELS))


@pytest.mark.parametrize("multiple", [2, 3, 4, 5])
@pytest.mark.parametrize("loss", [LSoftmax, ASoftmax])
def test_gradient_of_psi_alone_is_the_finite_difference(
    loss: type[LSoftmax] | type[ASoftmax], multiple: int
) -> None:
    head = loss(4, 6, multiple=multiple, blend_start=0, blend_floor=0)
    angles = [0.0, 0.3, 0.9, 1.2, 1.7, 2.2, 2.9, math.pi]
    templates = torch.from_numpy(at_angles(ROWS, LABELS, angles, seed=33))
    assert gradients_agree(with_rows(head, ROWS), templates, torch.tensor(LABELS))


@every_loss
def test_gradient_is_finite_in_single_precision_at_0_and_pi(name: str) -> None:
    """A template that is its row, or its opposite, has a cosine that rounding may put past 1."""
    rows = torch.from_numpy(unit_rows(500, 32, seed=34)).float()
    head = HEADS[name](500, 32)
    head.initialise(rows)
    for templates in (rows.clone(), -rows):
        templates.requires_grad_()
        inputs = [templates, *head.parameters()]
        for slopes in torch.autograd.grad(head(templates, torch.arange(500)), inputs):
            assert bool(slopes.isfinite().all())


@every_loss
def test_true_class_never_gains_by_a_larger_angle(name: str) -> None:
    angles = torch.linspace(0, math.pi, 20_001, dtype=torch.float64)
    labels = torch.zeros(len(angles), dtype=torch.int64)
    true = HEADS[name](2, 6).double().true_cosines(angles.cos()[:, None], labels)
    assert bool((true.diff() <= 1e-12).all())


@pytest.mark.parametrize("name", MARGINS)
def test_margin_makes_the_loss_larger_than_normface(name: str) -> None:
    templates = torch.from_numpy(unit_rows(20, 6, seed=35))
    labels = torch.arange(20) % 4
    plain = with_rows(NormFace(4, 6), ROWS)(templates, labels).detach()
    # The logits alone: AdaptiveFace's further term rewards the margin.
    logits = with_rows(HEADS[name](4, 6), ROWS).logits(templates, labels).detach()
    assert float(functional.cross_entropy(logits, labels)) > float(plain) * 1.0001


@pytest.mark.parametrize(
    "head",
    [
        AMSoftmax(4, 6, margin=0),
        ArcFace(4, 6, margin=0),
        AdaptiveFace(4, 6, margin=0),
        ASoftmax(4, 6, multiple=1),
    ],
    ids=lambda head: type(head).__name__,
)
def test_no_margin_is_normface(head: Head) -> None:
    templates = torch.from_numpy(unit_rows(20, 6, seed=36))
    labels = torch.arange(20) % 4
    plain = with_rows(NormFace(4, 6), ROWS)(templates, labels).detach()
    loss = with_rows(head, ROWS)(templates, labels).detach()
    assert float(loss) == pytest.approx(float(plain), rel=1e-9)


@every_loss
def test_a_few_steps_lower_the_loss_and_find_the_classes(name: str) -> None:
    torch.manual_seed(37)
    rng = np.random.default_rng(38)
    labels = torch.arange(60) % 6
    spread = rng.normal(0, 0.1, (60, 16))
    templates = torch.from_numpy(unit_rows(6, 16, seed=39)[labels.numpy()] + spread).float()
    templates = functional.normalize(templates)
    head = HEADS[name](6, 16)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        loss = head(templates, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        head.end_of_batch()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 5
    assert bool((head.cosines(templates).argmax(1) == labels).all())


@every_loss
def test_cosines_are_those_of_templates_and_rows(name: str) -> None:
    head = HEADS[name](4, 6).double()
    rows = head.weight.detach().numpy()
    templates = np.random.default_rng(40).standard_normal((3, 6)) * 5
    found = head.cosines(torch.from_numpy(templates)).detach().numpy()
    slow = [[math.cos(angle(template, row)) for row in rows] for template in templates]
    np.testing.assert_allclose(found, slow, atol=1e-12)


@every_loss
def test_class_means_become_unit_rows_that_train(name: str) -> None:
    head = HEADS[name](4, 6)
    head.initialise(torch.from_numpy(ROWS * 3))
    np.testing.assert_allclose(head.weight.detach().numpy(), ROWS, atol=1e-6)
    head(torch.ones(1, 6), torch.tensor([2])).backward()
    assert head.weight.grad is not None


@every_loss
def test_class_means_of_another_shape_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"\(1, 6\) for a layer of \(4, 6\)"):
        HEADS[name](4, 6).initialise(torch.ones(1, 6))


def test_names() -> None:
    assert list(HEADS) == [
        "softmax",
        "normface",
        "l-softmax",
        "a-softmax",
        "am-softmax",
        "arcface",
        "adaptiveface",
    ]
