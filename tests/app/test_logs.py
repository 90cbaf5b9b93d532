import json
import logging
from collections.abc import Callable

import pytest
from httpx import AsyncClient

from app.logs import configure_logs, get_logger


def test_records_of_the_service_and_its_libraries_are_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logs("INFO")
    get_logger().info("started", port=1)
    logging.getLogger("some.library").warning("careful %s", "now")
    get_logger().debug("not shown")

    own, library = (json.loads(line) for line in capsys.readouterr().err.splitlines())
    assert (own["event"], own["port"], own["level"]) == ("started", 1, "info")
    assert own["timestamp"].endswith("Z")
    assert (library["event"], library["logger"]) == ("careful now", "some.library")


def test_an_error_is_logged_by_type_and_place_only(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("INFO")
    try:
        raise LookupError("Barack Obama is not here")
    except LookupError:
        logging.getLogger("some.library").exception("failed")

    line = capsys.readouterr().err
    assert "Obama" not in line
    record = json.loads(line)
    assert record["error"] == "LookupError"
    assert "test_logs.py" in record["stack"][0]


async def test_no_log_of_the_main_job_holds_personal_data(
    client: AsyncClient, picture: Callable[[str], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    key = client.headers["Authorization"].removeprefix("Bearer ")
    secret = key.split("_", 2)[2]
    configure_logs("INFO")
    enrolled = await client.post(
        "/enroll",
        files=[("images", ("holiday-snap.jpg", picture("obama2")))],
        data={"name": "Barack", "external_id": "p-44", "metadata": '{"home": "Chicago"}'},
    )
    assert enrolled.status_code == 201
    await client.post("/identify", files={"image": ("holiday-snap.jpg", picture("obama3"))})
    await client.get("/subjects?external_id=p-44")
    await client.patch(
        f"/subjects/{enrolled.json()['subject']['subject_id']}", json={"name": "Hussein"}
    )

    captured = capsys.readouterr()
    logged = captured.out + captured.err
    assert len(logged.splitlines()) == 4
    for personal in ("Barack", "Hussein", "p-44", "Chicago", "holiday", secret):
        assert personal not in logged
