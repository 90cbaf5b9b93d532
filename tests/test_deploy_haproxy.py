"""The load balancer's configuration, as far as that can be said without the program."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from app.problems import NotReady
from app.settings import Settings

ROOT = Path(__file__).parents[1]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
BALANCER = SERVICES["balancer"]
SECTIONS = ("global", "defaults", "resolvers", "frontend", "backend")


def sections() -> dict[str, list[list[str]]]:
    """The words of each line, by the section that it is in."""
    found: dict[str, list[list[str]]] = {}
    words: list[list[str]] = []
    for line in (ROOT / "deploy/haproxy/haproxy.cfg").read_text().splitlines():
        if not line.strip() or line.strip().startswith("#"):
            continue
        if line.split()[0] in SECTIONS:
            words = found.setdefault(line.split()[0], [])
        else:
            words.append(shlex.split(line))
    return found


CONFIGURATION = sections()


def one(section: str, *start: str) -> list[str]:
    """The rest of the one line that begins so."""
    (rest,) = (
        words[len(start) :]
        for words in CONFIGURATION[section]
        if words[: len(start)] == list(start)
    )
    return rest


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(ms|s|h)", text).groups()  # type: ignore[union-attr]
    return int(number) * {"ms": 0.001, "s": 1, "h": 3600}[unit]


def test_it_sends_only_to_replicas_that_are_ready() -> None:
    assert one("backend", "option", "httpchk") == ["GET", "/readyz"]
    assert one("backend", "http-check", "expect") == ["status", "200"]
    assert "check" in one("backend", "default-server")


def test_it_finds_all_replicas_and_looks_again() -> None:
    server = one("backend", "server-template")
    assert int(server[1]) >= SERVICES["service"]["deploy"]["replicas"]
    assert server[2] == "service:8000"
    assert server[server.index("resolvers") + 1] == "docker"
    assert server[server.index("init-addr") + 1] == "none"
    assert one("resolvers", "nameserver", "docker") == ["127.0.0.11:53"]


def test_a_replica_that_stops_is_left_before_it_takes_no_more() -> None:
    check = one("backend", "default-server")
    told = dict(zip(check[1::2], check[2::2], strict=True))
    noticed_s = seconds(told["inter"]) + (int(told["fall"]) - 1) * seconds(told["fastinter"])
    assert noticed_s < float(SERVICES["service"]["environment"]["COHORT_DRAIN_S"])


def test_a_write_is_never_sent_twice() -> None:
    assert one("defaults", "retry-on") == ["conn-failure"]
    # A connection that is used again may be one that the replica is just closing.
    assert ["option", "http-server-close"] in CONFIGURATION["defaults"]


def test_where_a_call_comes_from_is_said_by_the_balancer_alone() -> None:
    assert one("frontend", "http-request", "set-header") == ["X-Forwarded-For", "%[src]"]
    for name in ("service", "service-gpu"):
        assert SERVICES[name]["environment"]["COHORT_TRUSTED_PROXIES"] == "1"


def test_logs_have_no_queries_in_which_names_may_stand() -> None:
    (line,) = one("defaults", "log-format")
    told = json.loads(re.sub(r"%\[[^\]]*\]|%\w+", "0", line))
    assert told.keys() == {
        *("time", "method", "path", "status", "ms", "replica", "address", "request_id")
    }
    assert '"path":"%HPO"' in line
    assert not re.search(r"%(r|HU|HP|HQ|hr|hrl)\b", line)


def test_it_waits_longer_than_the_service_works() -> None:
    deadline_s = Settings().request_deadline_s
    assert seconds(one("defaults", "timeout", "server")[0]) > deadline_s
    assert seconds(one("defaults", "timeout", "connect")[0]) <= 5
    until = one("backend", "http-request", "set-timeout", "server")
    assert seconds(until[0]) >= 3600
    assert "/events" in until


def test_without_any_replica_it_answers_as_the_service_would() -> None:
    error = one("defaults", "http-error", "status", "503")
    told = json.loads(error[error.index("string") + 1])
    assert told["code"] == NotReady.code
    assert told["title"] == NotReady.title
    assert told["status"] == NotReady.status
    assert error[error.index("content-type") + 1] == "application/problem+json"
    assert "Retry-After" in error


def test_the_composition_reaches_it_where_it_listens() -> None:
    (address,) = one("frontend", "bind")
    assert BALANCER["ports"] == [f"127.0.0.1:8000{address}"]
    (path,) = one("frontend", "monitor-uri")
    assert BALANCER["healthcheck"]["test"][-1] == f"http://127.0.0.1{address}{path}"
