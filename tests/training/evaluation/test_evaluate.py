"""One small evaluation from end to end: every net is trained."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.evaluation.galleries import photographed
from training.evaluation.evaluate import evaluate
from training.evaluation.extras import SHOWN
from training.evaluation.repetition import Contest, steps_of
from training.evaluation.scenarios import SCENARIOS
from training.heads import HEADS
from training.settings import TrainingSettings, Workers
from training.stores.store import EmbeddingStore
from training.subnets.settings import SubnetSettings

pytestmark = [pytest.mark.torch, pytest.mark.slow, pytest.mark.usefixtures("one_thread")]

PICTURES = [5] * 16 + [2, 3] * 90
SETTINGS = TrainingSettings(
    target_size=70, placement="share", subnets=SubnetSettings(epochs=1, device="cpu")
)
PROBES = ["clean", "24 px", "half covered"]


def evaluated(store: EmbeddingStore, folder: Path, *, jobs: int = 1, **other: Any) -> Any:
    return evaluate(
        store, folder, SETTINGS, Workers(jobs=jobs), repetitions=2, target_sizes=(70, 40), **other
    )


def written(folder: Path) -> dict[str, int]:
    """When each file was written."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in files}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EmbeddingStore:
    return photographed(tmp_path_factory.mktemp("evaluated") / "store", PICTURES, spread=0.6)


@pytest.fixture(scope="module")
def first(
    store: EmbeddingStore, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, dict[str, Any], list[tuple[int, int]]]:
    """The folder, what was found, and the steps that were told."""
    folder = tmp_path_factory.mktemp("parts")
    steps: list[tuple[int, int]] = []
    found = evaluated(store, folder, progress=lambda *step: steps.append(step))
    return folder, found, steps


First = tuple[Path, dict[str, Any], list[tuple[int, int]]]


def test_every_table_is_there(first: First, store: EmbeddingStore) -> None:
    _, found, _ = first
    json.dumps(found, allow_nan=False)
    assert found["scenarios"] == list(SCENARIOS)
    assert (found["repetitions"], found["seed"]) == (2, 0)
    counts = found["counts"]
    assert counts["classes"] == len(PICTURES)
    assert counts["tested_subjects"] == 16
    assert counts["test_probes"] == 48
    assert counts["stranger_probes"] > counts["strangers"] > 0
    sizes = [table["count"] for table in found["clusters"]]
    assert sizes == [3, 5]
    keys = {(row["clusters"], row["probes"], row["scenario"]) for row in found["identification"]}
    assert len(keys) == len(found["identification"]) == 2 * len(PROBES) * len(SCENARIOS)
    assert {row["split"] for row in found["cluster_finding"]} == {"random", "clustered"}
    assert {row["probes"] for row in found["cluster_finding"]} == {"train", *PROBES}
    assert len(found["cluster_finding"]) == 2 * 2 * 3 * 4
    assert len(found["paired"]) == 2 * len(PROBES) * 2
    assert len(found["open_set"]) == 3 * len(PROBES)
    assert all("0.1" in row["fnir"] for row in found["open_set"])
    assert len(found["distributions"]) == len(found["det"]) == 4
    assert len(found["map"]["x"]) == len(PICTURES)
    assert set(found["summary"]["macro_recall"]) == set(PROBES)
    assert set(found["calibration"]) == {
        "weights",
        "needed_share",
        "clusters_searched",
        "thresholds",
        "reliability",
    }


