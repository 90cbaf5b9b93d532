"""The eight scenarios: six of the paper's second table, ours, and the nearest sample."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.fusion import Fusion
from models.pre_selection import clusters_to_search
from training.evaluation.contenders import Families
from training.searching.probes import Probes
from training.searching.search import Enrolled, Nets, Searches, blocks

FLAT, KNN, NEAREST_SAMPLE, FUSED = "flat", "knn", "nearest sample", "fused"
RANDOM_MAX, RANDOM_NEAREST = "random + max-max", "random + nearest"
CLUSTERS_MAX, CLUSTERS_NEAREST = "clusters + max-max", "clusters + nearest"
SCENARIOS = (
    FLAT,
    RANDOM_MAX,
    RANDOM_NEAREST,
    KNN,
    CLUSTERS_MAX,
    CLUSTERS_NEAREST,
    FUSED,
    NEAREST_SAMPLE,
)

Scored = Iterator[tuple[str, Floats]]
"""Names of scenarios, and the scores (n, N) that each gives to the classes."""


def searches(
    probes: Probes, enrolled: Enrolled, families: Families, fusion: Fusion
) -> dict[str, Searches]:
    """Search probes in all eight scenarios.

    Args:
        probes: of any kind.
        enrolled: N classes.
        families: nets over them.
        fusion: of ours.
    """
    parts: dict[str, list[Searches]] = {name: [] for name in SCENARIOS}
    for block in blocks(len(probes), len(enrolled.samples)):
        part = probes[block]
        for name, scores in _all(part, enrolled, families, fusion):
            parts[name].append(Searches.of(scores, part.true))
    return {name: Searches.joined(found) for name, found in parts.items()}


def served_searches(
    probes: Probes, enrolled: Enrolled, nets: Nets, fusion: Fusion
) -> dict[str, Searches]:
    """Search probes in the three scenarios that need the published subnets alone."""
    parts: dict[str, list[Searches]] = {}
    for block in blocks(len(probes), len(enrolled.samples)):
        part = probes[block]
        for name, scores in served(part, enrolled, nets, fusion):
            parts.setdefault(name, []).append(Searches.of(scores, part.true))
    return {name: Searches.joined(found) for name, found in parts.items()}


def served(probes: Probes, enrolled: Enrolled, nets: Nets, fusion: Fusion) -> Scored:
    """Score what needs the published subnets alone: class mean, nearest sample, fused."""
    means = enrolled.mean_cosines(probes.templates)
    samples = enrolled.best_sample_cosines(probes.templates)
    searched = clusters_to_search(nets.shares(means), fusion.needed_share)
    subnets = nets.over_classes(nets.cosines(probes.templates), searched)
    cosines = np.stack([subnets, means, samples], axis=2)
    yield KNN, means
    yield NEAREST_SAMPLE, samples
    yield FUSED, fusion.scores(cosines, enrolled.sample_counts(), probes.quality)


def _all(probes: Probes, enrolled: Enrolled, families: Families, fusion: Fusion) -> Scored:
    yield from served(probes, enrolled, families.ours, fusion)
    means = enrolled.mean_cosines(probes.templates)
    yield FLAT, families.flat.over_classes(families.flat.cosines(probes.templates))
    for nets, everywhere, nearest in (
        (families.random, RANDOM_MAX, RANDOM_NEAREST),
        (families.clusters, CLUSTERS_MAX, CLUSTERS_NEAREST),
    ):
        cosines = nets.cosines(probes.templates)
        yield everywhere, nets.over_classes(cosines)
        yield nearest, nets.over_classes(cosines, clusters_of_nearest(nets, means))


def clusters_of_nearest(nets: Nets, mean_cosines: Floats) -> NDArray[np.bool_]:
    """(n, m) whether a cluster has the nearest class mean, from (n, N) cosines: the paper's way."""
    pairs = nets.placement
    has = np.zeros((len(mean_cosines), pairs.cluster_count), np.bool_)
    for probe, nearest in enumerate(mean_cosines.argmax(axis=1)):
        has[probe, pairs.clusters_of(nearest)] = True
    return has
