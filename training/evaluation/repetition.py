"""One repetition: everything on one split, with one seed."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.fusion import Fusion
from training.calibration.calibrate import calibrate
from training.evaluation.cluster_finding import found_shares
from training.evaluation.contenders import Families, Workshop, families, flat_net, our_family
from training.evaluation.curves import det_curve, distribution, map_of
from training.evaluation.extras import SIZES, Step, growth, growth_records, losses, starts
from training.evaluation.metrics import identification
from training.evaluation.records import Record
from training.evaluation.scenarios import FUSED, KNN, SCENARIOS, searches, served_searches
from training.evaluation.strangers import (
    CALIBRATED_FPIR,
    calibrated_threshold,
    open_record,
    open_searches,
    open_set,
)
from training.heads import HEADS
from training.searching.probes import Probes, probe_sets
from training.searching.search import Nets, Searches

TRAIN_PROBES = 5_000
"""Enrolled samples whose cluster is looked for, at most: the paper's first table has them too."""
CURVES_OF = (KNN, FUSED)
CURVES_ON = ("clean", "24 px")


@dataclass(frozen=True)
class Contest:
    """What is compared in each repetition."""

    target_sizes: tuple[int, ...]
    """Classes a cluster; the first one is the main one."""
    left_out: tuple[str, ...]
    """Ids of subjects that are kept out of the open set."""
    thorough: bool
    """Whether all scenarios are compared, or only what is served."""


def steps_of(contest: Contest, *, first: bool) -> int:
    """Steps that a repetition tells of."""
    if not contest.thorough:
        return 1 + len(contest.target_sizes)
    return 2 + len(contest.target_sizes) + (len(SIZES) + len(HEADS) + 1 if first else 0)


def repetition(workshop: Workshop, contest: Contest, step: Step, *, first: bool) -> dict[str, Any]:
    """Train, calibrate and measure.

    Args:
        workshop: with the split and the seed of this repetition.
        contest: what is compared.
        step: called as often as `steps_of` says.
        first: whether growth, losses, starts, curves and map are made as well.

    Returns:
        Lists of records by table, and for the first repetition what is drawn.
    """
    if not contest.thorough:
        return _brief(workshop, contest, step, curves=first)
    enrolled = workshop.enrolled
    sets = probe_sets(workshop.store, workshop.split.test, enrolled)
    train = _train_probes(workshop)
    flat = flat_net(workshop)
    step()
    tables: dict[str, Any] = {"identification": [], "cluster_finding": [], "clusters": []}
    contenders = []
    for size in contest.target_sizes:
        trained = families(workshop, size, flat)
        calibration = calibrate(workshop.store, workshop.split, enrolled, trained.ours)
        contenders.append((trained, calibration))
        fusion = Fusion.of_json(calibration["fusion"])
        tables["identification"] += _identification(sets, workshop, trained, fusion)
        tables["cluster_finding"] += _cluster_finding(sets, train, workshop, trained)
        tables["clusters"].append(trained.ways.summary(workshop.settings.placement))
        step()
    trained, calibration = contenders[0]
    open_tables = _open(workshop, contest, curves=first)
    step()
    result = tables | open_tables | {"counts": _counts(workshop, sets), "calibration": calibration}
    if first:
        fusion = Fusion.of_json(calibration["fusion"])
        size = contest.target_sizes[0]
        result["growth"] = [
            *growth(workshop, size, fusion, step),
            *growth_records(workshop, size, fusion),
        ]
        result["losses"] = list(losses(workshop, trained, step))
        result["starts"] = list(starts(workshop, trained, step))
        result["map"] = map_of(
            enrolled.class_means, trained.clustering.clusters, seed=workshop.settings.seed
        )
    return result


