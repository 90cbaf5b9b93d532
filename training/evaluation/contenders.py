"""The nets that are compared: flat, over a random split, over clusters, and ours."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from training.clusters.cluster import Clustering, cluster_classes, split_at_random
from training.clusters.placement import Placement, by_mean
from training.clusters.ways import Ways
from training.searching.search import Enrolled, Nets
from training.settings import TrainingSettings, Workers
from training.split import Split
from training.stores.format import Kind
from training.stores.store import EmbeddingStore
from training.subnets.settings import Initialisation, SubnetSettings

if TYPE_CHECKING:
    from training.subnets.files import SubnetRecord


@dataclass(frozen=True, eq=False)
class Workshop:
    """Where nets are trained: on one split of one store, into one folder."""

    store: EmbeddingStore
    split: Split
    enrolled: Enrolled
    settings: TrainingSettings
    workers: Workers
    folder: Path

    def ours(self, placement: Placement, name: str) -> tuple[Nets, tuple["SubnetRecord", ...]]:
        """Subnets as they are published: with degraded copies, as the settings say."""
        return self._train(placement, name, self.split.training, self.split.validation)

    def plain(
        self, placement: Placement, name: str, *, initialisation: Initialisation = "class-mean"
    ) -> tuple[Nets, tuple["SubnetRecord", ...]]:
        """Nets as the paper trains them, without degraded copies, but for how they start.

        The paper starts from random rows. With few pictures a class, what was random in them
        stays: the highest output of all subnets then says little (`starts` shows both).
        """
        without = np.asarray(self.store.kinds != Kind.DEGRADED)
        device = self.settings.subnets.device
        settings = SubnetSettings(initialisation=initialisation, device=device)
        return replace(self, settings=replace(self.settings, subnets=settings))._train(
            placement, name, self.split.training & without, self.split.validation & without
        )

    def _train(
        self,
        placement: Placement,
        name: str,
        training: NDArray[np.bool_],
        validation: NDArray[np.bool_],
    ) -> tuple[Nets, tuple["SubnetRecord", ...]]:
        """Train what is not there yet; the placement counts the enrolled classes."""
        from training.subnets.tasks import SubnetPlan, train_subnets

        folder = self.folder / name
        plan = SubnetPlan(
            store=self.store,
            placement=replace(placement, classes=self.enrolled.classes[placement.classes]),
            training=training & np.isin(self.store.labels, self.enrolled.classes),
            validation=validation & np.isin(self.store.labels, self.enrolled.classes),
            settings=self.settings.subnets,
            seed=self.settings.seed,
        )
        records = train_subnets(folder, plan, jobs=self.workers.jobs, backend=self.workers.backend)
        return Nets.open([folder / record.file for record in records], placement), records


@dataclass(frozen=True, eq=False)
class OurFamily:
    """Subnets over N enrolled classes as they are published."""

    clustering: Clustering
    nets: Nets
    trained: tuple["SubnetRecord", ...]
    """How they were trained."""
    ways: Ways
    """All placements of the clustering."""


@dataclass(frozen=True, eq=False)
class Families:
    """Four families of nets over the same N enrolled classes."""

    flat: Nets
    random: Nets
    random_split: Clustering
    clusters: Nets
    clustering: Clustering
    ours: Nets
    trained: tuple["SubnetRecord", ...]
    """How ours were trained."""
    ways: Ways
    """All placements of the clustering."""


def flat_net(workshop: Workshop) -> Nets:
    """The paper's first scenario: one net over all classes."""
    classes = len(workshop.enrolled.classes)
    numbers = np.arange(classes, dtype=np.int32)
    nets, _ = workshop.plain(Placement(numbers, np.zeros(classes, np.int32), 1), "flat")
    return nets


def our_family(workshop: Workshop, target_size: int) -> OurFamily:
    """Cluster, place and train as the settings say, but for the size of the clusters."""
    clustering = cluster_classes(
        workshop.enrolled.class_means, target_size=target_size, seed=workshop.settings.seed
    )
    ways = Ways(
        workshop.store,
        workshop.split.training,
        clustering,
        classes=workshop.enrolled.classes,
        minimum_share=workshop.settings.minimum_share,
    )
    placement = ways.placements[workshop.settings.placement]
    nets, trained = workshop.ours(placement, f"ours-{target_size}")
    return OurFamily(clustering, nets, trained, ways)


def families(workshop: Workshop, target_size: int, flat: Nets) -> Families:
    """Train all others at one size of clusters.

    Args:
        workshop: where.
        target_size: classes a cluster.
        flat: does not depend on it.
    """
    own = our_family(workshop, target_size)
    random_split = split_at_random(
        workshop.enrolled.class_means,
        count=len(own.clustering.centroids),
        seed=workshop.settings.seed,
    )
    return Families(
        flat=flat,
        random=workshop.plain(by_mean(random_split), f"random-{target_size}")[0],
        random_split=random_split,
        clusters=workshop.plain(by_mean(own.clustering), f"clusters-{target_size}")[0],
        clustering=own.clustering,
        ours=own.nets,
        trained=own.trained,
        ways=own.ways,
    )
