import csv
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.training.report.made_up_evaluation import made_up_epochs, made_up_evaluation
from training.report.names import percent
from training.report.write import make_page, write_report

pytestmark = pytest.mark.torch

HREF = ("href", "xlink:href", "src", "srcset", "data", "action")
EMPTY = ("meta", "link", "br", "hr", "img", "input")
OPTIONAL = (
    "identification", "paired", "cluster_finding", "open_set", "distributions", "det", "growth",
    "losses", "clusters", "map", "calibration", "skipped",
)  # fmt: skip
ANCHORS = [
    "identification", "cluster-finding", "open-set", "growth", "losses", "clusters", "decision",
    "epochs", "making",
]  # fmt: skip


class Page(HTMLParser):
    """What the tests look for in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def attributes(self, tag: str, name: str) -> list[str | None]:
        return [attrs.get(name) for found, attrs in self.tags if found == tag]


@pytest.fixture(scope="module")
def text() -> str:
    """The page of the whole made-up evaluation."""
    return make_page(made_up_evaluation(), title="A run", epochs=made_up_epochs())


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_the_page_needs_no_other_file(text: str, page: Page) -> None:
    links = [str(attrs[name]) for _, attrs in page.tags for name in HREF if attrs.get(name)]
    assert links
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    for outside in ("http:", "https:", "@import", "@font-face"):
        assert outside not in text
    assert all(found.startswith("#") for found in re.findall(r"url\(([^)]*)\)", text))


def test_links_within_the_page_lead_somewhere_and_ids_are_unique(page: Page) -> None:
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {str(href)[1:] for href in page.attributes("a", "href")} == set(ANCHORS) <= set(ids)


def test_every_value_with_a_spread_is_in_the_page(page: Page) -> None:
    shown = set(" ".join(page.text).split())
    values = list(measured_values(made_up_evaluation()))
    assert len(values) > 400
    for value in values:
        # Differences have a sign.
        assert {percent(value["mean"]), f"+{percent(value['mean'])}"} & shown
        assert percent(value["sd"]) in shown


def test_single_figures_are_in_the_page(page: Page) -> None:
    shown = set(" ".join(page.text).split())
    for figure in (
        "0.314", "0.4652", "98.10", "1,533", "298", "1.31", "5,412.25", "17.9", "424.5", "2,911",
        "1,647", "61,234", "41", "5f" * 32,
    ):  # fmt: skip
        assert figure in shown


def test_tables_and_plots_can_be_read_without_seeing_them(page: Page) -> None:
    tags = [tag for tag, _ in page.tags]
    assert tags.count("caption") == tags.count("table") > 20
    assert set(page.attributes("th", "scope")) == {"col", "row"}
    plots = [attrs for tag, attrs in page.tags if tag == "div" and attrs.get("class") == "plot"]
    assert len(plots) == tags.count("svg") > 10
    assert all(plot["role"] == "img" and plot["aria-label"] for plot in plots)


def test_a_title_and_names_are_text_never_markup() -> None:
    evil = "<script>alert('x')</script>"
    evaluation = made_up_evaluation()
    evaluation["embedder"]["name"] = evil
    for record in evaluation["identification"] + evaluation["det"]:
        record["probes"] = f"{evil} & {record['probes']}"
    evaluation["paired"] = []
    text = make_page(evaluation, title=evil)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    Page(text)


def test_what_was_not_evaluated_is_left_out() -> None:
    evaluation = made_up_evaluation()
    for key in OPTIONAL:
        del evaluation[key]
    page = Page(make_page(evaluation, title="A run"))
    assert page.attributes("section", "id") == ["making"]
    assert page.attributes("svg", "width") == []


def test_sections_come_in_their_order(page: Page) -> None:
    assert page.attributes("section", "id") == ANCHORS


@pytest.mark.parametrize("synthetic", [True, False])
def test_synthetic_vectors_are_told_of(synthetic: bool) -> None:
    evaluation = {key: made_up_evaluation()[key] for key in ("embedder", "seed", "repetitions")}
    text = make_page(evaluation | {"synthetic": synthetic}, title="A run")
    assert ("Everything here is computed on synthetic vectors." in text) is synthetic


def test_a_small_gallery_makes_a_page_too() -> None:
    """One cluster, one repetition, no error at all, a single probe."""
    once = {"mean": 1.0, "sd": None, "values": [1.0]}
    none = {"mean": 0.0, "sd": None, "values": [0.0]}
    metrics = dict.fromkeys(("precision", "recall", "f1", "rank1"), once)
    who = {"probes": "clean", "scenario": "fused"}
    evaluation = {
        "synthetic": True, "embedder": {"name": "e", "sha256": "00"}, "seed": 0, "repetitions": 1,
        "identification": [
            {"clusters": 1, "probes": "clean", "scenario": scenario, **metrics}
            for scenario in ("knn", "fused")
        ],
        "paired": [
            {"clusters": 1, **who, "of": "fused", "against": "knn", "recall_difference": none,
             "p_value": None}
        ],
        "open_set": [{**who, "fnir": {"0.01": none}}],
        "det": [{**who, "fpir": [0.0, 1.0], "fnir": [0.0, 0.0]}],
        "distributions": [
            {**who, "edges": [0.0, 1.0], "mated": [1], "non_mated": [0], "threshold": 0.5}
        ],
        "growth": [{**who, "classes": 2, **metrics}],
        "clusters": [{"count": 1, "sizes": [2]}],
        "map": {"x": [0.1], "y": [0.1], "cluster": [0], "explained": [1.0, 0.0]},
        "calibration": {
            "thresholds": [{"fpir": 0.01, "by_gallery_size": [{"subjects": 2, "threshold": 0.5}]}],
            "reliability": [{"predicted": 1.0, "observed": 1.0, "count": 1}],
        },
    }  # fmt: skip
    page = Page(make_page(evaluation, title="A run"))
    assert "1 cluster: macro recall by kind of probes, %" in page.text
    assert "The subnets add nothing" not in page.text
    assert any("For recognition the subnets add nothing" in text for text in page.text)


def test_page_figures_and_tables_are_written(tmp_path: Path, text: str) -> None:
    evaluation = made_up_evaluation()
    folder = tmp_path / "runs" / "one"
    path = write_report(evaluation, folder, title="A run", epochs=made_up_epochs())
    assert path == folder / "report.html"
    assert path.read_text() == text
    assert json.loads((folder / "report.json").read_bytes()) == evaluation
    tables = {table.stem: table for table in (folder / "report").iterdir()}
    assert {"identification", "paired", "open_set", "det", "epochs", "map"} <= set(tables)
    with tables["identification"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(evaluation["identification"])
    last = evaluation["identification"][-1]
    assert float(rows[-1]["recall_mean"]) == last["recall"]["mean"]


def test_a_new_report_leaves_nothing_of_the_old_one(tmp_path: Path) -> None:
    evaluation = made_up_evaluation()
    small = {key: evaluation[key] for key in ("synthetic", "embedder", "seed", "repetitions")}
    write_report(small | {"losses": evaluation["losses"]}, tmp_path, title="A run")
    write_report(small | {"paired": evaluation["paired"]}, tmp_path, title="A run")
    assert [table.name for table in (tmp_path / "report").iterdir()] == ["paired.csv"]


def test_a_write_that_fails_leaves_the_old_page(tmp_path: Path) -> None:
    evaluation = made_up_evaluation()
    small = {key: evaluation[key] for key in ("synthetic", "embedder", "seed", "repetitions")}
    page = write_report(small, tmp_path, title="The first")
    before = page.read_bytes()
    (tmp_path / "report.json.part").mkdir()
    with pytest.raises(IsADirectoryError):
        write_report(small, tmp_path, title="The second")
    assert page.read_bytes() == before


def measured_values(part: Any) -> Iterator[dict[str, Any]]:
    """Every {"mean", "sd", "values"} of the evaluation."""
    if isinstance(part, dict):
        if part.keys() >= {"mean", "sd"}:
            yield part
        else:
            for each in part.values():
                yield from measured_values(each)
    elif isinstance(part, list):
        for each in part:
            yield from measured_values(each)
