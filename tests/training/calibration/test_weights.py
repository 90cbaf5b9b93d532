from dataclasses import replace

import numpy as np
import pytest

from models.arrays import Floats
from models.fusion import POOR_QUALITY, UNTRAINED, Fusion
from tests.training.calibration.made_up_evidence import made_up_evidence
from training.calibration.errors import CLASS_MEAN_ALONE, errors_of
from training.calibration.evidence import Evidence
from training.calibration.weights import (
    FEWEST_PROBES,
    calibrate_weights,
    grid,
)

GOOD = (0.6, 0.2)


def test_the_grid_has_every_split_of_ten_tenths_once() -> None:
    tenths = np.rint(10 * grid()).astype(int)
    np.testing.assert_allclose(grid(), tenths / 10, atol=1e-7)
    slow = {(a, b, 10 - a - b) for a in range(11) for b in range(11) if a + b <= 10}
    assert {tuple(row) for row in tenths.tolist()} == slow
    assert len(tenths) == len(slow) == 66


@pytest.mark.parametrize(
    ("winner", "place"), [("subnet", 0), ("class_mean", 1), ("best_sample", 2)]
)
def test_the_only_cosine_that_tells_wins(winner: str, place: int) -> None:
    evidence = made_up_evidence(1_000, **{winner: GOOD})  # type: ignore[arg-type]
    fusion = calibrate_weights({"clean": evidence}, 0.9)
    assert fusion.needed_share == 0.9
    assert (fusion.weights[..., place] >= 0.8).all()


def test_good_and_poor_probes_are_decided_apart() -> None:
    good = made_up_evidence(600, class_mean=GOOD, spread=0.05, quality=(POOR_QUALITY, 1))
    poor = made_up_evidence(600, subnet=GOOD, spread=0.05, quality=(0, 0.49), seed=1)
    fusion = calibrate_weights({"clean": good, "degraded": poor}, 0.0)
    # Of the poor ones several weights make no error; the class mean's makes them all.
    assert (fusion.weights[0, :, 1] == 1).all()
    assert (fusion.weights[1, :, 0] >= 0.4).all()


def test_candidates_with_one_sample_have_weights_of_their_own() -> None:
    """Of these the subnet knows nothing; of others it knows most."""
    one = made_up_evidence(600, class_mean=GOOD, samples=(1, 2), quality=(0.6, 1))
    several = made_up_evidence(
        600, subnet=(0.8, 0.2), class_mean=(0.4, 0.2), samples=(2, 5), quality=(0.6, 1), seed=1
    )
    every = Evidence.joined([one, several])
    fusion = calibrate_weights({"clean": every}, 0.0)
    of_one, of_several = fusion.weights[0]
    assert of_one[1] > of_several[1]
    # First the best for all alike, then with it the best for those with one sample.
    pairs = [np.stack([weights, weights]) for weights in grid()]
    (_, common) = min(pairs, key=lambda pair: total_of(every, pair))
    np.testing.assert_array_equal(of_several, common)
    pairs += [np.stack([weights, common]) for weights in grid()]
    np.testing.assert_array_equal(
        [of_one, of_several], min(pairs, key=lambda p: total_of(every, p))
    )
    assert total_of(every, fusion.weights[0]) < total_of(every, np.stack([common, common]))


def total_of(evidence: Evidence, pair: Floats) -> float:
    return errors_of(evidence, Fusion(0.0, np.stack([pair, pair]))).total


def test_fewer_missed_do_not_pay_for_more_misnamed() -> None:
    """The class mean ranks without an error, but at another level for each probe."""
    evidence = made_up_evidence(500, subnet=(0.5, 0.2), class_mean=GOOD, quality=(0.6, 1))
    rng = np.random.default_rng(3)
    levels = rng.normal(0, 0.3, (500, 1)).astype(np.float32)
    steady = 0.02 * rng.standard_normal((500, 8)).astype(np.float32)
    evidence.cosines[:, :, 1] = levels + steady + np.where(np.arange(8) == 0, 0.6, 0.2)
    alone = errors_of(evidence, CLASS_MEAN_ALONE)
    chosen = errors_of(evidence, calibrate_weights({"clean": evidence}, 0.0))
    pairs = [np.stack([weights, weights]) for weights in grid()]
    assert min(total_of(evidence, pair) for pair in pairs) < chosen.total < alone.total
    assert chosen.misnamed == alone.misnamed == 0


@pytest.mark.parametrize("seed", range(4))
def test_never_worse_than_the_class_mean_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    levels = rng.uniform(0.2, 0.6, 3)
    evidence = made_up_evidence(
        500,
        subnet=(levels[0], 0.2),
        class_mean=(levels[1], 0.2),
        best_sample=(levels[2], 0.2),
        quality=(0.6, 1),
        seed=seed,
    )
    alone = errors_of(evidence, CLASS_MEAN_ALONE)
    chosen = errors_of(evidence, calibrate_weights({"clean": evidence}, 0.0))
    assert chosen.misnamed <= alone.misnamed
    assert chosen.missed <= alone.missed
    assert chosen.total == alone.total or chosen.total < alone.total


def test_the_chosen_pair_has_the_fewest_errors_of_all_that_are_tried() -> None:
    evidence = made_up_evidence(
        400, subnet=(0.5, 0.2), class_mean=(0.5, 0.2), best_sample=(0.45, 0.2), quality=(0.6, 1)
    )
    chosen = errors_of(evidence, calibrate_weights({"clean": evidence}, 0.0))
    alone = errors_of(evidence, CLASS_MEAN_ALONE)
    for weights in grid():
        found = errors_of(evidence, Fusion(0.0, np.tile(weights, (2, 2, 1))))
        if found.misnamed <= alone.misnamed and found.missed <= alone.missed:
            assert chosen.total <= found.total


def test_too_few_probes_of_one_quality_are_joined_by_the_others() -> None:
    good = made_up_evidence(600, subnet=GOOD, quality=(0.6, 1))
    few = made_up_evidence(FEWEST_PROBES - 1, class_mean=GOOD, quality=(0, 0.4), seed=1)
    every = Evidence.joined([good, few])
    fusion = calibrate_weights({"clean": every}, 0.0)
    alike = replace(every, quality=np.zeros(len(every), np.float32))
    as_one = calibrate_weights({"clean": alike}, 0.0)
    # The probes' own quality chooses the weights that are tried: here all four are the same.
    assert errors_of(every, fusion).total <= errors_of(every, as_one).total


def test_with_too_few_probes_in_all_nothing_is_decided() -> None:
    untouched = UNTRAINED.weights.copy()
    few = made_up_evidence(FEWEST_PROBES - 1, class_mean=GOOD, best_sample=GOOD)
    fusion = calibrate_weights({"clean": few}, 0.7)
    np.testing.assert_array_equal(fusion.weights, untouched)
    assert fusion.needed_share == 0.7
    calibrate_weights({"clean": made_up_evidence(FEWEST_PROBES, subnet=GOOD)}, 0.7)
    np.testing.assert_array_equal(UNTRAINED.weights, untouched)


def test_if_all_else_is_worse_the_class_mean_decides() -> None:
    few = made_up_evidence(FEWEST_PROBES - 1, class_mean=GOOD, best_sample=(0.1, 0.3))
    fusion = calibrate_weights({"clean": few}, 0.7)
    np.testing.assert_array_equal(fusion.weights, CLASS_MEAN_ALONE.weights)
