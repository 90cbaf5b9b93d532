import pytest

from benchmarks.demands import Demand, show


def test_a_missed_demand_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    kept, missed = Demand("rank-1", 0.98, 0.976), Demand("gain", -0.002, 0.0)
    assert show([kept]) is None
    assert show([kept, missed]) == "missed: gain"
    said = capsys.readouterr().err
    assert "holds   rank-1: +98.00 points, at least +97.60" in said
    assert "MISSED  gain: -0.20 points" in said
