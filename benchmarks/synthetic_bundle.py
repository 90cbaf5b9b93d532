"""A bundle of any number of synthetic classes, with probes and what an exact scan finds for them.

Its subnets are imprinted: their weights are the class means of their cluster. A trained one differs
in its numbers alone, not in time or memory; how much training gains is what bench-training says.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks.synthetic_classes import DIMENSION, draw_classes, draw_probes
from models.arrays import Floats
from models.fusion import Fusion
from training.clusters.bounded_assignment import nearest_centroids
from training.clusters.cluster import TARGET_SIZE, cluster_classes, cluster_count
from training.publish import BundleContents, Subnet, publish
from training.stores.format import EmbedderIdentity
from training.subnets.export import export_subnet

EMBEDDER = EmbedderIdentity("synthetic", "0" * 64)
COSINE = 0.7
"""Of a probe with its class mean."""
PROBES = 5_000
FUSION = Fusion(0.0, np.full((2, 2, 3), 1 / 3, np.float32))
"""One cluster a probe, and a third each for subnet, class mean and best sample. Nothing was left to
calibrate: the three are the same vector here, and the cluster of the nearest class mean, which
always leads, can't be bettered by others."""
CLUSTERED_A_CLUSTER = 40
"""Classes that clusters are found from, for each cluster; the others join the nearest."""
BLOCK_ROWS = 65_536
SEED = 0

Say = Callable[[str], None]


def make_bundle(folder: Path, classes: int, say: Say) -> None:
    """Make the bundle `folder / "bundle"`, and beside it its probes and what making it took.

    `probes.npz` has `vectors` (P, d), `rows` (P,) of the classes that they are of, and `nearest`
    (P,), the row that an exact search finds. `made.json` has flat names and numbers.

    Whatever is there already is taken to be complete: it comes there by one rename.

    Args:
        folder: where they will be.
        classes: N.
        say: is told what is being done.
    """
    if folder.exists():
        return
    aside = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    made: dict[str, float] = {}
    means = np.memmap(aside / "drawn.f16", np.float16, "w+", shape=(classes, DIMENSION))
    with _timed(made, "drawing", say):
        for number, start in enumerate(range(0, classes, BLOCK_ROWS)):
            block = means[start : start + BLOCK_ROWS]
            block[:] = draw_classes(len(block), np.random.default_rng([SEED, number]))
    rng = np.random.default_rng(SEED)
    with _timed(made, "clustering", say):
        clusters = _clusters(means, rng)
    with _timed(made, "imprinting", say):
        subnets = list(_imprinted(means, clusters, aside / "nets"))
    with _timed(made, "publishing", say):
        publish(_contents(means, subnets), aside / "bundle")
    with _timed(made, "exact_search", say):
        rows = rng.choice(classes, min(PROBES, classes), replace=False)
        probes = draw_probes(means[rows].astype(np.float32), COSINE, rng)
        nearest = _nearest(means, probes)
        np.savez(aside / "probes.npz", rows=rows, vectors=probes, nearest=nearest)
    sizes = [len(subnet.classes) for subnet in subnets]
    made |= {"clusters": len(sizes), "smallest": min(sizes), "largest": max(sizes)}
    (aside / "made.json").write_text(json.dumps(made))
    shutil.rmtree(aside / "nets")
    (aside / "drawn.f16").unlink()
    aside.rename(folder)


def _clusters(means: NDArray[np.float16], rng: np.random.Generator) -> NDArray[np.int32]:
    """(N,) nearest of the centroids that some classes of (N, d) give."""
    count = cluster_count(len(means), TARGET_SIZE)
    size = min(len(means), count * CLUSTERED_A_CLUSTER)
    rows = np.sort(rng.choice(len(means), size, replace=False))
    some = means[rows].astype(np.float32)
    found = cluster_classes(some, target_size=size // count, seed=SEED)
    return nearest_centroids(means, found.centroids)


def _imprinted(
    means: NDArray[np.float16], clusters: NDArray[np.int32], folder: Path
) -> Iterator[Subnet]:
    """Write a net for each cluster."""
    folder.mkdir()
    order = np.argsort(clusters, kind="stable").astype(np.int32)
    for number, classes in enumerate(np.split(order, np.cumsum(np.bincount(clusters))[:-1])):
        file = folder / f"{number}.onnx"
        file.write_bytes(export_subnet(means[classes].astype(np.float32)))
        yield Subnet(file, classes)


def _contents(means: NDArray[np.float16], subnets: list[Subnet]) -> BundleContents:
    return BundleContents(
        embedder=EMBEDDER,
        subject_ids=_subject_ids(len(means)),
        class_means=means,
        imprinted=np.ones(len(means), np.bool_),
        subnets=subnets,
        calibration={"fusion": FUSION.to_json()},
        evaluation={},
        seed=SEED,
        synthetic=True,
    )


def _subject_ids(count: int) -> NDArray[np.bytes_]:
    """(n,) ascending UUIDs that begin with the row's number."""
    text = np.tile(np.frombuffer(b"00000000-0000-4000-8000-000000000000", np.uint8), (count, 1))
    digits = np.frombuffer(b"0123456789abcdef", np.uint8)
    for place in range(8):
        text[:, place] = digits[np.arange(count) >> 4 * (7 - place) & 15]
    ids: NDArray[np.bytes_] = text.view("S36")[:, 0]
    return ids


def _nearest(means: NDArray[np.float16], probes: Floats) -> NDArray[np.int64]:
    """(P,) row of the class mean with the highest cosine, by comparing them all."""
    best = np.full(len(probes), -np.inf, np.float32)
    rows = np.zeros(len(probes), np.int64)
    for start in range(0, len(means), BLOCK_ROWS):
        block = means[start : start + BLOCK_ROWS].astype(np.float32)
        cosines, nearest = faiss.knn(probes, block, 1, metric=faiss.METRIC_INNER_PRODUCT)
        better = cosines[:, 0] > best
        best[better], rows[better] = cosines[better, 0], nearest[better, 0] + start
    return rows


@contextmanager
def _timed(made: dict[str, float], stage: str, say: Say) -> Iterator[None]:
    say(stage)
    start = time.perf_counter()
    yield
    made[f"{stage}_seconds"] = time.perf_counter() - start
