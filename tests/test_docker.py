"""The images, as far as that can be said without an engine; test_deploy_compose.py has the rest."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from app.jobs.alive import ALIVE

ROOT = Path(__file__).parents[1]


class Stage(NamedTuple):
    """What stands below one FROM."""

    base: str
    instructions: list[tuple[str, str]]
    """(word, arguments), continued lines joined."""

    def arguments_of(self, word: str) -> list[str]:
        return [rest.strip() for name, rest in self.instructions if name == word]


def stages() -> dict[str, Stage]:
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = text.replace("\\\n", " ").splitlines()
    found: dict[str, Stage] = {}
    last: Stage | None = None
    for word, _, rest in (line.partition(" ") for line in lines if line):
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            last = found[name] = Stage(base, [])
        elif last is not None:
            last.instructions.append((word, rest))
    return found


STAGES = stages()
SERVING = ("service", "gpu")


def of_image(name: str, word: str) -> list[str]:
    """Arguments of a word in a stage and in those that it is made from, the first one first."""
    stage = STAGES.get(name)
    return [] if stage is None else of_image(stage.base, word) + stage.arguments_of(word)


def copied_from_the_tree() -> list[str]:
    return [
        source
        for stage in STAGES.values()
        for rest in stage.arguments_of("COPY")
        if "--from=" not in rest
        for source in rest.split()[:-1]
    ]


def test_the_image_that_is_built_if_none_is_named_is_the_service() -> None:
    assert list(STAGES)[-1] == "service"
    assert {"service", "training", "gpu"} <= STAGES.keys()


def test_all_that_is_from_elsewhere_is_of_one_version() -> None:
    (image,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.M)
    assert re.fullmatch(r"python:3\.11-\w+-\w+", image)
    assert {stage.base for stage in STAGES.values()} == {"${PYTHON_IMAGE}", "builder", "runtime"}


@pytest.mark.parametrize("name", SERVING)
def test_torch_is_in_no_image_that_serves(name: str) -> None:
    (source,) = STAGES[name].arguments_of("COPY")
    builder = re.match(r"--from=(\S+) ", source)
    assert builder
    assert not [rest for rest in of_image(builder[1], "RUN") if "worker.txt" in rest]


def test_the_image_is_made_from_the_locked_set_alone() -> None:
    first, second, install = STAGES["builder"].arguments_of("RUN")
    assert "--require-hashes --requirement requirements/serve.txt" in first
    assert "--only-binary=:all:" in first
    assert "--no-deps" in second
    assert second.endswith(" .")
    assert "--no-index --no-deps /wheels/*.whl" in install


def pins(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE))


def test_the_worker_trains_with_what_the_tests_train_with() -> None:
    (install,) = STAGES["training-builder"].arguments_of("RUN")
    assert install.endswith("--requirement requirements/worker.txt")
    worker = pins("worker")
    assert worker["torch"]
    assert worker.items() <= pins("training").items()
    assert pins("serve").items() <= worker.items()


def test_the_gpu_s_runtime_is_of_the_cpu_s_version() -> None:
    (version,) = STAGES["gpu-builder"].arguments_of("ARG")
    assert version == f"ONNXRUNTIME_GPU={pins('serve')['onnxruntime']}"
    # Where the packages put the libraries that the loader must find.
    (environment,) = STAGES["gpu"].arguments_of("ENV")
    assert "COHORT_PROVIDER=cuda" in environment
    assert "/opt/cohort/lib/python3.11/site-packages/nvidia/cu13/lib" in environment


@pytest.mark.parametrize("name", [*SERVING, "training"])
def test_it_runs_as_a_number_that_is_not_root(name: str) -> None:
    user = of_image(name, "USER")[-1]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    number, _, group = user.partition(":")
    # With a name, without which initdb refuses to work, and with folders for its data.
    (made,) = (rest for rest in of_image(name, "RUN") if "useradd" in rest)
    assert f"useradd --uid {number} --gid {group}" in made
    assert f"install -d -o {number} -g {group} -m 0700 /data /bundles" in made


def command_of(name: str) -> list[str]:
    command: list[str] = json.loads(of_image(name, "ENTRYPOINT")[0])
    return command + list(json.loads(of_image(name, "CMD")[-1]))


def test_the_data_is_a_volume_and_the_port_is_said() -> None:
    for name in (*SERVING, "training"):
        assert json.loads(of_image(name, "VOLUME")[0]) == ["/data"]
        assert "COHORT_DATA_DIR=/data" in " ".join(of_image(name, "ENV"))
    for name in SERVING:
        assert of_image(name, "EXPOSE") == ["8000"]
        assert command_of(name) == ["cohort", "serve", "--host", "0.0.0.0", "--port", "8000"]  # noqa: S104
    assert command_of("training") == ["cohort", "worker"]
    assert of_image("training", "EXPOSE") == []


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


def health_check_of(name: str) -> list[str]:
    check: list[str] = json.loads(of_image(name, "HEALTHCHECK")[-1].partition("CMD ")[2])
    return check


@pytest.mark.parametrize("name", SERVING)
@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_follows_readyz(name: str, status: int, healthy: bool) -> None:
    check = health_check_of(name)
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


@pytest.mark.parametrize(("age_s", "healthy"), [(0, True), (60, False), (None, False)])
def test_the_worker_s_health_check_looks_how_long_ago_it_showed_life(
    tmp_path: Path, age_s: int | None, healthy: bool
) -> None:
    file = tmp_path / ALIVE
    if age_s is not None:
        file.touch()
        os.utime(file, (time.time() - age_s,) * 2)
    check = health_check_of("training")
    assert check[0] == "python"
    assert f"/data/{ALIVE}" in check[-1]
    command = [sys.executable, *(part.replace(f"/data/{ALIVE}", str(file)) for part in check[1:])]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode == 0) is healthy


def replay(stage: str, root: Path) -> None:
    """Carry out the COPYs and RUNs of a stage in a folder that stands for the image's root."""
    working = root / STAGES[stage].arguments_of("WORKDIR")[0].lstrip("/")
    working.mkdir(parents=True, exist_ok=True)
    for word, rest in STAGES[stage].instructions:
        if word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                _copy(ROOT / source, working / target / (source if target == "./" else ""))
        elif word == "RUN":
            command = re.sub(r"(?<=[ =])/(wheels|opt)/?", rf"{root}/\1/", rest)
            subprocess.run(
                ["sh", "-euc", command],
                cwd=working,
                env=os.environ
                | {
                    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
                },
                check=True,
                stdout=subprocess.DEVNULL,
            )


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


