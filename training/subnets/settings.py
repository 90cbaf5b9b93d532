"""How subnets are trained. Free of torch, so that the command line can show it at once."""

from dataclasses import dataclass
from typing import Literal

Initialisation = Literal["class-mean", "random"]


@dataclass(frozen=True)
class SubnetSettings:
    """How subnets are trained; but for the initialisation the defaults are the paper's."""

    head: str = "arcface"
    """A name from `HEADS`."""
    initialisation: Initialisation = "class-mean"
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