def test_growth_losses_and_starts_are_measured_once(first: First) -> None:
    _, found, _ = first
    sizes = [len(PICTURES) // part for part in (8, 4, 2, 1)]
    assert sorted({row["classes"] for row in found["growth"]}) == sizes
    assert len(found["growth"]) == len(sizes) * len(SHOWN) * len(SCENARIOS)
    assert [row["head"] for row in found["losses"][:: len(SHOWN)]] == list(HEADS)
    assert len(found["starts"]) == 2 * 2 * len(SHOWN)
    whole = {
        (row["probes"], row["scenario"]): row["recall"]
        for row in found["growth"]
        if row["classes"] == len(PICTURES)
    }
    for row in found["identification"]:
        if row["clusters"] == 3:
            assert row["recall"]["values"][0] == whole[row["probes"], row["scenario"]]


def test_figures_are_of_two_repetitions_that_differ(first: First) -> None:
    _, found, _ = first
    recalls = [row["recall"] for row in found["identification"]]
    assert all(len(recall["values"]) == 2 and recall["sd"] is not None for recall in recalls)
    assert any(recall["sd"] > 0 for recall in recalls)
    assert np.mean([recall["mean"] for recall in recalls]) > 0.5


def test_steps_are_told_one_by_one(first: First) -> None:
    _, _, steps = first
    contest = Contest((70, 40), (), thorough=True)
    whole = steps_of(contest, first=True) + steps_of(contest, first=False)
    assert {of for _, of in steps} == {whole}
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert {done for done, _ in steps} >= {0, steps_of(contest, first=True), whole}


def test_a_second_call_trains_nothing_and_finds_the_same(
    first: First, store: EmbeddingStore
) -> None:
    folder, found, _ = first
    before = written(folder)
    assert evaluated(store, folder) == found
    assert written(folder) == before


class _Killed(Exception):
    pass


def test_an_interrupted_repetition_goes_on(
    first: First, store: EmbeddingStore, tmp_path: Path
) -> None:
    folder, found, steps = first
    parts = tmp_path / "parts"
    parts.mkdir()
    shutil.copy2(folder / "repetition-0.json", parts)
    begun = steps_of(Contest((70, 40), (), thorough=True), first=True)

    def killed_at(last: int) -> dict[str, int]:
        def progress(done: int, _total: int) -> None:
            if done == last:
                raise _Killed

        with pytest.raises(_Killed):
            evaluated(store, parts, progress=progress)
        return written(parts)

    before, after = killed_at(begun + 2), killed_at(begun + 3)
    # All that was there stays, and the next size of clusters is trained.
    assert before.items() < after.items()
    assert evaluated(store, parts, jobs=2) == found
    assert len(steps) > begun + 3


def test_jobs_change_nothing(first: First, store: EmbeddingStore, tmp_path: Path) -> None:
    folder, found, _ = first
    # Nothing is there to be taken over.
    again = evaluate(
        store,
        tmp_path / "parts",
        SETTINGS,
        Workers(jobs=2),
        repetitions=1,
        target_sizes=(70, 40),
    )
    for name in ("map", "clusters", "growth", "losses", "det", "calibration", "summary"):
        assert again[name] == found[name]
    kept = [path / "repetition-0.json" for path in (folder, tmp_path / "parts")]
    assert kept[0].read_bytes() == kept[1].read_bytes()


def test_what_other_settings_found_is_not_taken_over(tmp_path: Path) -> None:
    store = photographed(tmp_path / "store", [5] * 12)
    folder = tmp_path / "parts"

    def found(seed: int, left_out: tuple[str, ...] = ()) -> tuple[Any, bytes]:
        settings = replace(SETTINGS, seed=seed)
        workers = Workers(jobs=1)
        result = evaluate(store, folder, settings, workers, repetitions=1, left_out=left_out)
        return result, (folder / "repetition-0.json").read_bytes()

    first, kept = found(0)
    assert found(0)[1] == kept
    assert found(0, ("subject 003",))[1] != kept
    other, _ = found(1)
    assert other["identification"] != first["identification"]
    assert found(0) == (first, kept)


def test_where_nobody_can_be_tested_nothing_is_measured(tmp_path: Path) -> None:
    store = photographed(tmp_path / "store", [4] * 10)
    found = evaluated(store, tmp_path / "parts")
    assert found["repetitions"] == 0
    assert found["counts"] == {"classes": 10, "tested_subjects": 0}
    assert "no subject has 5 pictures" in found["summary"]["tested"]
    assert not (tmp_path / "parts").exists()
    json.dumps(found, allow_nan=False)
