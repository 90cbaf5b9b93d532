"""AM-Softmax (CosFace), ArcFace and AdaptiveFace: a margin taken from the cosine or the angle."""

import math

import torch
from torch import Tensor, nn

from training.heads.base import Head, on_true_class

# The square of the sine below which ArcFace takes it for constant: an angle of 0.0003.
_LEAST_SINE_SQUARED = 1e-7


class AMSoftmax(Head):
    """logit_j = s cos(theta_j), the true one s (cos(theta_y) - m).

    Wang, Cheng, Liu, Liu 2018; the same formula is CosFace (Wang, Wang, Zhou and others 2018).
    """

    def __init__(
        self, classes: int, dimension: int, *, scale: float = 32.0, margin: float = 0.3
    ) -> None:
        """As `Head`, and the margin.

        Args:
            classes: C, at least 2.
            dimension: d, the length of a template.
            scale: s, above 0.
            margin: m, a cosine in [0, 1]; 0 is no margin.
        """
        super().__init__(classes, dimension, scale=scale)
        self.margin = margin

    def true_cosines(self, cosines: Tensor, labels: Tensor) -> Tensor:
        return on_true_class(cosines, labels) - self.margin


class ArcFace(Head):
    """logit_j = s cos(theta_j), the true one s cos(theta_y + m) (Deng, Guo, Xue, Zafeiriou 2019).

    Where theta + m would pass pi the cosine would rise again. From there on the logit goes on as
    a straight line in the cosine, s (cos(theta_y) - m sin(m)), as the authors' own code does it;
    there it drops by s (cos(m) + m sin(m) - 1), and so never rises with the angle.
    """

    def __init__(
        self, classes: int, dimension: int, *, scale: float = 32.0, margin: float = 0.3
    ) -> None:
        """As `Head`, and the margin.

        Args:
            classes: C, at least 2.
            dimension: d, the length of a template.
            scale: s, above 0.
            margin: m, an angle in radians in [0, pi / 2]; 0 is no margin.
        """
        super().__init__(classes, dimension, scale=scale)
        self.margin = margin

    def true_cosines(self, cosines: Tensor, labels: Tensor) -> Tensor:
        true = on_true_class(cosines, labels)
        # Without a floor the gradient would be infinite at theta = 0, where a class of one
        # template starts when its row is the class mean.
        sine = (1 - true.square()).clamp(min=_LEAST_SINE_SQUARED).sqrt()
        shifted = true * math.cos(self.margin) - sine * math.sin(self.margin)
        straight = true - self.margin * math.sin(self.margin)
        return torch.where(true > math.cos(math.pi - self.margin), shifted, straight)


class AdaptiveFace(Head):
    """logit_j = s cos(theta_j), the true one s (cos(theta_y) - m_y) (Liu, Zhu, Lei, Li 2019).

    Every class learns its margin m_j in [0, 1]. Cross-entropy alone would shrink them all to
    nothing, so the loss has the further term - pull * (m_1 + ... + m_C) / C. With equally frequent
    classes a margin grows until its class's samples get p_y = 1 - pull / s on average, or to 1.
    """

    def __init__(
        self,
        classes: int,
        dimension: int,
        *,
        scale: float = 32.0,
        margin: float = 0.3,
        pull: float = 5.0,
    ) -> None:
        """As `Head`, and the margins.

        Args:
            classes: C, at least 2.
            dimension: d, the length of a template.
            scale: s, above 0.
            margin: what every m_j starts from, in [0, 1].
            pull: weight of the mean margin, in [0, scale): from there on every margin ends at 1.
        """
        super().__init__(classes, dimension, scale=scale)
        self.pull = pull
        self.margins = nn.Parameter(torch.full((classes,), float(margin)))

    def true_cosines(self, cosines: Tensor, labels: Tensor) -> Tensor:
        return on_true_class(cosines, labels) - self.margins[labels]

    def regulariser(self) -> Tensor:
        return -self.pull * self.margins.mean()

    def end_of_batch(self) -> None:
        # Put back after the step rather than clamped in the formula: a clamped margin has no
        # gradient and could never return.
        with torch.no_grad():
            self.margins.clamp_(0, 1)
