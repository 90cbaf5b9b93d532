"""What a training can be told; every stage reads from here."""

from dataclasses import dataclass, field
from typing import Literal

from training.subnets.settings import SubnetSettings

PlacementRule = Literal["mean", "majority", "any", "share"]


@dataclass(frozen=True)
class TrainingSettings:
    """What decides the result, whatever machine it is made on."""

    seed: int = 0
    """At least 0; of splits, clusters, layers and batches."""
    target_size: int = 2_500
    """Classes a cluster."""
    placement: PlacementRule = "mean"
    """Which of the four ways says in which clusters a class is."""
    minimum_share: float = 0.3
    """Of a class's samples that a cluster must hold, with the placement `share`."""
    subnets: SubnetSettings = field(default_factory=SubnetSettings)


@dataclass(frozen=True)
class Workers:
    """Where subnets are trained, which changes nothing of the result."""

    jobs: int = -1
    """Subnets at a time; -1 for as many as there are processors or workers."""
    backend: str = "loky"
    """Of joblib: processes here, or `dask` for a cluster that is connected."""
