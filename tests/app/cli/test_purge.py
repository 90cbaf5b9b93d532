"""`cohort purge` beside a running service."""

import httpx
import pytest

from app.cli.client import Client
from tests.app.cli.conftest import PICTURES, Running, cohort_process

pytestmark = pytest.mark.slow


def ask(running: Running, method: str, path: str, **content: object) -> httpx.Response:
    headers = {"Authorization": f"Bearer {running.key}"}
    return httpx.request(method, running.url + path, headers=headers, trust_env=False, **content)  # type: ignore[arg-type]


def enrol(client: Client, collection: str) -> None:
    client.enroll(
        [("obama.jpg", (PICTURES / "obama.jpg").read_bytes())], collection=collection, name="x"
    )


def test_it_says_what_it_did(running: Running) -> None:
    collection = running.new_collection()
    enrol(running.client, collection)
    ask(running, "PATCH", f"/collections/{collection}", json={"subject_days": 1})
    done = cohort_process("purge", COHORT_DATA_DIR=str(running.data_dir))
    assert (done.code, done.err) == (0, "")
    assert done.words == [
        ["subjects", "erased:", "0"],
        ["pictures", "deleted:", "0"],
        ["audit", "entries", "deleted:", "0"],
    ]
    shown = ask(running, "GET", f"/collections/{collection}").json()
    assert shown["subject_count"] == 1


def test_without_a_database_it_says_so() -> None:
    done = cohort_process(
        "purge", COHORT_DATABASE_URL="postgresql://nobody:secret@127.0.0.1:1/none"
    )
    assert done.code == 3
    assert "The database can't be used" in done.err
    assert "secret" not in done.err