def _brief(workshop: Workshop, contest: Contest, step: Step, *, curves: bool) -> dict[str, Any]:
    """Without the nets that are only compared with."""
    sets = probe_sets(workshop.store, workshop.split.test, workshop.enrolled)
    tables: dict[str, Any] = {"identification": [], "cluster_finding": [], "clusters": []}
    calibrations = []
    for size in contest.target_sizes:
        own = our_family(workshop, size)
        calibrations.append(calibrate(workshop.store, workshop.split, workshop.enrolled, own.nets))
        fusion = Fusion.of_json(calibrations[-1]["fusion"])
        for name, probes in sets.items():
            found = served_searches(probes, workshop.enrolled, own.nets, fusion)
            tables["identification"] += _records(name, probes, own.nets, found)
        tables["clusters"].append(own.ways.summary(workshop.settings.placement))
        step()
    open_tables = _open(workshop, contest, curves=curves)
    step()
    return (
        tables | open_tables | {"counts": _counts(workshop, sets), "calibration": calibrations[0]}
    )


def _identification(
    sets: dict[str, Probes], workshop: Workshop, trained: Families, fusion: Fusion
) -> Iterator[Record]:
    for name, probes in sets.items():
        found = searches(probes, workshop.enrolled, trained, fusion)
        yield from _records(name, probes, trained.ours, found)


def _records(name: str, probes: Probes, nets: Nets, found: dict[str, Searches]) -> Iterator[Record]:
    for scenario in SCENARIOS:
        if scenario in found:
            accuracy = vars(identification(found[scenario].best, probes.true))
            clusters = nets.placement.cluster_count
            yield {"clusters": clusters, "probes": name, "scenario": scenario, **accuracy}


def _cluster_finding(
    sets: dict[str, Probes], train: Probes, workshop: Workshop, trained: Families
) -> Iterator[Record]:
    for name, probes in {"train": train, **sets}.items():
        for split, nets, clustering in (
            ("random", trained.random, trained.random_split),
            ("clustered", trained.clusters, trained.clustering),
        ):
            for by, accuracy in found_shares(probes, workshop.enrolled, nets, clustering).items():
                yield {
                    "clusters": len(clustering.centroids),
                    "split": split,
                    "representative": by,
                    "probes": name,
                    "accuracy": accuracy,
                }


def _open(workshop: Workshop, contest: Contest, *, curves: bool) -> dict[str, Any]:
    """FNIR at FPIR with subjects held back; the curves of a few of them."""
    found = open_set(workshop, contest.target_sizes[0], contest.left_out)
    records: list[Record] = []
    drawn: dict[str, Any] = {"distributions": [], "det": []}
    if found is None:
        return {"open_set": records, "strangers": {}} | (drawn if curves else {})
    for one in open_searches(found):
        figures = open_record(one, found.calibration)
        records.append({"probes": one.probes, "scenario": one.scenario, **figures})
        if curves and one.probes in CURVES_ON and one.scenario in CURVES_OF:
            threshold = (
                calibrated_threshold(found.calibration)
                if one.scenario == FUSED
                else one.threshold_at(CALIBRATED_FPIR)
            )
            drawn["distributions"].append(distribution(one, threshold))
            drawn["det"].append(det_curve(one))
    strangers = {
        "strangers": found.stranger_count,
        "stranger_probes": sum(len(probes) for probes in found.strangers.values()),
    }
    return {"open_set": records, "strangers": strangers} | (drawn if curves else {})


def _train_probes(workshop: Workshop) -> Probes:
    """Enrolled samples, a random part of them where there are many."""
    store, enrolled = workshop.store, workshop.enrolled
    rows = workshop.split.training & store.originals & np.isin(store.labels, enrolled.classes)
    chosen = np.random.default_rng([workshop.settings.seed, 4]).permutation(np.flatnonzero(rows))
    part = np.zeros_like(rows)
    part[chosen[:TRAIN_PROBES]] = True
    return Probes.of(store, part, enrolled)


def _counts(workshop: Workshop, sets: dict[str, Probes]) -> dict[str, int]:
    split, store = workshop.split, workshop.store
    return {
        "classes": len(workshop.enrolled.classes),
        "tested_subjects": len(np.unique(store.labels[split.test])),
        "training_rows": int(split.training.sum()),
        "validation_probes": int(split.validation.sum()),
        "test_probes": sum(len(probes) for probes in sets.values()),
    }
