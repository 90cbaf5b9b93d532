"""Live enrolments, and what a search finds right after each."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from benchmarks.measures import in_percentiles
from benchmarks.searches import Search, enrol, search
from benchmarks.service import Client


@dataclass(frozen=True)
class Arrival:
    """A live enrolment and the two searches right after it."""

    enrol_ms: float
    found_ms: float
    """From the enrolment's answer to that of the search with an enrolled picture."""
    enrolled: Search
    """With a picture that was just enrolled."""
    held_out: Search
    """With another picture of the same person."""


def arrive(
    client: Client, name: str, pictures: Sequence[Path], held_out: Path, bundle: str
) -> Arrival | None:
    """Enrol somebody and search at once; None where all pictures are rejected."""
    start = time.perf_counter()
    kept = enrol(client, name, pictures)
    answered = time.perf_counter()
    if not kept:
        return None
    enrolled = search(client, kept[0], bundle=bundle)
    found = time.perf_counter()
    return Arrival(
        enrol_ms=(answered - start) * 1e3,
        found_ms=(found - answered) * 1e3,
        enrolled=enrolled,
        held_out=search(client, held_out, bundle=bundle),
    )


def at_once(arrivals: Mapping[str, Arrival]) -> dict[str, float]:
    """How the searches right after the enrolments ended, and after how long."""

    def share(which: Literal["enrolled", "held_out"], *, named: bool) -> float:
        searches = [(name, getattr(arrival, which)) for name, arrival in arrivals.items()]
        return float(
            np.mean(
                [
                    each.rank_of(name) == 1 and (not named or each.decision == "match")
                    for name, each in searches
                ]
            )
        )

    return {
        "at_once_enrolled_rank1": share("enrolled", named=False),
        "at_once_enrolled_named": share("enrolled", named=True),
        "at_once_held_out_rank1": share("held_out", named=False),
        "at_once_held_out_named": share("held_out", named=True),
        **in_percentiles("at_once_enrol", [each.enrol_ms for each in arrivals.values()]),
        **in_percentiles("at_once_found", [each.found_ms for each in arrivals.values()]),
    }
