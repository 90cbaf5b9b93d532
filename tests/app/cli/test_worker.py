"""`cohort worker` as its operator sees it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.settings import Settings
from tests.app.cli.conftest import ROOT
from tests.app.jobs.workers import StartWorker, workers


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[StartWorker]:
    with workers(tmp_path) as start:
        yield start


def test_without_redis_it_says_what_to_do(tmp_path: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if "COHORT" not in key}
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "worker"],
        cwd=ROOT,
        env=environment | {"COHORT_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "COHORT_REDIS_URL" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_rq_knows_it_until_it_ends(
    settings: Settings, redis_url: str, start_worker: StartWorker, end: signal.Signals
) -> None:
    def known() -> str:
        return subprocess.run(
            [str(Path(sys.executable).parent / "rq"), "info", "--url", redis_url, "--raw"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    worker = start_worker(settings.model_copy(update={"redis_url": SecretStr(redis_url)}))
    deadline = time.monotonic() + 30
    while "cohort-batches" not in known():
        assert time.monotonic() < deadline
    assert worker.end(end) == 0
    assert "idle" not in known()
    assert "Traceback" not in worker.said
