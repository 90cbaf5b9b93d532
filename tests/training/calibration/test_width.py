from dataclasses import replace

import numpy as np
import pytest

from tests.training.calibration.made_up_evidence import made_up_evidence
from training.calibration.evidence import Evidence
from training.calibration.width import ALLOWED_LOSS, SHARES, calibrate_needed_share, width_of


def mates_at(share_before: list[float]) -> Evidence:
    """Probes whose mates are behind such shares of the vote."""
    evidence = made_up_evidence(len(share_before))
    before = evidence.share_before.copy()
    before[:, 0] = share_before
    return replace(evidence, share_before=before)


def test_the_smallest_share_that_reaches_all_mates_is_taken() -> None:
    assert calibrate_needed_share(mates_at([0] * 90 + [0.75] * 10)) == 0.8
    assert calibrate_needed_share(mates_at([0] * 90 + [0.9] * 10)) == 0.95
    assert calibrate_needed_share(mates_at([0] * 99 + [0.9995])) == 1.0


def test_a_few_mates_may_be_left_behind() -> None:
    assert ALLOWED_LOSS == 0.0005
    assert calibrate_needed_share(mates_at([0] * 9_996 + [0.75] * 4)) == 0.0
    assert calibrate_needed_share(mates_at([0] * 9_993 + [0.75] * 7)) == 0.8


def test_mates_that_no_width_reaches_ask_for_none() -> None:
    assert calibrate_needed_share(mates_at([0] * 50 + [np.inf] * 50)) == 0.0


def test_with_one_cluster_that_one_is_searched() -> None:
    evidence = made_up_evidence(20)
    assert calibrate_needed_share(evidence) == SHARES[0] == 0.0
    assert width_of(evidence, 0.0) == {
        "clusters_1": 1.0,
        "clusters_2": 0.0,
        "clusters_3": 0.0,
        "mate_searched": 1.0,
    }


def test_the_width_by_hand() -> None:
    ahead = np.array([[0, 0.95, 0.99], [0, 0.6, 0.95], [0, 0.5, 0.8], [0, 0.4, 0.7]], np.float32)
    evidence = replace(mates_at([0, 0.6, np.inf, 0.7]), ahead=ahead)
    assert width_of(evidence, 0.9) == {
        "clusters_1": pytest.approx(0.25),
        "clusters_2": pytest.approx(0.25),
        "clusters_3": pytest.approx(0.5),
        "mate_searched": pytest.approx(0.75),
    }
