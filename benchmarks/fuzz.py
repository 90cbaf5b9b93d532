"""Nothing that can be sent breaks the service, or makes it answer what it does not say it does.

    make fuzz

schemathesis makes requests of the service's own OpenAPI document, right ones and wrong ones, and
checks all that it can check of the answers; then 2,000 pictures and archives are sent that are
truncated, damaged, lie about their size, lead out of their folder or unpack to far more than they
are. Nothing may fail, no answer be a 5xx, and the service's memory not grow. A failure is an exit
status.
"""

import argparse
import sys

from benchmarks.footprint import missed
from benchmarks.fuzz_api import fuzz_api
from benchmarks.fuzz_uploads import fuzz_uploads
from benchmarks.report import write_results
from benchmarks.service import running_service

GROWTH = 0.05
SETTINGS = {
    # It is to be tried what the routes answer, not how many calls a minute they take.
    "COHORT_RATE_LIMIT": "1000000/minute",
    "COHORT_FAILED_AUTH_LIMIT": "1000000/minute",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=100, help="requests an operation and phase")
    parser.add_argument("--uploads", type=int, default=2000, help="pictures and archives")
    arguments = parser.parse_args()
    figures = measure(arguments.examples, arguments.uploads)
    write_results("fuzz", figures)
    sys.exit(failures(figures))


def measure(examples: int, uploads: int) -> dict[str, float]:
    """Try both, each on a service of its own."""
    with running_service(sys.executable, SETTINGS) as service:
        figures = fuzz_api(service, examples=examples)
    with running_service(sys.executable, SETTINGS) as service:
        return figures | fuzz_uploads(service, uploads=uploads)


def failures(figures: dict[str, float]) -> str | None:
    """Name the figures that are not as they must be; None: all are."""
    failed = missed(
        figures,
        {
            "api_failures": lambda count: count == 0,
            "api_errors": lambda count: count == 0,
            "upload_5xx": lambda count: count == 0,
            "upload_batches_unfinished": lambda count: count == 0,
            "upload_batches_not_done": lambda count: count == 0,
            "upload_ready_after": lambda ready: ready == 1,
            "memory_growth": lambda growth: growth <= GROWTH,
        },
    )
    return f"failed: {', '.join(failed)}" if failed else None


if __name__ == "__main__":
    main()
