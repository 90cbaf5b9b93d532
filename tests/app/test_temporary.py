"""Where a temporary file can't be written, the request is put off: nothing is wrong with it."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient

from app.problems import StorageUnavailable
from app.temporary import written_aside

LARGE = bytes(2 * 1024 * 1024)
"""More than is kept in memory."""

NDJSON = {"Content-Type": "application/x-ndjson"}
KEY = {"Idempotency-Key": "k-1"}


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))


@pytest.mark.usefixtures("no_room")
@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/identify", {"files": {"image": LARGE}}),
        ("/enroll", {"files": {"images": LARGE}}),
        ("/enroll", {"files": {"images": LARGE}, "headers": KEY}),
        ("/enroll/batch", {"files": {"archive": LARGE}}),
        ("/enroll/batch", {"files": {"archive": LARGE}, "headers": KEY}),
        ("/identify/batch", {"content": LARGE, "headers": NDJSON}),
    ],
)
async def test_a_request_without_room_is_to_be_sent_again(
    client: AsyncClient, path: str, sent: dict[str, Any]
) -> None:
    answer = await client.post(path, **sent)
    assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


async def test_the_same_key_is_good_when_there_is_room(
    client: AsyncClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    statuses = []
    for folder in (tmp_path / "gone", tmp_path):
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        answer = await client.post("/enroll", files={"images": LARGE}, headers=KEY)
        statuses.append(answer.status_code)
    assert statuses == [503, 422]


def test_only_what_the_system_refuses_is_taken_for_it() -> None:
    with pytest.raises(StorageUnavailable), written_aside():
        raise OSError(28, "No space left on device")
    with pytest.raises(ValueError, match="x"), written_aside():
        raise ValueError("x")
