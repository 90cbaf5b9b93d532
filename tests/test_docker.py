"""The image and the composition, as far as that can be said without a Docker engine."""

import json
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def instructions() -> list[tuple[str, str]]:
    """(word, arguments) of each instruction, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines) if word]


def arguments_of(word: str) -> list[str]:
    return [rest.strip() for name, rest in instructions() if name == word]


def copied_from_the_tree() -> list[str]:
    return [
        source
        for rest in arguments_of("COPY")
        if "--from=" not in rest
        for source in rest.split()[:-1]
    ]


def test_torch_is_nowhere_in_the_image() -> None:
    assert not [rest for _, rest in instructions() if "torch" in rest]


def test_the_image_is_made_from_the_locked_set_alone() -> None:
    first, second, install = (rest for rest in arguments_of("RUN") if "pip" in rest)
    assert "--require-hashes --requirement requirements/serve.txt" in first
    assert "--only-binary=:all:" in first
    assert "--no-deps" in second
    assert second.endswith(" .")
    assert "--no-index --no-deps /wheels/*.whl" in install


def test_it_runs_as_a_number_that_is_not_root() -> None:
    user = arguments_of("USER")[-1]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    number, _, group = user.partition(":")
    # With a name, without which initdb refuses to work, and with a folder for its data.
    (made,) = (rest for rest in arguments_of("RUN") if "useradd" in rest)
    assert f"useradd --uid {number} --gid {group}" in made
    assert f"install -d -o {number} -g {group} -m 0700 /data" in made


def test_the_data_is_a_volume_and_the_port_is_said() -> None:
    assert json.loads(arguments_of("VOLUME")[0]) == ["/data"]
    assert "COHORT_DATA_DIR=/data" in " ".join(arguments_of("ENV"))
    assert arguments_of("EXPOSE") == ["8000"]
    command = json.loads(arguments_of("ENTRYPOINT")[0]) + json.loads(arguments_of("CMD")[0])
    assert command == ["cohort", "serve", "--host", "0.0.0.0", "--port", "8000"]  # noqa: S104


@contextmanager
def answering(status: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_follows_readyz(status: int, healthy: bool) -> None:
    check = json.loads(arguments_of("HEALTHCHECK")[0].partition("CMD ")[2])
    assert check[0] == "python"
    with answering(status) as port:
        command = [sys.executable, *(part.replace(":8000", f":{port}") for part in check[1:])]
        done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode == 0) is healthy


def test_what_is_copied_exists_and_is_not_ignored() -> None:
    let_in = {
        line.removeprefix("!").rstrip("/")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    for source in copied_from_the_tree():
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source.partition("/")[0], pattern) for pattern in let_in), source


@pytest.mark.slow
def test_the_wheel_of_the_image_has_all_that_the_service_needs(tmp_path: Path) -> None:
    context, installed = tmp_path / "build", tmp_path / "installed"
    for source in copied_from_the_tree():
        target = context / source
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, target)
    # The image's own command, for the project; the locked set is what this environment has.
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--wheel-dir", tmp_path, "."],
        cwd=context,
        check=True,
    )
    (wheel,) = tmp_path.glob("cohort-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    tops = {path.name for path in installed.iterdir() if path.suffix != ".dist-info"}
    assert tops == {"app", "models", "migrations", "training", "vault"}
    kept = [
        path
        for folder in ("app", "models", "migrations")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    lost = [path for path in kept if not (installed / path.relative_to(ROOT)).is_file()]
    assert not lost
    done = subprocess.run(
        [sys.executable, "-c", "import app.main, sys; sys.stdout.write(app.main.__file__)"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == str(installed / "app" / "main.py")


@pytest.fixture(scope="module")
def composition() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def test_the_composition_has_its_three_services(composition: dict[str, Any]) -> None:
    assert composition["services"].keys() == {"database", "redis", "service"}
    for name in ("database", "redis"):
        assert "healthcheck" in composition["services"][name]
    assert composition["services"]["service"]["build"] == "."
    depends = composition["services"]["service"]["depends_on"]
    assert depends["database"]["condition"] == "service_healthy"


def test_no_secret_has_a_default(composition: dict[str, Any]) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    references = re.findall(r"(?<!\$)\$\{?\w+[^}\s]*", text)
    assert references
    assert all(re.match(r"\$\{\w+:\?", reference) for reference in references)
    for service in composition["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|AUTH|KEY|SECRET|URL", name):
                assert re.search(r"\$\{\w+:\?", value), name


def test_volumes_are_named_and_ports_stay_on_this_machine(composition: dict[str, Any]) -> None:
    for service in composition["services"].values():
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in composition["volumes"]
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:")
    service = composition["services"]["service"]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
