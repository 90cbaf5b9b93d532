"""The whole evaluation: repetitions, each kept once it is finished, and their tables."""

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from training.clusters.cluster import cluster_count
from training.evaluation.contenders import Workshop
from training.evaluation.records import aggregated, paired
from training.evaluation.repetition import Contest, repetition, steps_of
from training.evaluation.scenarios import FUSED, KNN, NEAREST_SAMPLE, SCENARIOS
from training.evaluation.shown import flat_settings, nested, shown_calibration, summary_of
from training.searching.search import Enrolled
from training.settings import TrainingSettings, Workers
from training.split import FEWEST_TO_TEST, Split
from training.stores.format import MANIFEST, file_sha256
from training.stores.shards import write_whole
from training.stores.store import EmbeddingStore

MOST_COMPARED = 20_000
"""Classes up to which all scenarios are compared. One layer over more takes hours to train; above,
only what is served is measured: class mean, nearest sample and fused."""
TABLES = ("identification", "cluster_finding", "open_set")
DRAWN = ("distributions", "det", "growth", "losses", "starts", "map", "clusters")


def evaluate(
    store: EmbeddingStore,
    folder: Path,
    settings: TrainingSettings,
    workers: Workers,
    *,
    repetitions: int,
    target_sizes: Sequence[int] = (),
    left_out: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, Any]:
    """Compare all scenarios on splits of their own; the first is the one that is published.

    Args:
        store: of the templates.
        folder: for nets and finished repetitions; what is there of the same is taken over.
        settings: those of the training; repetition r has its seed plus r.
        workers: where nets are trained.
        repetitions: at least 1.
        target_sizes: classes a cluster; that of the settings if none.
        left_out: ids of subjects that are kept out of the open set.
        progress: called with steps done and all steps.

    With more than `MOST_COMPARED` classes, only what is served is measured.

    Returns:
        In JSON's types, what the report shows; `summary` is what a bundle says of itself. Where
        no subject has pictures enough to test on, there are no tables.

    Raises:
        SubnetsFailed: workers died again and again. What was finished stays.
        OSError: a file can't be written.
    """
    if not Split.of(store, seed=settings.seed).test.any():
        return _untested(store, settings)
    contest = Contest(
        target_sizes=_of_different_counts(store, target_sizes or (settings.target_size,)),
        left_out=tuple(left_out),
        thorough=len(store.subject_ids) <= MOST_COMPARED,
    )
    steps = [steps_of(contest, first=number == 0) for number in range(repetitions)]
    results = []
    for number in range(repetitions):
        done = sum(steps[:number])
        progress(done, sum(steps))
        seeded = replace(settings, seed=settings.seed + number)
        results.append(
            _kept(
                store, folder, seeded, workers, contest, number, _Steps(done, sum(steps), progress)
            )
        )
    progress(sum(steps), sum(steps))
    return _document(store, settings, contest, results)


class _Steps:
    """Counts the steps of one repetition."""

    def __init__(self, done: int, total: int, progress: Callable[[int, int], None]) -> None:
        self._done, self._total, self._progress = done, total, progress

    def __call__(self) -> None:
        self._done += 1
        self._progress(self._done, self._total)


def _kept(
    store: EmbeddingStore,
    folder: Path,
    settings: TrainingSettings,
    workers: Workers,
    contest: Contest,
    number: int,
    step: Callable[[], None],
) -> dict[str, Any]:
    """Result of a repetition, made unless it is there."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"repetition-{number}.json"
    decided_by = [asdict(settings), asdict(contest), file_sha256(store.folder / MANIFEST)]
    digest = hashlib.sha256(json.dumps(decided_by, sort_keys=True).encode()).hexdigest()
    if file.is_file():
        kept = _read(file)
        if kept.get("made_from") == digest:
            return dict(kept["result"])
    split = Split.of(store, seed=settings.seed)
    workshop = Workshop(
        store=store,
        split=split,
        enrolled=Enrolled.of(store, split.training),
        settings=settings,
        workers=workers,
        folder=folder / f"repetition-{number}",
    )
    result = repetition(workshop, contest, step, first=number == 0)
    document = json.dumps({"made_from": digest, "result": result}, allow_nan=False)
    write_whole(file, document.encode())
    # The nets were only there to go on with after a kill.
    shutil.rmtree(workshop.folder)
    return result


def _read(file: Path) -> dict[str, Any]:
    """What was kept; nothing of a file that was damaged since."""
    try:
        return dict(json.loads(file.read_text("utf-8")))
    except ValueError:
        return {}


def _of_different_counts(store: EmbeddingStore, target_sizes: Sequence[int]) -> tuple[int, ...]:
    """Leave out a size that makes as many clusters as one before it."""
    counts = {cluster_count(len(store.subject_ids), size): size for size in target_sizes[::-1]}
    return tuple(size for size in target_sizes if size in counts.values())


def _untested(store: EmbeddingStore, settings: TrainingSettings) -> dict[str, Any]:
    return {
        "synthetic": store.manifest.synthetic,
        "embedder": asdict(store.manifest.embedder),
        "seed": settings.seed,
        "repetitions": 0,
        "counts": {"classes": len(store.subject_ids), "tested_subjects": 0},
        "settings": flat_settings(settings, (settings.target_size,)),
        "summary": {"tested": f"no subject has {FEWEST_TO_TEST} pictures, so nothing"},
    }


def _document(
    store: EmbeddingStore,
    settings: TrainingSettings,
    contest: Contest,
    results: list[dict[str, Any]],
) -> dict[str, Any]:
    first = results[0]
    tables = {name: aggregated([result[name] for result in results]) for name in TABLES}
    tables["open_set"] = [{"fnir": {}} | nested(row) for row in tables["open_set"]]
    return {
        "synthetic": store.manifest.synthetic,
        "embedder": asdict(store.manifest.embedder),
        "seed": settings.seed,
        "repetitions": len(results),
        "counts": first["counts"] | first["strangers"],
        "settings": flat_settings(settings, contest.target_sizes),
        "scenarios": list(SCENARIOS),
        **tables,
        "paired": paired(tables["identification"], FUSED, (KNN, NEAREST_SAMPLE)),
        **{name: first[name] for name in DRAWN if name in first},
        "calibration": shown_calibration(first["calibration"]),
        "summary": summary_of(first),
    }
