"""Softmax and NormFace: cross-entropy without a margin."""

from training.heads.base import Head


class Softmax(Head):
    """logit_j = s |x| |w_j| cos(theta_j) = s w_j . x: the classic layer, and no other formula.

    It has no bias, so that its rows stay comparable by cosine.
    """

    keeps_template_length = True
    keeps_row_length = True


class NormFace(Head):
    """logit_j = s cos(theta_j) (Wang, Xiang, Cheng, Yuille 2017).

    Without a scale the cosines' range of 2 would keep the loss high even where all is right:
    with C equally frequent classes it stays above log(1 + (C - 1) exp(-s C / (C - 1))).
    """
