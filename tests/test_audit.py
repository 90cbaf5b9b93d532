"""What `make audit` makes of pip-audit's reports: silence is no good news."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "audit.py"
_spec = importlib.util.spec_from_file_location("audit", SCRIPT)
assert _spec is not None
assert _spec.loader is not None
audit: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(audit)

SOUND = {"name": "sound", "version": "1.0", "vulns": []}
SKIPPED = {"name": "unheard", "skip_reason": "Dependency not found and could not be audited"}
HOLED = {
    "name": "holed",
    "version": "2.0",
    "vulns": [{"id": "GHSA-1", "fix_versions": ["2.1"]}, {"id": "GHSA-2", "fix_versions": []}],
}


@pytest.mark.parametrize("packages", [[], [SKIPPED], [SKIPPED, SKIPPED]])
def test_where_nothing_was_checked_it_is_said(packages: list[dict[str, Any]]) -> None:
    code, lines = audit.report("serve.txt", packages)
    assert code == 3
    assert lines == ["serve.txt: NOT CHECKED: the advisory service could not be asked"]


def test_vulnerabilities_are_named_with_their_ways_out() -> None:
    code, lines = audit.report("serve.txt", [SOUND, HOLED, SKIPPED])
    assert code == 1
    assert lines == [
        "serve.txt: holed 2.0: GHSA-1, fixed in 2.1",
        "serve.txt: holed 2.0: GHSA-2, fixed in no version",
        "serve.txt: 2 packages checked, 2 vulnerabilities",
        "serve.txt: not known there, so NOT CHECKED: unheard",
    ]


def test_no_vulnerabilities_are_good_news_of_what_was_checked() -> None:
    assert audit.report("serve.txt", [SOUND]) == (
        0,
        ["serve.txt: 1 packages checked, 0 vulnerabilities"],
    )
