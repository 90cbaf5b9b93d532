import csv
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tests.training.report.test_write import HREF, Page
from training.report.retraining import write_retraining

pytestmark = pytest.mark.torch

SIZES = [250, 240, 260, 255]
CALIBRATION: dict[str, Any] = {
    "weights": [{"when": "one sample", "subnet": 0.3, "class_mean": 0.4, "best_sample": 0.3}],
    "thresholds": [
        {"fpir": fpir, "by_gallery_size": [{"subjects": 1005, "threshold": threshold}]}
        for fpir, threshold in ((0.1, 0.3), (0.01, 0.4))
    ],
    "reliability": [
        {"predicted": 0.1, "observed": 0.12, "count": 40},
        {"predicted": 0.9, "observed": 0.93, "count": 160},
    ],
}


def side(rank1: float, fnir: float) -> dict[str, Any]:
    return {
        "rank1": rank1,
        "fnir_at_fpir_0_01": fnir,
        "penetration": 0.25,
        "fnir": {"0.003": fnir + 0.01, "0.01": fnir, "0.1": fnir - 0.01},
    }


RESULTS: dict[str, Any] = {
    "bundle_id": "ab" * 32,
    "watermark": 1234,
    "classes": sum(SIZES),
    "subnets": {
        "total": 4,
        "trained": [2],
        "kept": 2,
        "extended": 1,
        "full": False,
        "reasons": {"2": "1 with rejected answers"},
        "why": "",
    },
    "comparison": {
        "probes": 1500,
        "baseline": "bundle",
        "new": side(0.981, 0.041),
        "active": side(0.979, 0.044),
    },
}


def made(folder: Path, results: dict[str, Any], calibration: dict[str, Any]) -> Page:
    page = write_retraining(folder, results, sizes=SIZES, calibration=calibration, synthetic=False)
    assert page == folder / "report.html"
    return Page(page.read_text("utf-8"))


def test_the_page_sets_new_beside_old_and_needs_no_other_file(tmp_path: Path) -> None:
    page = made(tmp_path, RESULTS, CALIBRATION)
    text = " ".join(" ".join(page.text).split())
    for said in (
        "Retraining report",
        "1 of 4 subnets were trained, the others taken over.",
        "On 1,500 held-out probes",
        "Active bundle",
        "97.90",
        "98.10",
        "+0.20",
        "\N{MINUS SIGN}0.30",
        "1 with rejected answers",
        "Threshold by FPIR",
        "Reliability of the probabilities",
    ):
        assert said in text, said
    links = [str(attrs[name]) for _, attrs in page.tags for name in HREF if attrs.get(name)]
    assert all(link.startswith("#") for link in links)
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    drawn = [attrs["aria-label"] or "" for _, attrs in page.tags if attrs.get("role") == "img"]
    assert any("FNIR against FPIR" in label for label in drawn)
    assert any("sizes of 4 clusters" in label for label in drawn)


def test_the_same_results_give_the_same_bytes_and_tables(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made(tmp_path / name, RESULTS, CALIBRATION)
    one, two = (tmp_path / name / "report.html" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    with (tmp_path / "one" / "report" / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["bundle"], row["rank1"]) for row in rows] == [
        ("active", "0.979"),
        ("new", "0.981"),
    ]
    assert rows[1]["fnir_at_fpir_0.003"].startswith("0.051")
    with (tmp_path / "one" / "report" / "subnets.csv").open(newline="") as file:
        subnets = list(csv.DictReader(file))
    assert [row["trained"] for row in subnets] == ["False", "False", "True", "False"]
    assert [row["classes"] for row in subnets] == ["250", "240", "260", "255"]


def test_what_could_not_be_measured_is_said(tmp_path: Path) -> None:
    results = deepcopy(RESULTS)
    results["comparison"] = {"probes": 0, "baseline": "bundle", "new": None, "active": None}
    results["subnets"] |= {"full": True, "why": "there is no active bundle", "reasons": {}}
    page = made(tmp_path, results, {"weights": [], "thresholds": [], "reliability": []})
    text = " ".join(page.text)
    assert "All subnets were trained: there is no active bundle." in text
    assert "nothing could be compared" in text
    assert not re.search("Decision|held-out probes", text)
    assert not (tmp_path / "report" / "comparison.csv").exists()


def test_without_a_bundle_before_it_class_means_are_named(tmp_path: Path) -> None:
    results = deepcopy(RESULTS)
    results["comparison"]["baseline"] = "class means"
    assert "Class means, no bundle" in " ".join(made(tmp_path, results, CALIBRATION).text)
