"""A stop that nobody notices: `cohort serve` under load, behind whoever asks `/readyz`."""

import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.app.cli.conftest import PICTURES, ROOT

CLIENTS = 6


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not under pytest's folder, whose rights pytest itself resets."""
    path = Path(tempfile.mkdtemp(prefix="cohort-drain-"))
    yield path
    shutil.rmtree(path)


class Serving:
    """A service in a process of its own."""

    def __init__(self, folder: Path, drain_s: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", "serve", "--port", "0"],
            cwd=ROOT,
            env={
                "PATH": "/usr/bin:/bin",
                "HOME": str(folder),
                "COHORT_DATA_DIR": str(folder),
                "COHORT_DRAIN_S": str(drain_s),
                "COHORT_LOG_LEVEL": "WARNING",
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        lines = iter(self.process.stderr)
        self.url = next(line.split()[-1] for line in lines if line.startswith("Cohort listens"))
        next(line for line in lines if line.startswith("admin key"))
        self.key = (folder / "admin.key").read_text().strip()

    def client(self) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.url, headers=headers, trust_env=False, timeout=30)

    def ends_within(self, seconds: float) -> str:
        """Wait for the end, a good one; give what was said."""
        _, said = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, said
        assert "Traceback" not in said
        return said


@pytest.mark.slow
def test_no_request_fails_when_a_service_under_load_is_stopped(folder: Path) -> None:
    serving = Serving(folder, drain_s=4)
    picture = (PICTURES / "cat.jpg").read_bytes()
    out_of_rotation = threading.Event()
    since_the_signal: Counter[int] = Counter()
    told_at: float | None = None

    def load(number: int) -> Counter[int]:
        seen: Counter[int] = Counter()
        with serving.client() as client:
            while not out_of_rotation.is_set():
                if number % 2:
                    answer = client.get("/subjects")
                else:
                    answer = client.post("/identify", files={"image": picture})
                seen[answer.status_code] += 1
                if told_at is not None:
                    since_the_signal[answer.status_code] += 1
        return seen

    def balance() -> float:
        """Take the service out once it says so, a while later, as a load balancer does."""
        with serving.client() as client:
            while client.get("/readyz").status_code == 200:
                time.sleep(0.02)
            noticed_at = time.monotonic()
            time.sleep(0.5)
            out_of_rotation.set()
            return noticed_at

    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        balancer = pool.submit(balance)
        clients = [pool.submit(load, number) for number in range(CLIENTS)]
        time.sleep(1.0)
        told_at = time.monotonic()
        serving.process.send_signal(signal.SIGTERM)
        noticed_at = balancer.result(timeout=30)
        seen = sum((each.result(timeout=30) for each in clients), Counter[int]())
    serving.ends_within(30)

    assert noticed_at - told_at < 3.0
    assert set(seen) == {200}
    assert since_the_signal[200] > CLIENTS


@pytest.mark.slow
def test_what_is_under_way_when_the_drain_ends_is_finished(folder: Path) -> None:
    serving = Serving(folder, drain_s=0.3)
    picture = (PICTURES / "cat.jpg").read_bytes()

    def slowly() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        for start in range(0, len(picture), 10_000):
            time.sleep(0.1)
            yield picture[start : start + 10_000]
        time.sleep(1.0)
        yield b"\r\n--x--\r\n"

    with serving.client() as client, ThreadPoolExecutor(1) as pool:
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        under_way = pool.submit(client.post, "/identify", content=slowly(), headers=headers)
        time.sleep(0.3)
        serving.process.send_signal(signal.SIGTERM)
        answer = under_way.result(timeout=30)
    assert answer.status_code == 200, answer.text
    serving.ends_within(15)


@pytest.mark.slow
def test_a_second_signal_does_not_wait_for_the_drain(folder: Path) -> None:
    serving = Serving(folder, drain_s=120)
    serving.process.send_signal(signal.SIGTERM)
    with serving.client() as client:
        while client.get("/readyz").status_code != 503:
            time.sleep(0.02)
        assert client.get("/collections").status_code == 200
    serving.process.send_signal(signal.SIGTERM)
    serving.ends_within(15)
    assert not (folder / "postgres" / "cluster" / "postmaster.pid").exists()
