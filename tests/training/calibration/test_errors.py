from dataclasses import replace

import numpy as np
import pytest

from models.fusion import Fusion
from tests.training.calibration.made_up_evidence import made_up_evidence
from training.calibration.errors import TARGET_FPIR, Errors, errors_of, top_without

FUSION = Fusion(0.5, np.tile(np.array([0.2, 0.5, 0.3], np.float32), (2, 2, 1)))


def test_they_agree_with_counting_one_search_at_a_time() -> None:
    evidence = made_up_evidence(
        400, subnet=(0.5, 0.2), class_mean=(0.45, 0.2), best_sample=(0.5, 0.3), spread=0.15
    )
    # Every fifth candidate's cluster is not searched.
    rng = np.random.default_rng(1)
    hidden = np.where(rng.random((400, 8)) < 0.2, 0.6, 0).astype(np.float32)
    evidence = replace(evidence, share_before=hidden)
    scores, without = evidence.scores(FUSION), evidence.scores_without(FUSION)
    strangers = sorted((max(row[1:]) for row in without.tolist()), reverse=True)
    np.testing.assert_allclose(np.sort(top_without(evidence, FUSION))[::-1], strangers)
    # Four of the four hundred may pass.
    assert TARGET_FPIR == 0.01
    fifth = strangers[4]
    misnamed = missed = 0
    for mate, *others in scores.tolist():
        wrong = mate <= max(others)
        misnamed += wrong
        missed += wrong or mate <= fifth
    assert 0 < misnamed < missed < 400
    errors = errors_of(evidence, FUSION)
    assert (errors.misnamed, errors.missed) == pytest.approx((misnamed / 400, missed / 400))
    assert errors.total == pytest.approx((misnamed + missed) / 400)


def test_a_search_of_nobody_ends_below_all_scores() -> None:
    evidence = made_up_evidence(3)
    nobody = replace(evidence, share_before_without=np.full((3, 8), np.inf, np.float32))
    assert top_without(nobody, FUSION).tolist() == [-1, -1, -1]


def test_an_equal_score_is_no_identification() -> None:
    evidence = made_up_evidence(200, class_mean=(0.4, 0.4), spread=0)
    assert errors_of(evidence, FUSION) == Errors(1, 1)
