import json
from pathlib import Path

import pytest

from benchmarks import bench_replicas, report
from benchmarks.bench_replicas import demands, is_stale
from benchmarks.ledger import Ledger
from benchmarks.service import Answer

GOOD = {
    "failed": 0,
    "lost": 0,
    "phantoms": 0,
    "named": 240,
    "stale": 0,
    "behind_503": 0,
    "propagation_p99_ms": 249.0,
}


def test_each_demand_is_looked_at() -> None:
    assert all(demands(GOOD).values())
    for figure in GOOD:
        bad = demands(GOOD | {figure: 0 if figure == "named" else GOOD[figure] + 2})
        assert list(bad.values()).count(False) == 1, figure


def test_an_answer_is_stale_that_is_older_or_does_not_know_whom_it_should() -> None:
    def answer(revision: int, found: str) -> Answer:
        face = {"candidates": [{"subject_id": found}]}
        return Answer(200, {}, {"revision": revision, "faces": [face]})

    ledger = Ledger(enrolled={"a": b""}, deleted={"b": b""})
    assert not is_stale(answer(5, "a"), 5, "a", ledger)
    assert is_stale(answer(4, "a"), 5, "a", ledger)
    assert is_stale(answer(5, "x"), 5, "a", ledger)
    assert not is_stale(answer(6, "a"), 5, None, ledger)
    assert is_stale(answer(6, "b"), 5, None, ledger)


@pytest.mark.slow
def test_a_short_run_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    # How long it takes is not for a machine to say that runs other tests beside.
    monkeypatch.setattr(bench_replicas, "LARGEST_P99_MS", 10_000)
    patient = bench_replicas.SETTINGS | {"COHORT_MIN_REVISION_WAIT_S": "30"}
    monkeypatch.setattr(bench_replicas, "SETTINGS", patient)
    monkeypatch.setattr("sys.argv", ["bench_replicas", "--seconds", "5"])
    bench_replicas.main()
    figures = json.loads((tmp_path / "replicas.json").read_text())["figures"]
    assert figures["writes"] > 5
    assert figures["propagations"] + figures["named"] == 2 * figures["writes"]
    assert figures["identify_per_s_3_replicas"] > 0
