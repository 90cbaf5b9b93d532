import json
import sys
from pathlib import Path

import pytest

from benchmarks import report
from tests.training.made_up_faces import made_up_store

pytestmark = [pytest.mark.torch, pytest.mark.slow]


def test_a_small_run_from_a_store_to_its_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import bench_epochs

    made_up_store(tmp_path / "store", classes=300, dimension=16)
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(bench_epochs, "SIZES", {60: 3})
    monkeypatch.setattr(sys, "argv", ["bench_epochs", "--store", str(tmp_path / "store")])
    with pytest.raises(SystemExit) as ended:
        bench_epochs.main()
    # Three tiny subnets can't be 15 times as fast.
    assert "a speed-up of 15" in str(ended.value)
    figures = json.loads((tmp_path / "results" / "epochs.json").read_text())["figures"]
    assert figures["synthetic_probes"] == 180
    assert 0.3 < figures["synthetic_knn_rank1"] <= 1
    difference = figures["synthetic_clusters_nearest_rank1"] - figures["synthetic_knn_rank1"]
    assert figures["synthetic_difference_from_knn"] == pytest.approx(difference, abs=2e-6)
    assert figures["synthetic_60_training_rows"] == 720
    assert figures["model_largest_non_mated_difference"] < 0.1
    assert all(name.startswith(("synthetic_", "real_", "model_")) for name in figures)
    assert "Synthetic templates" in capsys.readouterr().out
