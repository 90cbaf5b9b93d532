"""Have schemathesis try the service's own OpenAPI document on the service, with all checks."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.service import Service

ROOT = Path(__file__).parents[1]
SEED = 10


def fuzz_api(service: Service, *, examples: int) -> dict[str, float]:
    """Run schemathesis, which prints each failure as a curl command.

    Args:
        service: that is used for nothing else.
        examples: requests an operation and phase, at most.

    Returns:
        Figures that begin with `api_`; `api_failures` and `api_errors` should be 0.
    """
    with tempfile.TemporaryDirectory(prefix="cohort-fuzz-") as folder:
        report = Path(folder) / "report.json"
        subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run"),
                f"http://127.0.0.1:{service.port}/openapi.json",
                *("--header", f"Authorization: Bearer {service.key}"),
                *("--checks", "all", "--phases", "examples,coverage,fuzzing,stateful"),
                *("--max-examples", str(examples), "--seed", str(SEED)),
                *("--generation-database", "none", "--request-timeout", "30", "--no-color"),
                *("--report", "json", "--report-json-path", str(report)),
            ],
            env=os.environ
            | {"SCHEMATHESIS_HOOKS": "benchmarks.fuzz_hooks", "PYTHONPATH": str(ROOT)},
            cwd=folder,  # what it remembers of a run must not change the next one
            check=False,  # the report has what it found
        )
        return _figures(json.loads(report.read_text()))


def _figures(report: dict[str, Any]) -> dict[str, float]:
    return {
        "api_operations": report["operations"]["tested"],
        "api_requests": report["test_cases"]["generated"],
        "api_failures": report["test_cases"]["unique_failures"],
        "api_errors": len(report["errors"]) + report["operations"]["errored"],
        "api_seconds": report["running_time"],
    }