@pytest.mark.slow
def test_the_builder_s_steps_make_an_environment_that_serves(tmp_path: Path) -> None:
    replay("builder", tmp_path)
    installed = tmp_path / "opt/cohort"
    (packages,) = installed.glob("lib/python3*/site-packages")
    kept = [
        path
        for folder in ("app", "models", "migrations", "vault")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    assert not [path for path in kept if not (packages / path.relative_to(ROOT)).is_file()]
    assert not list(packages.glob("torch*"))
    done = subprocess.run(
        [installed / "bin/cohort", "openapi"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "/identify" in json.loads(done.stdout)["paths"]


@pytest.mark.slow
def test_the_user_can_be_made_with_its_folders(tmp_path: Path) -> None:
    """In a folder that stands for the root, with the very programs that the image has."""
    (made,) = STAGES["runtime"].arguments_of("RUN")
    for folder in ("etc", "var/mail"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("passwd", "group", "shadow", "gshadow"):
        (tmp_path / "etc" / name).touch()
    own = f"{os.getuid()}", f"{os.getgid()}"
    command = re.sub(r"\b(groupadd|useradd) ", rf"\1 --prefix {tmp_path} ", made)
    command = command.replace("-o 10001 -g 10001", "-o {} -g {}".format(*own))
    command = re.sub(r" /(data|bundles)\b(?= |$)", rf" {tmp_path}/\1", command)
    command = command.replace(f"--home-dir {tmp_path}", "--home-dir ")
    # Where such programs are, a user's path need not lead.
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    subprocess.run(["sh", "-euc", command], env={"PATH": path}, check=True)
    assert "cohort:x:10001:10001::/data:/usr/sbin/nologin" in (tmp_path / "etc/passwd").read_text()
    for name in ("data", "bundles"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o700
