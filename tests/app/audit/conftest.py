import pytest

from app.audit import log


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a busy machine not be taken for a database that is away: entries would come later."""
    monkeypatch.setattr(log, "COMMIT_TIMEOUT_S", 60.0)
