"""The interface that every loss shares: a classification layer that knows its loss."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Head(nn.Module):
    """A layer over templates, one row a class, trained by the cross-entropy of its logits.

    logit_j = s |x| |w_j| cos(theta_j), where theta_j is the angle between the template x and the
    row w_j. A loss says which of the two lengths it leaves out, and what stands in the place of
    cos(theta_y) for the true class y. Whatever the loss, the trained layer answers with cosines,
    so that a subnet's outputs mean the same for all of them. `weight` (C, d) is all that an
    export needs: its rows have any length, and `cosines` normalises them.

    Losses that keep |x| were made for features that grow as they are learned. Ours are templates
    of unit length, so there too the scale s stands before it; s = 1 is the published form.
    """

    weight: Tensor
    keeps_template_length = False
    keeps_row_length = False

    def __init__(self, classes: int, dimension: int, *, scale: float = 32.0) -> None:
        """A layer with random rows, drawn from torch's own generator.

        Args:
            classes: C, at least 2.
            dimension: d, the length of a template.
            scale: s, above 0.
        """
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.empty(classes, dimension))
        nn.init.xavier_normal_(self.weight)

    def initialise(self, class_means: Tensor) -> None:
        """Start from the classes' means instead of random rows.

        Args:
            class_means: (C, d) of any length above 0; each becomes a row of unit length.

        Raises:
            ValueError: the shape is not that of the layer.
        """
        if class_means.shape != self.weight.shape:
            raise ValueError(
                f"class means of shape {tuple(class_means.shape)} for a layer of "
                f"{tuple(self.weight.shape)}"
            )
        with torch.no_grad():
            self.weight.copy_(functional.normalize(class_means))

    def cosines(self, features: Tensor) -> Tensor:
        """(n, C) cosines of (n, d) templates and rows: in [-1, 1], but for rounding."""
        return functional.normalize(features) @ functional.normalize(self.weight).T

    def true_cosines(self, cosines: Tensor, labels: Tensor) -> Tensor:
        """(n,) what stands for cos(theta_y): here the cosine itself, without a margin.

        Args:
            cosines: (n, C) as `cosines` gives them.
            labels: (n,) int64 in [0, C), the true class of each template.
        """
        return on_true_class(cosines, labels)

    def logits(self, features: Tensor, labels: Tensor) -> Tensor:
        """(n, C) logits of (n, d) templates, with the margin put on each true class."""
        cosines = self.cosines(features)
        true = self.true_cosines(cosines, labels)
        logits = self.scale * cosines.scatter(1, labels[:, None], true[:, None])
        if self.keeps_template_length:
            logits = logits * features.norm(dim=1)[:, None]
        if self.keeps_row_length:
            logits = logits * self.weight.norm(dim=1)
        return logits

    def regulariser(self) -> Tensor:
        """A term of the loss that depends on the layer alone: 0 unless a loss defines one."""
        return self.weight.new_zeros(())

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """The loss of one batch, a scalar; lower is better.

        Args:
            features: (n, d) templates, n at least 1.
            labels: (n,) int64 in [0, C), the true class of each.
        """
        return functional.cross_entropy(self.logits(features, labels), labels) + self.regulariser()

    def end_of_batch(self) -> None:
        """To be called after each optimiser step: some losses change as training goes on."""


def on_true_class(values: Tensor, labels: Tensor) -> Tensor:
    """(n,) the entry of each row of (n, C) `values` that belongs to its label."""
    return values.gather(1, labels[:, None])[:, 0]
