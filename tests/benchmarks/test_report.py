import json
from pathlib import Path

import pytest

from benchmarks import report


def test_results_are_printed_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    path = report.write_results("trial", {"rank1": 0.98765432, "probes": 12})
    document = json.loads(path.read_text())
    assert path.name == "trial.json"
    assert set(document) == {"name", "date", "machine", "commit", "figures"}
    assert document["name"] == "trial"
    assert document["machine"].endswith("cores")
    assert document["figures"] == {"rank1": 0.987654, "probes": 12.0}
    assert "rank1" in capsys.readouterr().out
