"""An evaluation with every key, its figures made up: a fixture, nothing was measured."""

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

PROBES = ["clean", "24 px", "blur 2 px", "brightness x0.4", "JPEG quality 20", "half covered"]
SCENARIOS = {
    "flat": 0.955,
    "random + max-max": 0.962,
    "random + nearest": 0.964,
    "knn": 0.969,
    "clusters + max-max": 0.966,
    "clusters + nearest": 0.968,
    "fused": 0.9695,
    "nearest sample": 0.967,
}
"""Each with its made-up recall on clean probes."""
LOST = [0.0, 0.12, 0.05, 0.02, 0.01, 0.2]
"""By each kind of probes."""
GAINED = [0.0, 0.048, 0.008, 0.0, 0.0, 0.031]
"""By ours over the class mean."""
OPEN_SET = {"knn": 0.095, "nearest sample": 0.101, "clusters + nearest": 0.12, "fused": 0.0952}


def measured(mean: float, seed: int, sd: float = 0.0012) -> dict[str, Any]:
    """Five repetitions around a mean, with their sd."""
    values = mean + sd * np.random.default_rng(seed).standard_normal(5)
    return {
        "mean": round(float(values.mean()), 6),
        "sd": round(float(values.std(ddof=1)), 6),
        "values": [round(float(value), 6) for value in values],
    }


def made_up_evaluation() -> dict[str, Any]:
    """Build it anew, so that a test may change it."""
    rng = np.random.default_rng(0)
    identification = [
        {
            "clusters": clusters,
            "probes": kind,
            "scenario": scenario,
            **{
                metric: measured(recall - lost + shift + (gained if scenario == "fused" else 0), 7)
                for metric, shift in (
                    ("precision", 0.004), ("recall", 0.0), ("f1", 0.001), ("rank1", 0.003)
                )
            },
        }
        for clusters in (12, 3)
        for kind, lost, gained in zip(PROBES, LOST, GAINED, strict=True)
        for scenario, recall in SCENARIOS.items()
    ]  # fmt: skip
    return {
        "synthetic": False,
        "embedder": {"name": "made-up embedder", "sha256": "5f" * 32},
        "seed": 7,
        "repetitions": 5,
        "counts": {
            "classes": 5749, "tested_subjects": 423, "training_rows": 61234,
            "validation_probes": 811, "test_probes": 1187, "strangers": 4069,
        },
        "settings": {"target_size": 2500, "loss": "ArcFace", "rate": 0.001, "early_stop": True},
        "skipped": {"no face": 41, "unreadable": 2},
        "scenarios": list(SCENARIOS),
        "identification": identification,
        "paired": [
            {
                "clusters": clusters, "probes": kind, "of": "fused", "against": against,
                "recall_difference": measured(gained + 0.0005 + extra, 11),
                "p_value": 0.0004 if gained else 0.412,
            }
            for clusters in (12, 3)
            for kind, gained in zip(PROBES, GAINED, strict=True)
            for against, extra in (("knn", 0.0), ("nearest sample", 0.002))
        ],
        "cluster_finding": [
            {
                "clusters": clusters, "split": split, "representative": way, "probes": kind,
                "accuracy": measured(found - 0.01 * place, 13),
            }
            for clusters in (12, 3)
            for split, way, found in (
                ("random", "cluster mean", 0.234), ("random", "max-max", 0.926),
                ("random", "nearest class mean", 0.927), ("clustered", "cluster mean", 0.857),
                ("clustered", "max-max", 0.972), ("clustered", "nearest class mean", 0.978),
            )
            for place, kind in enumerate(["train", *PROBES])
        ],
        "open_set": [
            {
                "probes": kind, "scenario": scenario,
                "fnir": {
                    fpir: measured(missed + lost + worse, 17)
                    for fpir, worse in (("0.1", -0.03), ("0.01", 0), ("0.001", 0.16))
                },
                "observed_fpir": {"0.01": measured(0.0112, 19)},
            }
            for kind, lost in zip(PROBES[:2], LOST, strict=False)
            for scenario, missed in OPEN_SET.items()
        ],
        "distributions": [
            {
                "probes": kind, "scenario": scenario, "threshold": 0.43,
                "edges": np.linspace(-0.2, 1, 41).round(3).tolist(),
                "mated": _histogram(rng.normal(0.72 - lost, 0.12, 1187)),
                "non_mated": _histogram(rng.normal(0.3, 0.05, 4069)),
            }
            for kind, lost in zip(PROBES[:2], LOST, strict=False)
            for scenario in ("fused", "knn")
        ],
        "det": [
            {
                "probes": kind, "scenario": scenario,
                "fpir": np.geomspace(0.0005, 1, 60).round(6).tolist(),
                "fnir": (
                    (missed + lost) * (np.geomspace(0.0005, 1, 60) / 0.01) ** -0.35
                ).clip(0, 1).round(6).tolist(),
            }
            for kind, lost in zip(PROBES[:2], LOST, strict=False)
            for scenario, missed in OPEN_SET.items()
        ],
        "growth": [
            {
                "classes": classes, "scenario": scenario, "probes": "clean",
                **{
                    metric: measured(recall - 0.012 * np.log2(classes / 500) * hard + shift, 23)
                    for metric, shift in (("recall", 0), ("precision", 0.004), ("f1", 0.001))
                },
            }
            for classes in (500, 1000, 2000, 4000, 5749)
            for (scenario, recall), hard in zip(
                SCENARIOS.items(), (2.6, 1.3, 1.25, 1.1, 1.15, 1.12, 1, 1.05), strict=True
            )
        ],
        "losses": [
            {"head": head, "probes": kind, "recall": measured(0.95 + 0.003 * place - lost, 29),
             "epochs": 6.4 + place}
            for place, head in enumerate(
                ("softmax", "NormFace", "L-Softmax", "A-Softmax", "AM-Softmax", "ArcFace",
                 "AdaptiveFace")
            )
            for kind, lost in zip(PROBES, LOST, strict=True)
        ],
        "clusters": [
            {
                "count": len(sizes), "sizes": sizes,
                "own_cluster_share": {"mean": 0.951, "majority": 0.972, "any": 1.0, "share": 0.987},
                "mean_clusters_a_class": {"mean": 1.0, "majority": 1.0, "any": 1.31, "share": 1.08},
            }
            for sizes in (
                [612, 340, 480, 455, 601, 333, 720, 298, 505, 410, 489, 506], [2100, 1800, 1849]
            )
        ],
        "starts": [
            {"split": split, "initialisation": start, "probes": probes,
             "found_by_max_max": 0.9 + 0.01 * place, "f1_max_max": 0.8, "f1_nearest": 0.85}
            for place, (split, start, probes) in enumerate(
                product(("random", "clustered"), ("class-mean", "random"), ("clean", "24 px"))
            )
        ],
        "map": _map(rng),
        "calibration": {
            "weights": [
                {"when": "one sample", "subnet": 0.31, "class_mean": 0.69, "best_sample": 0.0},
                {"when": "several samples", "subnet": 0.28, "class_mean": 0.41,
                 "best_sample": 0.314},
            ],
            "needed_share": 0.9,
            "clusters_searched": [
                {"probes": "clean", "clusters_1": 0.91, "clusters_2": 0.05, "clusters_3": 0.04,
                 "mate_searched": 0.998},
                {"probes": "degraded", "clusters_1": 0.65, "clusters_2": 0.1, "clusters_3": 0.25,
                 "mate_searched": 0.973},
            ],
            "thresholds": [
                {"fpir": fpir, "by_gallery_size": [
                    {"subjects": size, "threshold": round(base + 0.02 * np.log10(size), 4)}
                    for size in (1000, 5749, 20000, 100000)
                ]}
                for fpir, base in ((0.1, 0.3), (0.01, 0.36), (0.003, 0.39), (0.001, 0.42))
            ],
            "reliability": [
                {"predicted": p, "observed": q, "count": n}
                for p, q, n in (
                    (0.05, 0.04, 410), (0.3, 0.27, 77), (0.52, 0.55, 64), (0.74, 0.71, 103),
                    (0.97, 0.981, 1533),
                )
            ],
        },
    }  # fmt: skip


