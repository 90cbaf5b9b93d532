"""Search a bundle of many classes in a process of its own, so that its memory is what is needed.

python -m benchmarks.scale_search <folder of make_bundle> --threads 1 [--exact]

prints the figures as JSON. `--exact` compares each probe with all class means instead.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.bundle_files import check_files, map_class_means
from models.bundle_format import BundleManifest
from models.decide import decide
from models.gallery import Gallery
from models.layer import BundleSubjects, Layer, Memberships
from models.runtime import configure_threads
from models.search import Search
from models.trained import Trained
from training.stores.format import EmbedderIdentity

COUNT = 5
"""Candidates a probe, as the service lists by default."""
THRESHOLD, GAP = 0.5, 0.05
"""Of the decision: any would take as long."""
QUALITY = np.ones(1, np.float32)
EXACT_PROBES = 200
"""A scan of ten million takes a third of a second."""
TIMED_PROBES = 2_000
"""Timed once more when all subnets that the probes lead to are open."""
PARTS_PROBES = 500
"""For which stages are timed one by one, and wider searches."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--subnet-memory-bytes", type=int, default=2**30)
    parser.add_argument("--exact", action="store_true")
    options = parser.parse_args()
    configure_threads(options.threads)
    with np.load(options.folder / "probes.npz") as file:
        probes, true_rows = file["vectors"], file["rows"]
    if options.exact:
        figures = scan(options.folder / "bundle", probes[:EXACT_PROBES])
    else:
        figures = search(
            options.folder / "bundle",
            probes,
            true_rows,
            threads=options.threads,
            subnet_memory_bytes=options.subnet_memory_bytes,
        )
    print(json.dumps(figures))


def search(
    folder: Path,
    probes: Floats,
    true_rows: NDArray[np.int64],
    *,
    threads: int,
    subnet_memory_bytes: int,
) -> dict[str, float]:
    """Open the bundle as the service does, and search one probe after the other.

    Args:
        folder: of the bundle.
        probes: (P, d) unit rows.
        true_rows: (P,) of their classes.
        threads: of faiss and of a subnet.
        subnet_memory_bytes: that opened subnets may take.
    """
    manifest = BundleManifest.read(folder / "manifest.json")
    start = time.perf_counter()
    trained = Trained.open(
        folder,
        embedder=EmbedderIdentity(**manifest.embedder),
        memory_limit_bytes=subnet_memory_bytes,
        threads=threads,
    )
    gallery = gallery_over(trained)
    _answer(gallery, probes[0])
    ready_seconds = time.perf_counter() - start
    at_start = memory()
    cold, searches = each_timed(lambda probe: _answer(gallery, probe), probes)
    warm, _ = each_timed(lambda probe: _answer(gallery, probe), probes[:TIMED_PROBES])
    after = memory()
    some = probes[:PARTS_PROBES]
    routing, _ = each_timed(lambda probe: gallery.layers[0].route(probe[None], 32), some)
    clusters = iter(each.routing.clusters for each in searches)
    subnets, _ = each_timed(lambda probe: trained.outputs(list(next(clusters)), probe), some)
    wide = gallery_over(replace(trained, fusion=replace(trained.fusion, needed_share=1.0)))
    for probe in some:
        _answer(wide, probe)
    widest, _ = each_timed(lambda probe: _answer(wide, probe), some)
    start = time.perf_counter()
    check_files(folder, manifest)
    return {
        "ready_seconds": ready_seconds,
        "verifying_seconds": time.perf_counter() - start,
        **{f"{name}_mb_at_start": value for name, value in at_start.items()},
        **{f"{name}_mb": value for name, value in after.items()},
        "index_mb": (folder / "index.faiss").stat().st_size / 1e6,
        "subnets_opened": trained.subnets.loaded_count,
        **in_figures("first_pass", cold),
        **in_figures("search", warm),
        **in_figures("routing", routing),
        **in_figures("subnets", subnets),
        **in_figures("three_clusters", widest),
        **accuracy(gallery, searches, true_rows),
    }


def scan(folder: Path, probes: Floats) -> dict[str, float]:
    """Compare (P, d) probes, one after the other, with all class means of a bundle in memory."""
    manifest = BundleManifest.read(folder / "manifest.json")
    path = folder / "class_means.f16"
    mapped = map_class_means(path, manifest.counts["classes"], manifest.dimension)
    # In one piece: an index that grows would need twice as much at its last step.
    means = np.asarray(mapped, np.float32)
    taken, _ = each_timed(
        lambda probe: faiss.knn(probe[None], means, 32, metric=faiss.METRIC_INNER_PRODUCT), probes
    )
    return in_figures("exact", taken)


def gallery_over(trained: Trained) -> Gallery:
    """A gallery whose subjects have one sample each: the class means themselves, on disk."""
    bundle = trained.bundle
    classes = Layer(
        subjects=BundleSubjects(bundle),
        samples=bundle.class_means,
        offsets=np.arange(len(bundle.subject_ids) + 1),
        index=bundle.index,
        memberships=Memberships(bundle.class_offsets, bundle.class_clusters, bundle.class_columns),
    )
    nobody = Layer.build({}, bundle.manifest.dimension, bundle)
    return Gallery(trained, (classes, nobody, nobody), {}, revision=0)


def _answer(gallery: Gallery, probe: Floats) -> Search:
    (found,) = gallery.search(probe[None], QUALITY, COUNT)
    decide([found.candidates], THRESHOLD, GAP)
    return found


def each_timed(
    action: Callable[[Floats], Any], probes: Floats
) -> tuple[NDArray[np.float64], list[Any]]:
    """Do something with each of (P, d) probes: (P,) milliseconds, and what it gave."""
    taken, results = np.empty(len(probes)), []
    for number, probe in enumerate(probes):
        start = time.perf_counter()
        results.append(action(probe))
        taken[number] = (time.perf_counter() - start) * 1e3
    return taken, results


def in_figures(name: str, taken_ms: NDArray[np.float64]) -> dict[str, float]:
    """Median and tail of some times."""
    return {
        f"{name}_median_ms": float(np.median(taken_ms)),
        f"{name}_p95_ms": float(np.quantile(taken_ms, 0.95)),
        f"{name}_p99_ms": float(np.quantile(taken_ms, 0.99)),
    }


def accuracy(
    gallery: Gallery, searches: list[Search], true_rows: NDArray[np.int64]
) -> dict[str, float]:
    """Whether probes of (P,) classes came to the right cluster, and to the right subject."""
    assert gallery.trained is not None
    bundle = gallery.trained.bundle
    mates = [bundle.clusters_of(row)[0] for row in true_rows.tolist()]
    clusters = [each.routing.clusters for each in searches]
    first = gallery.layers[0].subjects.rows_of([each.candidates[0].subject_id for each in searches])
    return {
        "rank1": float(np.mean(first == true_rows)),
        "routed_right": float(np.mean([m in c for m, c in zip(mates, clusters, strict=True)])),
        "clusters_searched": float(np.mean([len(each) for each in clusters])),
    }


def memory() -> dict[str, float]:
    """Resident memory of this process in MB of 10^6 bytes: all of it, and what no file backs."""
    lines = Path("/proc/self/smaps_rollup").read_text("ascii").splitlines()[1:]
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return {
        "resident": kilobytes["Rss"] * 1024 / 1e6,
        "anonymous": kilobytes["Anonymous"] * 1024 / 1e6,
    }


if __name__ == "__main__":
    main()
