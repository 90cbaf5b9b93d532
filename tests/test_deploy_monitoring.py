"""Prometheus and Grafana are given only what the service tells; they themselves are not needed."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from app import problems
from models.decide import Decision
from tests.app.metrics import test_routes

ROOT = Path(__file__).parents[1]
MONITORING = ROOT / "deploy/monitoring"
REFERENCE = (ROOT / "docs/reference/metrics.md").read_text()
PROMETHEUS_OWN = {"up": set[str]()}
PROCESS = {name: set[str]() for name in test_routes.PROCESS}
SCRAPED = {"instance", "job"}
"""Labels that Prometheus adds."""
WORDS = {
    "and",
    "avg",
    "by",
    "histogram_quantile",
    "increase",
    "max",
    "min",
    "offset",
    "rate",
    "sum",
}


def told() -> dict[str, set[str]]:
    """Each series that the reference lists (a test compares it with /metrics), and its labels."""
    found: dict[str, set[str]] = {}
    for name, kind, listed in re.findall(
        r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", REFERENCE, flags=re.MULTILINE
    ):
        labels = set(re.findall(r"`(\w+)`", listed))
        if kind == "histogram":
            found |= {f"{name}_{end}": labels for end in ("sum", "count")}
            found[f"{name}_bucket"] = labels | {"le"}
        else:
            found[name] = labels
    return found


def alerts() -> list[dict[str, Any]]:
    document = yaml.safe_load((MONITORING / "alerts.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    (path,) = (MONITORING / "grafana/dashboards").glob("*.json")
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def expressions() -> Iterator[tuple[str, str]]:
    for rule in alerts():
        yield rule["alert"], rule["expr"]
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


EXPRESSIONS = sorted(set(expressions()))
EACH_EXPRESSION = pytest.mark.parametrize(
    "expression", [each for _, each in EXPRESSIONS], ids=[title for title, _ in EXPRESSIONS]
)


def series_and_labels(expression: str) -> tuple[set[str], set[str]]:
    """Read from PromQL what is asked for, and by which labels."""
    matched = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", " ", expression)
    grouped = re.findall(r"\bby \(([^)]*)\)", bare)
    bare = re.sub(r"\bby \([^)]*\)", " ", bare)
    words = set(re.findall(r"(?<![\w.])[a-z_]\w*", bare)) - WORDS
    labels = {label.strip() for group in grouped for label in group.split(",")}
    return words, labels | set(matched)


@EACH_EXPRESSION
def test_each_expression_asks_for_what_there_is(expression: str) -> None:
    known = told() | PROCESS | PROMETHEUS_OWN
    series, labels = series_and_labels(expression)
    assert series
    assert series <= known.keys()
    assert labels <= SCRAPED.union(*(known[each] for each in series))
    assert expression.count("(") == expression.count(")")


@EACH_EXPRESSION
def test_the_values_that_labels_are_compared_with_exist(expression: str) -> None:
    codes = {
        each.code
        for each in vars(problems).values()
        if isinstance(each, type) and issubclass(each, problems.Problem) and hasattr(each, "code")
    }
    for values in re.findall(r'\bcode=~?"([^"]*)"', expression):
        assert set(values.split("|")) <= codes
    for value in re.findall(r'\bdecision="([^"]*)"', expression):
        assert value in get_args(Decision)
    for value in re.findall(r'\bjob="([^"]*)"', expression):
        assert value == prometheus()["scrape_configs"][0]["job_name"]


def test_everything_that_is_told_can_be_seen() -> None:
    seen = set[str]().union(*(series_and_labels(each)[0] for _, each in expressions()))
    families = {re.sub("_(bucket|sum|count)$", "", name) for name in seen}
    listed = set(re.findall(r"^\| `(\w+)` \|", REFERENCE, flags=re.MULTILINE))
    assert listed <= families | seen


def test_what_alerts_say_is_there() -> None:
    for rule in alerts():
        known = told() | PROCESS | PROMETHEUS_OWN
        series, _ = series_and_labels(rule["expr"])
        labels = SCRAPED.union(*(known[each] for each in series))
        grouped = re.findall(r"\bby \(([^)]*)\)", rule["expr"])
        if grouped:
            labels = {label.strip() for label in grouped[0].split(",")}
        text = " ".join(rule["annotations"].values())
        assert set(re.findall(r"\$labels\.(\w+)", text)) <= labels, rule["alert"]
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert {"summary", "description"} <= rule["annotations"].keys()
    names = [rule["alert"] for rule in alerts()]
    assert len(set(names)) == len(names)


def prometheus() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((MONITORING / "prometheus.yml").read_text())
    return document


def test_prometheus_asks_every_replica_with_a_key_from_a_file() -> None:
    document = prometheus()
    assert document["rule_files"] == ["/etc/prometheus/alerts.yml"]
    (scraped,) = document["scrape_configs"]
    assert scraped["metrics_path"] == "/metrics"
    assert scraped["authorization"] == {"credentials_file": "/run/secrets/metrics_key"}
    (replicas,) = scraped["dns_sd_configs"]
    assert (replicas["names"], replicas["type"], replicas["port"]) == (["service"], "A", 8000)


def test_no_secret_is_written_there() -> None:
    for path in MONITORING.rglob("*"):
        if path.is_file():
            assert not re.search(r"cohort_[0-9a-f]{8}_|password", path.read_text()), path


def test_the_dashboard_is_provisioned() -> None:
    document = dashboard()
    assert document["uid"] == "cohort"
    ids = [panel["id"] for panel in document["panels"]]
    assert len(set(ids)) == len(ids)
    datasource = yaml.safe_load(
        (MONITORING / "grafana/provisioning/datasources/prometheus.yml").read_text()
    )
    assert datasource["datasources"][0]["type"] == "prometheus"
    provider = yaml.safe_load(
        (MONITORING / "grafana/provisioning/dashboards/cohort.yml").read_text()
    )
    assert provider["providers"][0]["options"]["path"] == "/var/lib/grafana/dashboards"
    variables = {each["name"] for each in document["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)\}?", json.dumps(document["panels"])))
    assert used <= variables
    for panel in document["panels"]:
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert panel["type"] == "row" or panel["description"], panel["title"]
