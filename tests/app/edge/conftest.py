import pytest

from app.edge import counting


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a busy machine not be taken for Redis that is away."""
    monkeypatch.setattr(counting, "PATIENCE_S", 10.0)
