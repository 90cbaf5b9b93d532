import sys
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.service import running_service

DATA = Path(__file__).parents[1] / "data"


@pytest.mark.slow
def test_a_service_of_its_own_whatever_the_operator_has_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COHORT_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/operators-own")
    with running_service(sys.executable) as service, closing(service.client()) as client:
        status, body = client.post(
            "/enroll", [("images", (DATA / "obama.jpg").read_bytes())], {"external_id": "p-44"}
        )
        assert status == 201, body
        [face] = client.identify((DATA / "obama2.jpg").read_bytes(), {"limit": "1"})["faces"]
        assert face["best"]["external_id"] == "p-44"
        with pytest.raises(RuntimeError, match="422"):
            client.identify(b"no picture")
