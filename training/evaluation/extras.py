"""What is measured once: accuracy as the classes grow, and the losses side by side."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from models.fusion import Fusion
from training.clusters.cluster import cluster_classes
from training.clusters.placement import by_mean
from training.evaluation.contenders import Workshop, families, flat_net
from training.evaluation.metrics import identification
from training.evaluation.probes import Probes, probe_sets
from training.evaluation.records import Record
from training.evaluation.scenarios import FUSED, SCENARIOS, searches, served
from training.evaluation.search import Enrolled, Nets, Searches, blocks
from training.heads import HEADS

SIZES = (8, 4, 2)
"""Parts of all classes that accuracy is measured at, before all of them."""
SHOWN = ("clean", "24 px", "half covered")
"""Kinds of probes that these figures are told for."""
SUBNET_ALONE = Fusion(0.0, np.tile(np.array([1, 0, 0], np.float32), (2, 2, 1)))
"""The paper's decision: the nearest class mean's cluster, and its subnet's word."""

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


def losses(workshop: Workshop, target_size: int, step: Step) -> Iterator[Record]:
    """Each loss on the same split, clusters and degraded copies, the subnet deciding alone.

    Args:
        workshop: where.
        target_size: classes a cluster.
        step: called after each loss.
    """
    enrolled, settings = workshop.enrolled, workshop.settings
    clustering = cluster_classes(enrolled.class_means, target_size=target_size, seed=settings.seed)
    sets = probe_sets(workshop.store, workshop.split.test, enrolled)
    for head in HEADS:
        other = replace(settings, subnets=replace(settings.subnets, head=head))
        nets, records = replace(workshop, settings=other).ours(by_mean(clustering), f"loss-{head}")
        for name in SHOWN:
            if name in sets:
                yield {
                    "head": head,
                    "probes": name,
                    "recall": _alone(sets[name], workshop, nets),
                    "epochs": float(np.mean([record.best for record in records])),
                }
        step()


def _alone(probes: Probes, workshop: Workshop, nets: Nets) -> float:
    parts = []
    for block in blocks(len(probes), len(workshop.enrolled.samples)):
        scored = dict(served(probes[block], workshop.enrolled, nets, SUBNET_ALONE))
        parts.append(Searches.of(scored[FUSED], probes[block].true))
    return identification(Searches.joined(parts).best, probes.true).recall
