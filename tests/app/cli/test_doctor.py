"""`cohort doctor` as it is called, beside a running service on an embedded Postgres."""

import json

import httpx

from tests.app.cli.conftest import Running, cohort_process


def test_it_looks_at_a_running_service_and_leaves_it_running(running: Running) -> None:
    data = {"COHORT_DATA_DIR": str(running.data_dir)}
    done = cohort_process("doctor", **data)
    assert done.code == 0, done.out + done.err
    assert done.err == ""
    assert ["ok", "database", "PostgreSQL"] in [line[:3] for line in done.words]
    assert "warning encryption key" in done.out  # beside the data, in an embedded Postgres
    assert httpx.get(f"{running.url}/readyz", trust_env=False).status_code == 200

    findings = json.loads(cohort_process("doctor", "--json", **data).out)["findings"]
    assert {"check", "state", "text", "advice"} == findings[0].keys()
    assert all(each["advice"] for each in findings if each["state"] != "ok")


def test_something_that_has_failed_is_the_exit_code(running: Running) -> None:
    done = cohort_process(
        "doctor",
        COHORT_DATA_DIR=str(running.data_dir),
        COHORT_REDIS_URL="redis://127.0.0.1:9/0",
    )
    assert done.code == 1
    assert "failed  redis" in done.out


def test_a_wrong_setting_is_a_finding() -> None:
    done = cohort_process("doctor", "--json", COHORT_INFERENCE_WORKERS="none")
    assert done.code == 1
    (finding,) = json.loads(done.out)["findings"]
    assert (finding["check"], finding["state"]) == ("settings", "failed")
    assert "COHORT_INFERENCE_WORKERS" in finding["text"]
