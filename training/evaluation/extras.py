"""What is measured once: accuracy as the classes grow, losses, and how layers start."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from models.fusion import Fusion
from training.clusters.cluster import Clustering
from training.clusters.placement import by_mean
from training.evaluation.contenders import Families, Workshop, families, flat_net
from training.evaluation.metrics import identification
from training.evaluation.records import Record
from training.evaluation.scenarios import (
    FUSED,
    SCENARIOS,
    clusters_of_nearest,
    searches,
    served_searches,
)
from training.heads import HEADS
from training.searching.probes import Probes, probe_sets
from training.searching.search import Enrolled, Nets, blocks

SIZES = (8, 4, 2)
"""Parts of all classes that accuracy is measured at, before all of them."""
SHOWN = ("clean", "24 px", "half covered")
"""Kinds of probes that these figures are told for."""
SUBNET_ALONE = Fusion(0.0, np.tile(np.array([1, 0, 0], np.float32), (2, 2, 1)))
"""The cluster that leads the vote, and its subnet's word."""

Step = Callable[[], None]


def growth(workshop: Workshop, target_size: int, fusion: Fusion, step: Step) -> Iterator[Record]:
    """Identification among parts of the classes: the paper's figures 6 to 8.

    Who is tested is in every part, so that the probes stay the same and only the others grow.

    Args:
        workshop: of all classes; that size is measured elsewhere.
        target_size: classes a cluster, at every size.
        fusion: of ours.
        step: called after each size.
    """
    store, split = workshop.store, workshop.split
    everybody = workshop.enrolled.classes
    tested = np.unique(store.labels[split.test])
    others = np.setdiff1d(everybody, tested)
    order = np.random.default_rng([workshop.settings.seed, 3]).permutation(others)
    for part in SIZES:
        count = len(everybody) // part
        if count > len(tested):
            classes = np.sort(np.concatenate([tested, order[: count - len(tested)]]))
            smaller = replace(
                workshop,
                enrolled=Enrolled.of(store, split.training & np.isin(store.labels, classes)),
                folder=workshop.folder / f"growth-{count}",
            )
            yield from growth_records(smaller, target_size, fusion)
        step()


def growth_records(workshop: Workshop, target_size: int, fusion: Fusion) -> Iterator[Record]:
    """Figures of all scenarios at one size."""
    enrolled = workshop.enrolled
    trained = families(workshop, target_size, flat_net(workshop))
    sets = probe_sets(workshop.store, workshop.split.test, enrolled)
    for name in SHOWN:
        if name not in sets:
            continue
        found = searches(sets[name], enrolled, trained, fusion)
        for scenario in SCENARIOS:
            accuracy = identification(found[scenario].best, sets[name].true)
            yield {
                "classes": len(enrolled.classes),
                "scenario": scenario,
                "probes": name,
                "recall": accuracy.recall,
                "precision": accuracy.precision,
                "f1": accuracy.f1,
            }


def losses(workshop: Workshop, trained: Families, step: Step) -> Iterator[Record]:
    """Each loss on the same split, clusters and degraded copies, the subnet deciding alone.

    Args:
        workshop: where; its own loss has been trained already.
        trained: with it.
        step: called after each loss.
    """
    settings = workshop.settings
    sets = probe_sets(workshop.store, workshop.split.test, workshop.enrolled)
    for head in HEADS:
        nets, records = trained.ours, trained.trained
        if head != settings.subnets.head:
            subnets = replace(settings.subnets, head=head)
            other = replace(workshop, settings=replace(settings, subnets=subnets))
            nets, records = other.ours(nets.placement, f"loss-{head}")
        for name in SHOWN:
            if name in sets:
                yield {
                    "head": head,
                    "probes": name,
                    "recall": _alone(sets[name], workshop, nets),
                    "epochs": float(np.mean([record.best for record in records])),
                }
        step()


def starts(workshop: Workshop, trained: Families, step: Step) -> Iterator[Record]:
    """Layers that start from class means against random ones, the paper's way.

    Args:
        workshop: where.
        trained: its splits; their nets start from class means.
        step: called at the end.
    """
    sets = probe_sets(workshop.store, workshop.split.test, workshop.enrolled)
    for split, clustering, nets in (
        ("random", trained.random_split, trained.random),
        ("clustered", trained.clustering, trained.clusters),
    ):
        random, _ = workshop.plain(
            by_mean(clustering), f"{split}-from-random", initialisation="random"
        )
        for start, found in (("class-mean", nets), ("random", random)):
            for name in SHOWN:
                if name in sets:
                    yield {
                        "split": split,
                        "initialisation": start,
                        "probes": name,
                        **_of_start(sets[name], workshop.enrolled, found, clustering),
                    }
    step()


def _of_start(
    probes: Probes, enrolled: Enrolled, nets: Nets, clustering: Clustering
) -> dict[str, float]:
    """Clusters found by max-max, and F1 by max-max and in the nearest class mean's cluster."""
    anywhere, nearest = [], []
    for block in blocks(len(probes), len(enrolled.samples)):
        part = probes[block]
        cosines = nets.cosines(part.templates)
        means = enrolled.mean_cosines(part.templates)
        anywhere.append(nets.over_classes(cosines).argmax(axis=1))
        within = nets.over_classes(cosines, clusters_of_nearest(nets, means))
        nearest.append(within.argmax(axis=1))
    by_max, by_nearest = (np.concatenate(each).astype(np.int32) for each in (anywhere, nearest))
    own = clustering.clusters[probes.true]
    return {
        "found_by_max_max": float((clustering.clusters[by_max] == own).mean()),
        "f1_max_max": identification(by_max, probes.true).f1,
        "f1_nearest": identification(by_nearest, probes.true).f1,
    }


def _alone(probes: Probes, workshop: Workshop, nets: Nets) -> float:
    found = served_searches(probes, workshop.enrolled, nets, SUBNET_ALONE)[FUSED]
    return identification(found.best, probes.true).recall
