"""The documents name what there is, lead somewhere, and their examples hold.

Settings and problems are compared with their documents in tests/app.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import app.main
from app.cli import cli
from app.cli.child_service import running_service
from app.settings import Settings

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
WALKED = [ROOT / "README.md", ROOT / "docs/guides/quickstart.md"]
BLOCK = re.compile(r"^<!-- run -->\n```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands() -> dict[str, Any]:
    """Each command by its full name."""
    found: dict[str, Any] = {}
    for name, command in get_command(cli).commands.items():  # type: ignore[attr-defined]
        for child, leaf in getattr(command, "commands", {"": command}).items():
            found[f"cohort {name} {child}".strip()] = leaf
    return found


@pytest.mark.parametrize("name", commands())
def test_each_command_and_option_is_documented(name: str) -> None:
    text = (ROOT / "docs/reference/cli.md").read_text()
    assert f"`{name}" in text
    for parameter in commands()[name].params:
        for option in parameter.opts:
            if option.startswith("--") and option != "--help":
                assert f"`{option}" in text or f" {option} " in text, option


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), flags=re.MULTILINE)
            assert anchor in [heading.lower().replace(" ", "-") for heading in headings], target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_and_settings_that_are_named_exist(document: Path) -> None:
    text = document.read_text()
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    named = re.findall(r"(?:`|^)make ([a-z-]+)", text, flags=re.MULTILINE)
    assert set(named) <= set(targets)
    known = {f"COHORT_{name.upper()}" for name in Settings.model_fields}
    known |= {"COHORT_URL", "COHORT_API_KEY"}
    assert set(re.findall(r"COHORT_[A-Z_]+[A-Z]", text)) <= known


def test_decisions_are_numbered_in_order() -> None:
    names = sorted(path.name for path in (ROOT / "docs/decisions").glob("*.md"))
    assert [name[:4] for name in names] == [f"{number:04}" for number in range(1, len(names) + 1)]
    for name in names:
        first_line = (ROOT / "docs/decisions" / name).read_text().partition("\n")[0]
        assert first_line.startswith(f"# {int(name[:4])}. ")


@pytest.mark.parametrize("document", WALKED, ids=lambda path: path.name)
def test_the_paths_that_are_called_are_in_the_openapi_document(document: Path) -> None:
    paths = app.main.openapi_document()["paths"]
    called = re.findall(r"curl [^\n]*http://127\.0\.0\.1:8000(/[^\s\"?]*)", document.read_text())
    assert called
    for path in called:
        assert re.sub(r"\$ID", "{subject_id}", path) in paths


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_json_is_valid(document: Path) -> None:
    for block in re.findall(r"```json\n(.*?)```", document.read_text(), flags=re.DOTALL):
        json.loads(block)


@pytest.mark.slow
@pytest.mark.parametrize("document", WALKED, ids=lambda path: path.name)
def test_the_commands_that_are_shown_run(document: Path, tmp_path: Path) -> None:
    """Walks through the blocks marked `<!-- run -->` in a copy of what they use."""
    shutil.copytree(ROOT / "tests/data", tmp_path / "tests/data")
    programs = tmp_path / ".venv/bin"
    programs.mkdir(parents=True)
    # As `make setup` would have put it there.
    (programs / "cohort").write_text(f'#!/bin/sh\nexec {sys.executable} -m app.cli "$@"\n')
    (programs / "cohort").chmod(0o755)
    blocks = BLOCK.findall(document.read_text())
    assert len(blocks) > 2
    with running_service(tmp_path) as client:
        (tmp_path / "var").symlink_to(tmp_path / "data")
        # One shell for all, like the reader's; curl must not hide an error.
        script = "set -euo pipefail\n" + "\n".join(blocks)
        script = script.replace("curl -sS", "curl -sS --fail-with-body")
        script = script.replace("http://127.0.0.1:8000", client.url)
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COHORT_URL": client.url},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "match     Barack Obama" in done.stdout
