import json
from pathlib import Path
from typing import Any

import pytest

from app.jobs.decision import Results, ResultsUnreadable, judge
from app.settings import Metric


def comparison(metric: str, new: float, active: float, probes: int = 1000) -> dict[str, Any]:
    return {"probes": probes, "new": {metric: new}, "active": {metric: active}}


@pytest.mark.parametrize(
    ("metric", "new", "active", "margin", "published"),
    [
        ("rank1", 0.990, 0.990, 0.0, True),
        ("rank1", 0.991, 0.990, 0.0, True),
        ("rank1", 0.989, 0.990, 0.0, False),
        # By just the margin, whatever the rounding of the difference.
        ("rank1", 0.988, 0.990, 0.002, True),
        ("rank1", 0.987, 0.990, 0.002, False),
        ("rank1", 0.990, 0.990, -0.001, False),
        ("rank1", 0.991, 0.990, -0.001, True),
        ("fnir_at_fpir_0_01", 0.030, 0.030, 0.0, True),
        ("fnir_at_fpir_0_01", 0.031, 0.030, 0.0, False),
        ("fnir_at_fpir_0_01", 0.032, 0.030, 0.002, True),
        ("fnir_at_fpir_0_01", 0.020, 0.030, 0.0, True),
    ],
)
def test_a_bundle_is_published_if_it_is_not_worse_by_more_than_the_margin(
    metric: Metric, new: float, active: float, margin: float, published: bool
) -> None:
    verdict = judge(comparison(metric, new, active), metric, margin)
    assert verdict.published is published
    assert f"{new:.4f} against {active:.4f}" in verdict.reason
    assert "1,000 probes" in verdict.reason


def test_without_probes_it_is_published_and_said_so() -> None:
    verdict = judge({"probes": 0, "new": None, "active": None}, "rank1", -1)
    assert verdict.published
    assert "no held-out probes" in verdict.reason


@pytest.mark.parametrize("content", [None, "", "[]", "{}", json.dumps({"bundle_id": "7"})])
def test_results_that_are_none_are_said_to_be_unreadable(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "retraining.json").write_text(content)
    with pytest.raises(ResultsUnreadable, match="left no results"):
        Results.read(tmp_path)
