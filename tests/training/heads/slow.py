"""A slow twin of every loss, one sample and one class at a time, and templates at given angles."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from training.heads import Head

Doubles = NDArray[np.float64]
# What stands for cos(theta) of the true class, from theta and the class.
TrueCosine = Callable[[float, int], float]


def plain_cosine(theta: float, label: int) -> float:
    return math.cos(theta)


def length(vector: Doubles) -> float:
    return math.sqrt(sum(float(value) ** 2 for value in vector))


def angle(vector: Doubles, other: Doubles) -> float:
    product = sum(float(a) * float(b) for a, b in zip(vector, other, strict=True))
    return math.acos(max(-1.0, min(1.0, product / (length(vector) * length(other)))))


def slow_loss(
    templates: Doubles,
    labels: Sequence[int],
    rows: Doubles,
    true_cosine: TrueCosine,
    *,
    scale: float,
    template_length: bool = False,
    row_length: bool = False,
) -> float:
    """Cross-entropy of logits s cos(theta_j), times the lengths that are asked for."""
    losses = []
    for template, label in zip(templates, labels, strict=True):
        logits = []
        for index, row in enumerate(rows):
            theta = angle(template, row)
            logit = scale * (true_cosine(theta, index) if index == label else math.cos(theta))
            logit *= length(template) if template_length else 1
            logit *= length(row) if row_length else 1
            logits.append(logit)
        highest = max(logits)
        log_of_sum = highest + math.log(sum(math.exp(logit - highest) for logit in logits))
        losses.append(log_of_sum - logits[label])
    return sum(losses) / len(losses)


def unit_rows(count: int, dimension: int, seed: int) -> Doubles:
    rows = np.random.default_rng(seed).standard_normal((count, dimension))
    unit: Doubles = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit


def at_angles(rows: Doubles, labels: Sequence[int], angles: Sequence[float], seed: int) -> Doubles:
    """Unit templates, each at its angle to the row of its label and otherwise anywhere."""
    rng = np.random.default_rng(seed)
    templates = []
    for label, theta in zip(labels, angles, strict=True):
        row = rows[label] / np.linalg.norm(rows[label])
        aside = rng.standard_normal(len(row))
        aside -= (aside @ row) * row
        templates.append(math.cos(theta) * row + math.sin(theta) * aside / np.linalg.norm(aside))
    return np.stack(templates)


def with_rows(head: Head, rows: Doubles) -> Head:
    """The head in float64, with these rows just as they are."""
    head.double()
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(rows))
    return head


def fast_loss(head: Head, templates: Doubles, labels: Sequence[int]) -> float:
    return float(head(torch.from_numpy(templates), torch.tensor(labels)).detach())
