"""L-Softmax and A-Softmax: the margin multiplies the angle to the true class."""

import math

import torch
from torch import Tensor

from training.heads.base import Head, on_true_class


def psi(cosines: Tensor, multiple: int) -> Tensor:
    """cos(m theta), continued so that it falls over the whole of [0, pi], from 1 to 1 - 2 m.

    psi(theta) = (-1)^k cos(m theta) - 2k on [k pi / m, (k + 1) pi / m] (Liu, Wen, Yu, Yang 2016).

    Args:
        cosines: cos(theta), any shape, in [-1, 1] but for rounding.
        multiple: m, at least 1.

    Returns:
        Of the shape of `cosines`; the gradient is finite everywhere.
    """
    # The Chebyshev recurrence gives cos(m theta) from cos(theta) with a gradient that stays
    # finite at theta = 0 and pi, where that of the arc cosine does not.
    before, current = torch.ones_like(cosines), cosines
    for _ in range(multiple - 1):
        before, current = current, 2 * cosines * current - before
    theta = cosines.detach().clamp(-1, 1).acos()
    k = (theta * multiple / math.pi).floor().clamp(max=multiple - 1)
    sign = 1 - 2 * (k % 2)
    return sign * current - 2 * k


class Multiplicative(Head):
    """For the true class, a blend of cos(theta) and psi(theta) stands for cos(theta).

    psi alone converges badly, so its share starts near nothing and grows:
    (lambda cos(theta) + psi(theta)) / (1 + lambda), lambda = max(floor, start / (1 + decay b)) in
    batch b = 0, 1, ... The defaults are those that A-Softmax was published with, made for long
    trainings: the floor is reached after 1,659 batches. A shorter one wants a larger decay.
    """

    def __init__(
        self,
        classes: int,
        dimension: int,
        *,
        scale: float = 32.0,
        multiple: int = 4,
        blend_start: float = 1000.0,
        blend_decay: float = 0.12,
        blend_floor: float = 5.0,
    ) -> None:
        """As `Head`, and the margin.

        Args:
            classes: C, at least 2.
            dimension: d, the length of a template.
            scale: s, above 0.
            multiple: m, at least 1; 1 is no margin.
            blend_start: lambda of the first batch, at least `blend_floor`.
            blend_decay: at least 0; how fast lambda falls.
            blend_floor: the least lambda, at least 0; 0 ends with psi alone.
        """
        super().__init__(classes, dimension, scale=scale)
        self.multiple = multiple
        self.blend_start = blend_start
        self.blend_decay = blend_decay
        self.blend_floor = blend_floor
        self.batches = 0

    @property
    def blend(self) -> float:
        """Lambda of the present batch."""
        return max(self.blend_floor, self.blend_start / (1 + self.blend_decay * self.batches))

    def reach_floor_after(self, batches: int) -> None:
        """Let the blend fall so fast that it is at its floor after so many batches, at least 1.

        Has no effect on a blend that starts at its floor, or that has no floor to reach.
        """
        if 0 < self.blend_floor < self.blend_start:
            self.blend_decay = (self.blend_start / self.blend_floor - 1) / batches

    def end_of_batch(self) -> None:
        self.batches += 1

    def true_cosines(self, cosines: Tensor, labels: Tensor) -> Tensor:
        true = on_true_class(cosines, labels)
        return (self.blend * true + psi(true, self.multiple)) / (1 + self.blend)


class LSoftmax(Multiplicative):
    """logit_j = s |x| |w_j| cos(theta_j), the true one with psi (Liu, Wen, Yu, Yang 2016).

    Rows keep their length, so the layer can also lower the loss by making rows longer.
    """

    keeps_template_length = True
    keeps_row_length = True


class ASoftmax(Multiplicative):
    """logit_j = s |x| cos(theta_j), the true one with psi (Liu, Wen, Yu, Li, Raj, Song 2017).

    This is SphereFace: rows of unit length, no bias. For the largest angle within a class to be
    smaller than the smallest between two, m must be at least 2 + sqrt(3) with two classes and 3
    with many.
    """

    keeps_template_length = True
