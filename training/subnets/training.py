"""Trains one subnet: a classification layer over the templates of one cluster's classes."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.arrays import Floats
from training.heads import HEADS, Head
from training.subnets.rows import SubnetRows


@dataclass(frozen=True)
class SubnetSettings:
    """How subnets are trained; but for the initialisation the defaults are the paper's."""

    head: str = "arcface"
    """A name from `HEADS`."""
    initialisation: Literal["class-mean", "random"] = "class-mean"
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    """Of Adam."""
    epochs: int = 50
    """At most."""
    batch_size: int = 256
    patience: int = 5
    """Epochs without a lower validation loss after which training ends; at least 1."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` is CUDA where there is one."""


@dataclass(frozen=True)
class Epoch:
    """What one pass over the rows came to; number 0 is the layer as it starts."""

    number: int
    loss: float | None
    """Mean of the batches' losses, margin included; None before the first pass."""
    validation_loss: float
    """Cross-entropy of the scaled cosines, without a margin."""
    validation_accuracy: float
    """Share of validation rows whose highest cosine is their own class's, in [0, 1]."""
    seconds: float
    """Of training alone, without validation."""


@dataclass(frozen=True, eq=False)
class TrainedSubnet:
    """The layer of the best epoch, and how it came about."""

    weight: Floats
    """(C, d) rows of any length: `Head.cosines` and the export normalise them."""
    epochs: tuple[Epoch, ...]
    best: int
    """Number of the epoch that `weight` is from: the one with the lowest validation loss."""
    device: str


def train_subnet(rows: SubnetRows, settings: SubnetSettings, *, seed: int) -> TrainedSubnet:
    """Train until the validation loss no longer falls; keep the layer where it was lowest.

    The loss decides, not the accuracy: on originals the class means alone are nearly always
    right, so that accuracy would hardly tell one epoch from another.

    Args:
        rows: of one cluster's classes.
        settings: head, optimiser, when to stop, where to run.
        seed: of random rows and of the order of batches. The same seed, rows, settings, kind of
            device and number of threads give the same weight, bit by bit.

    Raises:
        ValueError: there is no head of that name.
    """
    device = _device(settings)
    head = _head(rows, settings, seed).to(device)
    templates, labels = _on(device, rows.templates, rows.labels)
    held_out = _on(device, rows.validation_templates, rows.validation_labels)
    optimiser = torch.optim.Adam(head.parameters(), lr=settings.learning_rate, betas=settings.betas)
    # On the CPU whatever the device, so that the order of batches is the same everywhere.
    order = torch.Generator().manual_seed(seed)
    epochs = [Epoch(0, None, *_validated(head, *held_out), seconds=0.0)]
    best, weight = epochs[0], head.weight.detach().clone()
    while len(epochs) <= min(settings.epochs, best.number + settings.patience):
        started = time.perf_counter()
        shuffled = torch.randperm(len(labels), generator=order).to(device)
        batches = shuffled.split(settings.batch_size)
        loss = torch.stack(list(_steps(head, optimiser, templates, labels, batches))).mean().item()
        seconds = time.perf_counter() - started
        epochs.append(Epoch(len(epochs), loss, *_validated(head, *held_out), seconds=seconds))
        if epochs[-1].validation_loss < best.validation_loss:
            best, weight = epochs[-1], head.weight.detach().clone()
    return TrainedSubnet(weight.cpu().numpy(), tuple(epochs), best.number, device.type)


def _steps(
    head: Head,
    optimiser: torch.optim.Optimizer,
    templates: Tensor,
    labels: Tensor,
    batches: tuple[Tensor, ...],
) -> Iterator[Tensor]:
    """One step a batch; gives the losses, on the device, so that none waits for another."""
    for batch in batches:
        optimiser.zero_grad()
        loss = head(templates[batch], labels[batch])
        loss.backward()
        optimiser.step()
        head.end_of_batch()
        yield loss.detach()


def _validated(head: Head, templates: Tensor, labels: Tensor) -> tuple[float, float]:
    """Loss and accuracy."""
    with torch.no_grad():
        cosines = head.cosines(templates)
        loss = functional.cross_entropy(head.scale * cosines, labels)
        right = (cosines.argmax(1) == labels).float().mean()
    return loss.item(), right.item()


def _head(rows: SubnetRows, settings: SubnetSettings, seed: int) -> Head:
    if settings.head not in HEADS:
        raise ValueError(f"there is no head {settings.head!r}, only {', '.join(HEADS)}")
    # A layer draws from torch's own generator, which is given back as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = HEADS[settings.head](*rows.class_means.shape)
    if settings.initialisation == "class-mean":
        head.initialise(torch.from_numpy(rows.class_means))
    return head


def _device(settings: SubnetSettings) -> torch.device:
    if settings.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(settings.device)


def _on(
    device: torch.device, templates: Floats, labels: NDArray[np.int64]
) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(templates).to(device), torch.from_numpy(labels).to(device)
