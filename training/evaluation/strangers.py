"""The open set: some subjects are never enrolled, and searched for all the same."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.fusion import Fusion
from training.calibration.calibrate import calibrate
from training.evaluation.contenders import Workshop, our_family
from training.evaluation.scenarios import FUSED, KNN, NEAREST_SAMPLE, served_searches
from training.searching.open_set import fnir, threshold_at_fpir
from training.searching.probes import Probes, probe_sets
from training.searching.search import Enrolled, Nets, Searches
from training.split import places_by_lot
from training.stores.format import HARD_KINDS, Kind

STRANGER_SHARE = 0.2
"""Of the subjects."""
MOST_PICTURES = 5
"""Of a stranger, so that no face outweighs the others."""
FPIRS = (0.1, 0.03, 0.01, 0.003)
FEWEST_OVER = 3
"""Strangers above a threshold that a figure is told for: fewer are an accident."""
CALIBRATED_FPIR = 0.01


@dataclass(frozen=True, eq=False)
class OpenSet:
    """A gallery without its strangers, trained and calibrated, and who is searched for."""

    enrolled: Enrolled
    nets: Nets
    calibration: dict[str, Any]
    mated: dict[str, Probes]
    strangers: dict[str, Probes]
    stranger_count: int
    """Subjects that were held back."""


@dataclass(frozen=True, eq=False)
class OpenSearches:
    """One scenario on one kind of probe."""

    probes: str
    scenario: str
    mated: Searches
    true: NDArray[np.int32]
    """(n,) of the mated probes."""
    strangers: Searches

    def fnir_at(self, threshold: float) -> float:
        ranks = np.where(self.mated.best == self.true, 1, 2).astype(np.int64)
        return fnir(self.mated.mate_scores.astype(np.float64), ranks, threshold)

    def threshold_at(self, fpir: float) -> float:
        """Of these very strangers."""
        return threshold_at_fpir(self.strangers.scores.astype(np.float64), fpir)


def open_set(workshop: Workshop, target_size: int, left_out: Sequence[str]) -> OpenSet | None:
    """Train without the strangers, on the same split else.

    Args:
        workshop: of all subjects.
        target_size: classes a cluster.
        left_out: ids of subjects that are neither enrolled nor strangers, label errors say: one
            person under two names would be a stranger who is known.

    Returns:
        None where so few are enrolled that no threshold can be fitted.
    """
    store, split = workshop.store, workshop.split
    seed = workshop.settings.seed
    is_out = np.isin(np.array(store.subject_ids), list(left_out))
    is_stranger = np.random.default_rng([seed, 2]).random(len(is_out)) < STRANGER_SHARE
    known = ~(is_out | is_stranger)[store.labels]
    enrolled = Enrolled.of(store, split.training & known)
    if not len(enrolled.classes):
        return None
    smaller = replace(workshop, enrolled=enrolled, folder=workshop.folder / "without-strangers")
    nets = our_family(smaller, target_size).nets
    calibration = calibrate(store, split, enrolled, nets)
    if not calibration["thresholds"]:
        return None
    strangers = _few_pictures(workshop, (is_stranger & ~is_out)[store.labels])
    return OpenSet(
        enrolled=enrolled,
        nets=nets,
        calibration=calibration,
        mated=probe_sets(store, split.test & known, enrolled),
        strangers=probe_sets(store, strangers, enrolled),
        stranger_count=int((is_stranger & ~is_out).sum()),
    )


def _few_pictures(workshop: Workshop, rows: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(n,) originals and hard probes of `MOST_PICTURES` pictures of each subject of a mask (n,)."""
    store = workshop.store
    originals = np.flatnonzero(rows & store.originals)
    places = places_by_lot(
        store.vectors[originals], store.labels[originals], seed=workshop.settings.seed
    )
    chosen = np.isin(store.sources, store.sources[originals[places < MOST_PICTURES]])
    kinds = np.isin(store.kinds, (Kind.ORIGINAL, *HARD_KINDS))
    return np.asarray(rows & chosen & kinds)


def open_searches(found: OpenSet) -> Iterator[OpenSearches]:
    """Search mated probes and strangers of each kind that there is of both."""
    fusion = Fusion.of_json(found.calibration["fusion"])
    for name, mated in found.mated.items():
        if name not in found.strangers:
            continue
        sides = [
            served_searches(probes, found.enrolled, found.nets, fusion)
            for probes in (mated, found.strangers[name])
        ]
        for scenario in (KNN, NEAREST_SAMPLE, FUSED):
            own, others = (side[scenario] for side in sides)
            yield OpenSearches(name, scenario, own, mated.true, others)


def open_record(one: OpenSearches, calibration: dict[str, Any]) -> dict[str, float]:
    """FNIR at each FPIR that there are strangers enough for; what the calibrated threshold gives.

    The calibrated threshold was fitted to fused scores, and is told for those only.
    """
    count = len(one.strangers.scores)
    record = {
        f"fnir {fpir}": one.fnir_at(one.threshold_at(fpir))
        for fpir in FPIRS
        if fpir * count >= FEWEST_OVER
    }
    if one.scenario == FUSED:
        threshold = calibrated_threshold(calibration)
        record[f"observed_fpir {CALIBRATED_FPIR}"] = float(
            (one.strangers.scores >= threshold).mean()
        )
        record[f"observed_fnir {CALIBRATED_FPIR}"] = one.fnir_at(threshold)
    return record


def calibrated_threshold(calibration: dict[str, Any]) -> float:
    """Threshold for `CALIBRATED_FPIR` at the size that was calibrated at."""
    (row,) = (row for row in calibration["thresholds"] if row["fpir"] == CALIBRATED_FPIR)
    (at_size,) = (size for size in row["by_gallery_size"] if size["times"] == 1)
    return float(at_size["threshold"])
