"""Ask an advisory service whether the pinned packages have known vulnerabilities.

Exit code 0: none is known of those that were checked; 1: there are some; 3: NOT CHECKED, since the
service could not be asked. pip-audit alone says "No known vulnerabilities found" then, too.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

REQUIREMENTS = Path(__file__).parents[1] / "requirements"
FOUND, NOT_CHECKED = 1, 3


def ask(file: Path) -> list[dict[str, Any]]:
    """Give what pip-audit reports of each package of a file; nothing if it could not ask."""
    asked = subprocess.run(  # noqa: S603  (our own command)
        [
            *(sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off"),
            # The pins are all there is; nothing is to be resolved or installed.
            *("--no-deps", "--disable-pip", "--requirement", str(file)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        packages: list[dict[str, Any]] = json.loads(asked.stdout)["dependencies"]
    except (ValueError, KeyError):
        sys.stderr.write(asked.stderr[-500:])
        return []
    return packages


def report(name: str, packages: list[dict[str, Any]]) -> tuple[int, list[str]]:
    """Say what is known of a file's packages.

    Args:
        name: of the file.
        packages: as pip-audit reports them: `vulns`, or a `skip_reason`.

    Returns:
        The exit code that it stands for, and the lines to show.
    """
    skipped = [each["name"] for each in packages if "skip_reason" in each]
    checked = [each for each in packages if "skip_reason" not in each]
    if not checked:
        return NOT_CHECKED, [f"{name}: NOT CHECKED: the advisory service could not be asked"]
    found = [
        f"{name}: {each['name']} {each['version']}: {vulnerability['id']}"
        f", fixed in {', '.join(vulnerability.get('fix_versions', [])) or 'no version'}"
        for each in checked
        for vulnerability in each["vulns"]
    ]
    lines = [*found, f"{name}: {len(checked)} packages checked, {len(found)} vulnerabilities"]
    if skipped:
        lines.append(f"{name}: not known there, so NOT CHECKED: {', '.join(skipped)}")
    return (FOUND if found else 0), lines


def main() -> int:
    """Check all files; the gravest of what is found counts."""
    codes = set()
    for file in sorted(REQUIREMENTS.glob("*.txt")):
        code, lines = report(file.name, ask(file))
        codes.add(code)
        sys.stdout.write("\n".join(lines) + "\n")
    return FOUND if FOUND in codes else max(codes)


if __name__ == "__main__":
    sys.exit(main())
