import pytest

from benchmarks import bench_batching


@pytest.mark.slow
def test_both_ways_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_batching, "CLIENTS", (1, 3))
    figures = bench_batching.measure("cpu", rounds=1, seconds=0.2)
    for what in ("embedder_1", "embedder_3", "request_1", "request_3"):
        for figure in ("per_s", "p50_ms", "p99_ms"):
            ratio = figures[f"{what}_together_{figure}"] / figures[f"{what}_alone_{figure}"]
            assert figures[f"{what}_ratio_{figure}"] == pytest.approx(ratio)
            assert ratio > 0
