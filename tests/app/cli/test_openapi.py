"""`cohort openapi` gives what a running service gives."""

import json

import httpx

from tests.app.cli.conftest import Cohort, Running


def test_it_is_the_document_of_the_service(cohort: Cohort, running: Running) -> None:
    served = httpx.get(
        f"{running.url}/openapi.json",
        headers={"Authorization": f"Bearer {running.key}"},
        trust_env=False,
    ).json()
    assert json.loads(cohort("openapi").out) == served
