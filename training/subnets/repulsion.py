"""Turns a trained layer away from hard negatives."""

import torch
from torch import Tensor
from torch.nn import functional

from training.heads import Head

NEGATIVE_MARGIN = 0.1
"""Cosine to which hard negatives are pushed down: about that of two strangers."""
NEGATIVE_STEPS = 100
"""At most, to turn rows away: at the usual rate each turns it by 0.014 of its length at most."""


def push_away(
    head: Head,
    weight: Tensor,
    *,
    own: tuple[Tensor, Tensor],
    negatives: tuple[Tensor, Tensor],
    learning_rate: float,
) -> Tensor:
    """Turn rows away from their classes' hard negatives, where these are above m.

    It comes after all epochs and moves those rows alone: so everybody else keeps his row to the
    bit, and the best epoch is the same. The loss is that of the classes' own templates, and
    softplus(s (cos - m)) of each negative's cosine to the row that it must not resemble, as steep
    as that of a wrong answer. It ends once all of them are at m.

    Args:
        head: the layer that was trained; its weight is changed.
        weight: (C, d) of the best epoch.
        own: (n, d) templates of all classes, and (n,) their labels.
        negatives: (q, d) templates, and (q,) the class that each is not of; q may be 0.
        learning_rate: of Adam.

    Returns:
        (C, d)
    """
    templates, labels = negatives
    if not len(labels):
        return weight
    near = functional.cosine_similarity(templates, weight[labels]) > NEGATIVE_MARGIN
    templates, labels = templates[near], labels[near]
    if not len(labels):
        return weight
    with torch.no_grad():
        head.weight.copy_(weight)
    moved = torch.isin(torch.arange(len(weight), device=weight.device), labels)
    mine = moved[own[1]]
    optimiser = torch.optim.Adam([head.weight], lr=learning_rate)
    for _ in range(NEGATIVE_STEPS):
        optimiser.zero_grad()
        cosines = functional.cosine_similarity(templates, head.weight[labels])
        if (cosines <= NEGATIVE_MARGIN).all():
            break
        loss = head(own[0][mine], own[1][mine])
        steepness = head.scale * (cosines - NEGATIVE_MARGIN)
        (loss + functional.softplus(steepness).mean()).backward()
        # Rows without a gradient ever stay where they are.
        head.weight.grad *= moved[:, None]
        optimiser.step()
    return head.weight.detach()