def made_up_epochs() -> dict[str, Any]:
    """Build an `EpochTimes` as a dict anew; like the rest of it, made up."""
    return {
        "synthetic": True, "classes": 50_000, "subnets": 25, "largest_subnet": 2_611,
        "training_rows": 600_000, "rows_a_class": 12.0, "dimension": 512, "batch_size": 256,
        "head": "ArcFace", "flat_seconds": 5_412.25, "flat_fraction": 0.05,
        "serial_seconds": 301.75, "serial_speed_up": 17.94,
        "parallel": (
            {"workers": 2, "seconds": 152.5, "speed_up": 35.49, "measured": True},
            {"workers": 25, "seconds": 12.75, "speed_up": 424.49, "measured": False},
        ),
        "flat_peak_mb": 2_911.0, "subnet_peak_mb": 171.0, "flat_resident_mb": 3_214.0,
        "subnet_resident_mb": 474.0, "memory_ratio": 17.02,
        "machine": "made-up processor",
        "paper": {
            "classes": 50_000, "subnets": 25, "flat_seconds": 1647.0, "serial_seconds": 91.8,
            "parallel_seconds": 3.6,
        },
    }  # fmt: skip


def _histogram(scores: NDArray[np.float64]) -> list[int]:
    counts: list[int] = np.histogram(scores, 40, (-0.2, 1))[0].tolist()
    return counts


def _map(rng: np.random.Generator) -> dict[str, Any]:
    clusters = rng.integers(12, size=5749)
    middles = rng.uniform(-0.35, 0.35, (12, 2))
    points = middles[clusters] + 0.06 * rng.standard_normal((5749, 2))
    return {
        "x": points[:, 0].round(5).tolist(),
        "y": points[:, 1].round(5).tolist(),
        "cluster": clusters.tolist(),
        "explained": [0.083, 0.051],
    }
