"""An install that serves has no torch, and what is locked is what pyproject.toml asks for."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "requirements"
OFFLINE_ONLY = ("torch", "torchvision", "sklearn", "facenet_pytorch", "training")

# Runs in a process of its own: here, tests may have imported anything.
IMPORT_ALL = f"""
import importlib, pkgutil, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {OFFLINE_ONLY}:
            raise ModuleNotFoundError(f"{{name}} is not part of a serving install", name=name)

sys.meta_path.insert(0, Missing())
import app, models
for package in (app, models):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
print(*sorted({{name.partition(".")[0] for name in sys.modules}}))
"""


def test_the_whole_service_imports_without_torch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    assert {"app", "models", "onnxruntime"} <= set(loaded)
    assert not set(OFFLINE_ONLY) & set(loaded)


def pins(name: str) -> dict[str, str]:
    """Package and version of each line of a locked set."""
    text = (REQUIREMENTS / name).read_text()
    return dict(re.findall(r"^([a-z0-9][a-z0-9.-]*)==([^\s;]+)", text, flags=re.MULTILINE))


def wanted(*extras: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"]]
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return [one for one in map(Requirement, lines) if one.name != project["name"]]


@pytest.mark.parametrize(
    ("name", "extras"),
    [
        ("serve.txt", ["embedded"]),
        ("dev.txt", ["embedded", "dev"]),
        ("training.txt", ["embedded", "dev", "train", "export"]),
    ],
)
def test_a_locked_set_has_what_the_project_asks_for(name: str, extras: list[str]) -> None:
    locked = pins(name)
    for requirement in wanted(*extras):
        version = locked.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement} is not in {name}: run `make lock`"
        assert requirement.specifier.contains(version), f"{name} has {version}: run `make lock`"


@pytest.mark.parametrize("name", ["dev.txt", "training.txt"])
def test_all_environments_serve_with_the_same_versions(name: str) -> None:
    assert pins("serve.txt").items() <= pins(name).items()


def test_the_serving_set_has_no_torch() -> None:
    assert not [
        name
        for name in pins("serve.txt")
        if name.startswith(("torch", "nvidia", "scikit-learn", "facenet"))
    ]


@pytest.mark.parametrize("name", ["serve.txt", "dev.txt", "training.txt"])
def test_a_locked_set_names_no_place(name: str) -> None:
    text = (REQUIREMENTS / name).read_text()
    assert not re.findall(r"://|^-|@ |\+cpu|^[^#\n]*/", text, flags=re.MULTILINE)


@pytest.mark.parametrize("name", ["serve.txt", "dev.txt"])
def test_every_pin_has_a_hash(name: str) -> None:
    text = (REQUIREMENTS / name).read_text()
    lines = re.findall(r"^[a-z0-9][^\n]*==[^\n]*\n[^\n]*", text, flags=re.MULTILINE)
    assert len(lines) == len(pins(name))
    assert all("--hash=sha256:" in line for line in lines)
