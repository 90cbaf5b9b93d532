"""`cohort audit` beside a running service, on the same embedded Postgres."""

import json
import stat
from pathlib import Path

import httpx

from tests.app.cli.conftest import Running, cohort_process


def listed(running: Running) -> list[dict[str, object]]:
    answer = httpx.get(
        f"{running.url}/admin/audit?action=list_subjects",
        headers={"Authorization": f"Bearer {running.key}"},
        trust_env=False,
    )
    found: list[dict[str, object]] = answer.json()["entries"]
    return found


def test_the_export_has_what_the_service_lists(running: Running, tmp_path: Path) -> None:
    data = {"COHORT_DATA_DIR": str(running.data_dir)}
    for _ in range(3):
        httpx.get(
            f"{running.url}/subjects",
            headers={"Authorization": f"Bearer {running.key}"},
            trust_env=False,
        ).raise_for_status()
    expected = listed(running)
    file = tmp_path / "audit.ndjson"

    done = cohort_process("audit", "export", str(file), **data)

    assert (done.code, done.out) == (0, ""), done.err
    entries = [json.loads(line) for line in file.read_text().splitlines()]
    assert done.err == f"{len(entries)} entries in {file}\n"
    assert [each for each in entries if each["action"] == "list_subjects"] == expected
    assert stat.S_IMODE(file.stat().st_mode) == 0o600

    piped = cohort_process("audit", "export", "-", **data)
    assert json.loads(piped.out.splitlines()[-1]) == entries[-1]


def test_a_file_that_is_there_is_not_replaced(running: Running, tmp_path: Path) -> None:
    file = tmp_path / "audit.ndjson"
    file.write_text("precious")
    done = cohort_process("audit", "export", str(file), COHORT_DATA_DIR=str(running.data_dir))
    assert done.code == 3
    assert done.err.startswith(f"cohort: Can't write {file}: File exists.")
    assert file.read_text() == "precious"


def test_no_half_export_is_left(tmp_path: Path) -> None:
    file = tmp_path / "audit.ndjson"
    nowhere = "postgresql://nobody@127.0.0.1:9/nothing"
    done = cohort_process("audit", "export", str(file), COHORT_DATABASE_URL=nowhere)
    assert done.code == 3
    assert not file.exists()
