"""Trains one subnet: a classification layer over the templates of one cluster's classes."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.arrays import Floats
from training.heads import HEADS, Head
from training.heads.multiplicative import Multiplicative
from training.subnets.repulsion import push_away
from training.subnets.rows import SubnetRows
from training.subnets.settings import SubnetSettings

BLEND_EPOCHS = 3
"""In which L- and A-Softmax come to their full margin. The published fall takes 1,659 batches, and
from class means training has ended long before."""
UNVALIDATED_EPOCHS = 6
"""From class means, with nothing to validate on: with it, clusters of 480 people stopped after 4 to
12 epochs, and half of them at 6 or before."""


@dataclass(frozen=True)
class Epoch:
    """What one pass over the rows came to; number 0 is the layer as it starts."""

    number: int
    loss: float | None
    """Mean of the batches' losses, margin included; None before the first pass."""
    validation_loss: float | None
    """Cross-entropy of the scaled cosines, without a margin; None with nothing to validate on."""
    validation_accuracy: float | None
    """Share of validation rows whose highest cosine is their own class's, in [0, 1]; likewise."""
    seconds: float
    """Of training alone, without validation."""


@dataclass(frozen=True, eq=False)
class TrainedSubnet:
    """The layer of the best epoch, and how it came about."""

    weight: Floats
    """(C, d) rows of any length: `Head.cosines` and the export normalise them. Those of classes
    with hard negatives are turned away from these."""
    epochs: tuple[Epoch, ...]
    best: int
    """Number of the epoch that `weight` is from: the one with the lowest validation loss."""
    device: str

    @classmethod
    def at(cls, trainer: "Trainer", epochs: list[Epoch], best: int, weight: Tensor) -> Self:
        pushed = trainer.pushed_away(weight.detach())
        return cls(pushed.cpu().numpy(), tuple(epochs), best, trainer.device.type)


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
    trainer = Trainer(rows, settings, seed=seed)
    if not len(rows.validation_labels):
        return _unvalidated(trainer, settings)
    lowest, accuracy = trainer.validated()
    epochs = [Epoch(0, None, lowest, accuracy, seconds=0.0)]
    best, weight = 0, trainer.head.weight.detach().clone()
    while len(epochs) <= min(settings.epochs, best + settings.patience):
        loss, seconds = trainer.epoch()
        validation_loss, accuracy = trainer.validated()
        epochs.append(Epoch(len(epochs), loss, validation_loss, accuracy, seconds=seconds))
        if validation_loss < lowest:
            lowest, best = validation_loss, epochs[-1].number
            weight = trainer.head.weight.detach().clone()
    return TrainedSubnet.at(trainer, epochs, best, weight)


def _unvalidated(trainer: "Trainer", settings: SubnetSettings) -> TrainedSubnet:
    """Train as long as is usual, where nothing says when to stop."""
    usual = UNVALIDATED_EPOCHS if settings.initialisation == "class-mean" else settings.epochs
    epochs = [Epoch(0, None, None, None, seconds=0.0)]
    for number in range(1, min(usual, settings.epochs) + 1):
        loss, seconds = trainer.epoch()
        epochs.append(Epoch(number, loss, None, None, seconds=seconds))
    return TrainedSubnet.at(trainer, epochs, epochs[-1].number, trainer.head.weight)


class Trainer:
    """A layer in training: with its optimiser, its rows and the order of its batches."""

    def __init__(self, rows: SubnetRows, settings: SubnetSettings, *, seed: int) -> None:
        """A layer before its first epoch; the arguments are those of `train_subnet`.

        Raises:
            ValueError: there is no head of that name.
        """
        self.device = _device(settings)
        self.head = _head(rows, settings, seed).to(self.device)
        self._templates, self._labels = _on(self.device, rows.templates, rows.labels)
        self._held_out = _on(self.device, rows.validation_templates, rows.validation_labels)
        self._negatives = _on(self.device, rows.negatives, rows.negative_labels)
        self._batch_size = settings.batch_size
        self._learning_rate = settings.learning_rate
        self._optimiser = torch.optim.Adam(
            self.head.parameters(), lr=settings.learning_rate, betas=settings.betas
        )
        # On the CPU whatever the device, so that the order of batches is the same everywhere.
        self._order = torch.Generator().manual_seed(seed)

    @property
    def batches(self) -> int:
        """Batches of an epoch."""
        return -(-len(self._labels) // self._batch_size)

    def epoch(self, *, first: int | None = None) -> tuple[float, float]:
        """Pass over the rows once, in an order that no other epoch had.

        Args:
            first: stop after so many batches, to see how long they take; None for all.

        Returns:
            The mean of the batches' losses, margin included, and the seconds that they took.
        """
        started = time.perf_counter()
        shuffled = torch.randperm(len(self._labels), generator=self._order).to(self.device)
        losses = list(self._steps(shuffled.split(self._batch_size)[:first]))
        loss = torch.stack(losses).mean().item()
        return loss, time.perf_counter() - started

    def validated(self) -> tuple[float, float]:
        """Loss and accuracy on the validation rows, as `Epoch` has them."""
        return _validated(self.head, *self._held_out, self._batch_size)

    def _steps(self, batches: tuple[Tensor, ...]) -> Iterator[Tensor]:
        """One step a batch; gives the losses, on the device, so that none waits for another."""
        for batch in batches:
            self._optimiser.zero_grad()
            loss = self.head(self._templates[batch], self._labels[batch])
            loss.backward()
            self._optimiser.step()
            self.head.end_of_batch()
            yield loss.detach()

    def pushed_away(self, weight: Tensor) -> Tensor:
        """The (C, d) layer of the best epoch, turned away from hard negatives (`push_away`)."""
        return push_away(
            self.head,
            weight,
            own=(self._templates, self._labels),
            negatives=self._negatives,
            learning_rate=self._learning_rate,
        )


def _validated(
    head: Head, templates: Tensor, labels: Tensor, batch_size: int
) -> tuple[float, float]:
    """In batches, as many rows at once would take more memory than all the training."""
    losses, right = [], []
    with torch.no_grad():
        for some, own in zip(templates.split(batch_size), labels.split(batch_size), strict=True):
            cosines = head.cosines(some)
            losses.append(functional.cross_entropy(head.scale * cosines, own, reduction="none"))
            right.append(cosines.argmax(1) == own)
        return torch.cat(losses).mean().item(), torch.cat(right).float().mean().item()


def _head(rows: SubnetRows, settings: SubnetSettings, seed: int) -> Head:
    if settings.head not in HEADS:
        raise ValueError(f"there is no head {settings.head!r}, only {', '.join(HEADS)}")
    # A layer draws from torch's own generator, which is given back as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = HEADS[settings.head](*rows.class_means.shape)
    if isinstance(head, Multiplicative):
        batches = -(-len(rows.labels) // settings.batch_size)
        head.reach_floor_after(BLEND_EPOCHS * batches)
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
