"""What all commands have in common: help that teaches, and errors of one sentence."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from app.cli import cli
from tests.app.cli.conftest import ROOT, Cohort


def leaves(command: Any, path: str = "cohort") -> dict[str, Any]:
    """Each command that does something, by its full name."""
    found: dict[str, Any] = {}
    for name, child in command.commands.items():
        full = f"{path} {name}"
        found |= leaves(child, full) if hasattr(child, "commands") else {full: child}
    return found


COMMANDS = leaves(get_command(cli))


def test_there_are_these_commands() -> None:
    assert set(COMMANDS) == {
        "cohort serve",
        "cohort worker",
        "cohort import",
        "cohort identify",
        "cohort demo",
        "cohort openapi",
        "cohort train",
        "cohort keys create",
        "cohort keys list",
        "cohort keys rotate",
        "cohort keys revoke",
        "cohort encryption rotate",
        "cohort encryption rotate-master",
        "cohort embedder change",
        "cohort audit export",
        "cohort erasures export",
        "cohort backup",
        "cohort restore",
        "cohort purge",
        "cohort doctor",
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_each_has_an_example_of_itself(name: str) -> None:
    _, _, examples = COMMANDS[name].help.partition("Examples:")
    assert name in examples
    for parameter in COMMANDS[name].params:
        assert parameter.help or parameter.name == "help", f"{name}: {parameter.name}"


def test_help_is_shown_where_nothing_is_asked(cohort: Cohort) -> None:
    for arguments in ([], ["--help"], ["keys"], ["import", "--help"]):
        done = cohort(*arguments)
        assert "Usage: cohort" in done.out + done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["dance"],
        ["identify"],
        ["import"],
        ["serve", "--port", "70000"],
        ["keys", "create", "--name", "door", "--scope", "everything"],
        ["import", ".", "--report", "rejected.txt"],
    ],
)
def test_wrong_usage_ends_with_2(cohort: Cohort, arguments: list[str]) -> None:
    done = cohort(*arguments)
    assert done.code == 2
    assert "Error" in done.err


def test_a_failure_is_a_sentence_without_traceback(cohort: Cohort, tmp_path: Path) -> None:
    done = cohort("identify", tmp_path / "nowhere.jpg")
    assert done.code == 3
    assert done.out == ""
    assert done.err == f"cohort: {tmp_path}/nowhere.jpg can't be read: No such file or directory.\n"


def test_the_help_draws_in_nothing_heavy() -> None:
    code = "import sys, app.cli; sys.stdout.write(' '.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"fastapi", "sqlalchemy", "onnxruntime", "cv2", "numpy"} & set(done.stdout.split())


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Usage: cohort" in done.stdout
