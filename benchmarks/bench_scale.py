"""Searching a bundle of a million classes and more: milliseconds, memory, and what it misses.

make bench-scale N=1000000 [OUT=<folder that keeps the bundle>]

The classes are synthetic (`synthetic_classes.py`), the bundle, its index and the code that searches
it are the real ones; an exact scan over the same class means runs in the same minutes.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from rich.console import Console

from benchmarks.report import write_results
from benchmarks.synthetic_bundle import make_bundle

THREADS = (1, 2)
"""Of faiss and of a subnet; the service has one by default."""
SUBNET_MEMORY_BYTES = 2**32
"""All of a million classes, and half of ten million: with more, files alone would fill 12 GiB."""
NAMES = {1_000_000: "scale", 10_000_000: "scale_10m"}
LARGEST_MEDIAN_MS = {1_000_000: 1.5, 10_000_000: 7.5}
LEAST_RATIO = {1_000_000: 20.0}
LARGEST_RESIDENT_MB = {10_000_000: 12 * 2**30 / 1e6}
LARGEST_LOSS = 0.001
"""Of rank-1, as a share of the probes, against the exact search."""

console = Console(stderr=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classes", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True, help="keeps what is made")
    options = parser.parse_args()
    folder = options.out / str(options.classes)
    make_bundle(folder, options.classes, console.print)
    figures: dict[str, float] = {"classes": options.classes}
    figures |= {
        f"made_{name}": value
        for name, value in json.loads((folder / "made.json").read_text()).items()
    }
    with np.load(folder / "probes.npz") as file:
        figures["probes"] = len(file["rows"])
        figures["exact_rank1"] = float(np.mean(file["nearest"] == file["rows"]))
    for threads in THREADS:
        figures |= measured(folder, threads)
    figures["rank1_loss"] = figures["exact_rank1"] - figures["threads_1_rank1"]
    write_results(NAMES.get(options.classes, f"scale_{options.classes}"), figures)
    sys.exit(missed(options.classes, figures))


def measured(folder: Path, threads: int) -> dict[str, float]:
    """Figures of searches and of exact scans with so many threads."""
    console.print(f"searching with {threads} threads")
    found = _run(
        folder, "--threads", str(threads), "--subnet-memory-bytes", str(SUBNET_MEMORY_BYTES)
    )
    found |= _run(folder, "--threads", str(threads), "--exact")
    found["exact_ratio"] = found["exact_median_ms"] / found["search_median_ms"]
    return {f"threads_{threads}_{name}": value for name, value in found.items()}


def _run(folder: Path, *options: str) -> dict[str, float]:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale_search", str(folder), *options],
        stdout=subprocess.PIPE,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    figures: dict[str, float] = json.loads(ran.stdout)
    return figures


def missed(classes: int, figures: dict[str, float]) -> str | None:
    """Say which demand on a bundle of this size is not met, or None."""
    largest = {
        "at most {:g} of rank-1 lost": ("rank1_loss", LARGEST_LOSS),
        "a median of at most {:g} ms": (
            "threads_1_search_median_ms",
            LARGEST_MEDIAN_MS.get(classes),
        ),
        "at most {:g} MB of resident memory": (
            "threads_1_resident_mb",
            LARGEST_RESIDENT_MB.get(classes),
        ),
    }
    failed = [
        demand.format(limit)
        for demand, (name, limit) in largest.items()
        if limit is not None and figures[name] > limit
    ]
    ratio = LEAST_RATIO.get(classes)
    if ratio is not None and figures["threads_1_exact_ratio"] < ratio:
        failed.append(f"{ratio:g} times as fast as the exact scan")
    return f"not reached: {'; '.join(failed)}" if failed else None


if __name__ == "__main__":
    main()
