import re
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from fastapi import FastAPI
from httpx import AsyncClient
from prometheus_client.parser import text_string_to_metric_families

from app.keys.caller import Scope
from app.keys.service import create_key

PROCESS = (
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
    "process_open_fds",
    "process_max_fds",
)
REFERENCE = Path(__file__).parents[3] / "docs/reference/metrics.md"
CLIENT_S_OWN = ("process_", "python_")


class Told:
    """What /metrics told."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {each.name: each for each in text_string_to_metric_families(text)}

    def __getitem__(self, sample: str) -> dict[tuple[str, ...], float]:
        """All values of a sample, by the values of its labels."""
        return {
            tuple(found.labels.values()): found.value
            for family in self.families.values()
            for found in family.samples
            if found.name == sample
        }


async def tell(client: AsyncClient) -> Told:
    answer = await client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return Told(answer.text)


async def test_what_requests_do_is_counted(
    client: AsyncClient, picture: Callable[[str], bytes]
) -> None:
    await client.post("/enroll", files={"images": picture("obama")})
    for name in ("obama2", "biden", "cat"):
        await client.post("/identify", files={"image": picture(name)})
    await client.post("/identify", files={"image": b"no picture"})
    await client.get("/subjects/e5e1b2f0-0000-4000-8000-000000000000")
    await client.get("/nowhere")
    await client.request("STEAL", "/nowhere")
    told = await tell(client)

    requests = told["cohort_request_duration_seconds_count"]
    assert requests["POST", "/enroll", "201"] == 1
    assert requests["POST", "/identify", "200"] == 3
    assert requests["GET", "/subjects/{subject_id}", "404"] == 1
    assert requests["GET", "none", "404"] == 1
    assert requests["other", "none", "404"] == 1
    assert told["cohort_problems_total"]["subject_not_found",] == 1
    assert told["cohort_problems_total"]["unsupported_format",] == 1
    assert told["cohort_requests_in_progress"][()] == 1
    assert told["cohort_decisions_total"] == {("default", "match"): 1, ("default", "unknown"): 1}
    assert told["cohort_top_score_count"]["default",] == 2
    stages = told["cohort_stage_duration_seconds_count"]
    assert stages == {
        (each,): 3 for each in ("decode", "detect", "align", "embed", "search", "decide")
    }
    assert told["cohort_gallery_subjects"]["default",] == 1
    assert told["cohort_gallery_templates"]["default",] == 1
    assert told["cohort_database_up"][()] == 1
    assert told["cohort_feed_lag_revisions"]["default",] == 0
    assert told["cohort_audit_spool_bytes"][()] == 0
    assert told["cohort_build_info"].popitem()[1] == 1
    for name in PROCESS:
        assert told[name][()] > 0


async def test_what_nobody_expected_is_counted(
    app: FastAPI, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise LookupError

    monkeypatch.setattr(app.state.services.jobs, "start", fail)
    await client.post("/admin/retrain", json={})
    told = await tell(client)
    assert told["cohort_request_duration_seconds_count"]["POST", "/admin/retrain", "500"] == 1
    assert told["cohort_problems_total"]["internal_error",] == 1


async def test_lag_is_told_until_it_is_caught_up(
    app: FastAPI, client: AsyncClient, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait_on(*_: object, **__: object) -> None: ...

    galleries = app.state.services.galleries
    monkeypatch.setattr(galleries, "catch_up", wait_on)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE collections SET revision = 2")
        connection.execute(
            "INSERT INTO changes SELECT id, n, gen_random_uuid(), 'subject_deleted',"
            " now() - interval '30 s' FROM collections, generate_series(1, 2) AS n"
        )
    told = await tell(client)
    assert told["cohort_feed_lag_revisions"]["default",] == 2
    assert 30 <= told["cohort_feed_lag_seconds"]["default",] < 60


async def test_scope_metrics_reads_metrics_and_nothing_else(
    app: FastAPI, client: AsyncClient
) -> None:
    scope: Scope
    for scope, status in (("metrics", 200), ("identify", 403)):
        token, _ = await create_key(app.state.services.database, name=scope, scopes=[scope])
        headers = {"Authorization": f"Bearer {token}"}
        assert (await client.get("/metrics", headers=headers)).status_code == status
        if scope == "metrics":
            assert (await client.get("/subjects", headers=headers)).status_code == 403
    del client.headers["Authorization"]
    assert (await client.get("/metrics")).status_code == 401


async def test_a_collection_that_is_gone_is_told_of_no_more(
    client: AsyncClient, picture: Callable[[str], bytes]
) -> None:
    await client.post("/collections", json={"name": "door"})
    await client.post("/enroll", files={"images": picture("obama")}, data={"collection": "door"})
    await client.post("/identify", files={"image": picture("obama2")}, data={"collection": "door"})
    assert "door" in (await tell(client)).text
    await client.delete("/collections/door")
    assert "door" not in (await tell(client)).text


async def test_nothing_personal_becomes_a_label(
    client: AsyncClient, picture: Callable[[str], bytes]
) -> None:
    enrolled = await client.post(
        "/enroll",
        files={"images": ("snap.jpg", picture("obama"))},
        data={"name": "Barack", "external_id": "p-44"},
    )
    subject_id = enrolled.json()["subject"]["subject_id"]
    await client.get(f"/subjects/{subject_id}")
    await client.get("/subjects?external_id=p-44")
    await client.post("/identify", files={"image": ("snap.jpg", picture("obama2"))})
    text = (await tell(client)).text
    key_id = client.headers["Authorization"].split("_")[1]
    for personal in (subject_id, "Barack", "p-44", "snap", key_id, "127.0.0.1"):
        assert personal not in text


async def test_each_service_counts_for_itself(app: FastAPI, client: AsyncClient) -> None:
    """Several live in one process: in tests."""
    assert app.state.services.metrics.registry is not None
    before = await tell(client)
    assert ("GET", "/metrics", "200") not in before["cohort_request_duration_seconds_count"]


async def test_the_reference_lists_what_there_is(
    app: FastAPI, client: AsyncClient, picture: Callable[[str], bytes]
) -> None:
    listed = {
        name: (kind, frozenset(re.findall(r"`(\w+)`", labels)))
        for name, kind, labels in re.findall(
            r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", REFERENCE.read_text(), flags=re.MULTILINE
        )
    }
    told = await tell(client)
    ours = {
        family.name + ("_total" if family.type == "counter" else ""): family.type
        for name, family in told.families.items()
        if not name.startswith(CLIENT_S_OWN)
    }
    assert {name: kind for name, (kind, _) in listed.items()} == ours
    # Those that have samples here have the labels that are listed.
    for family in told.families.values():
        for sample in family.samples:
            name = re.sub("_(bucket|sum|count)$", "", sample.name)
            if name in listed:
                assert sample.labels.keys() - {"le"} == listed[name][1], name


def test_prometheus_s_own_are_left_to_prometheus() -> None:
    assert all(name in REFERENCE.read_text() for name in CLIENT_S_OWN)
