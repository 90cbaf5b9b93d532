"""`cohort doctor`: what is wrong, and what to do."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from app.cli.configuration import load_settings
from app.cli.output import EXIT_NOT_ALL, Failure, answers

if TYPE_CHECKING:
    from app.doctor.findings import Finding

STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red"}


def doctor(
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document, for programs.")
    ] = False,
) -> None:
    """Look at everything that a service needs, and say what to do where something is wrong.

    Settings, data directory, nets, database, encryption key, bundles, Redis, workers, clocks. It
    changes nothing, and can be called beside a running service: set the same COHORT_* variables.
    The exit code is 1 if anything has failed; warnings alone leave it 0.

    Examples:
    * `cohort doctor`
    * `cohort doctor --json | jq '.findings[] | select(.state != "ok")'`
    """
    findings: list[Finding] = []
    try:
        settings = load_settings()
    except Failure as error:
        from app.doctor.findings import failed

        findings.append(failed("settings", error.sentence, error.hint))
        if not as_json:
            _show(findings[0])
    else:
        from app.doctor.service import examine
        from app.logs import configure_logs

        configure_logs("ERROR")
        for finding in examine(settings):
            findings.append(finding)
            if not as_json:
                _show(finding)
    if as_json:
        typer.echo(json.dumps({"findings": [asdict(each) for each in findings]}, indent=2))
    if any(each.state == "failed" for each in findings):
        raise typer.Exit(EXIT_NOT_ALL)


def _show(finding: "Finding") -> None:
    line = Text.assemble(
        (f"{finding.state:8}", STYLES[finding.state]), f"{finding.check:15} {finding.text}"
    )
    # Not wrapped: a command that is broken in two can't be copied.
    answers.print(line, soft_wrap=True)
    if finding.advice:
        answers.print(Text(f"{'':23} {finding.advice}", style="dim"), soft_wrap=True)
