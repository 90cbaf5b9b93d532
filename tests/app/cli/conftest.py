"""The commands against a service that really runs, in a process of its own."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.cli import main
from app.cli.child_service import running_service
from app.cli.client import Client

ROOT = Path(__file__).parents[3]
PICTURES = ROOT / "tests" / "data"


@dataclass(frozen=True)
class Done:
    """How a command ended. `words` is what it wrote to stdout without the layout's blanks."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> list[list[str]]:
        return [line.split() for line in self.out.splitlines() if line.strip()]


Cohort = Callable[..., Done]


@pytest.fixture
def cohort(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cohort:
    """Run a command in this process."""
    for name in [name for name in os.environ if name.startswith("COHORT_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str | Path) -> Done:
        with pytest.raises(SystemExit) as end:
            main([str(argument) for argument in arguments])
        written = capsys.readouterr()
        return Done(int(end.value.code or 0), written.out, written.err)

    return run


def cohort_process(*arguments: str, **settings: str) -> Done:
    """Run a command in a process of its own, with some settings and no others."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("COHORT_")}
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        cwd=ROOT,
        env=kept | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Running:
    """A service, its admin key and where its data is."""

    client: Client
    url: str
    key: str
    data_dir: Path

    def new_collection(self) -> str:
        """Make a collection for one test."""
        name = f"test-{uuid4().hex}"
        self._ask("POST", "/collections", json={"name": name})
        return name

    def subjects(self, collection: str) -> dict[str, dict[str, Any]]:
        """Up to a page of a collection's subjects, by external_id."""
        page = self._ask("GET", "/subjects", params={"collection": collection})
        return {subject["external_id"]: subject for subject in page["subjects"]}

    def _ask(self, method: str, path: str, **content: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}"}
        response = httpx.request(
            method, self.url + path, headers=headers, trust_env=False, **content
        )
        response.raise_for_status()
        return response.json()


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    """A service for all tests; each takes a collection of its own."""
    # Not under pytest's folder, whose rights pytest itself resets.
    folder = Path(tempfile.mkdtemp(prefix="cohort-cli-"))
    with running_service(folder) as client:
        key = (folder / "data" / "admin.key").read_text().strip()
        yield Running(client, client.url, key, folder / "data")
    shutil.rmtree(folder)
