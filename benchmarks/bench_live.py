"""People enrolled since the training: found at once, and as surely as after the next one?

make bench-live LFW=<folder of people> PROTOCOL=<folder with lfw-same-person.tsv>

Half of the people with several pictures are enrolled and the service trains a bundle. The other
half are enrolled live, over HTTP: right after each answer one searches with a picture that was
just enrolled, and with one that was not. Then all probes of all people are searched, before and
after a second retraining, which takes in the live ones, and while it runs.
"""

import argparse
import itertools
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.arrivals import arrive, at_once
from benchmarks.demands import Demand, show
from benchmarks.lfw import TARGET_SIZE, Halves, halves
from benchmarks.measures import in_percentiles
from benchmarks.outcome import Outcome, Paired
from benchmarks.report import write_results
from benchmarks.retraining import begin, figures_of, follow
from benchmarks.searches import Answers, enrol_all
from benchmarks.service import Client, Service, running_service

SEED = 0
LARGEST_DIFFERENCE = 0.003
"""Of the live subjects' rank-1 before and after the retraining that takes them in."""
IDLE_REQUESTS = 400
REQUESTS_A_LOOK = 20
"""Searches between two looks at the job."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lfw", type=Path, required=True, help="folder with one folder a person")
    parser.add_argument("--protocol", type=Path, required=True, help="folder with the label errors")
    parser.add_argument("--training-python", type=Path, required=True, help="has torch")
    arguments = parser.parse_args()
    people = halves(arguments.lfw, arguments.protocol, seed=SEED)
    settings = {"COHORT_TRAINING_PYTHON": str(arguments.training_python.absolute())}
    with running_service(sys.executable, settings) as service:
        figures = measured(service, people)
    write_results("live", figures)
    Console().print(before_and_after(figures))
    sys.exit(show(demands(figures)))


def measured(service: Service, people: Halves) -> dict[str, float]:
    """Train on one half, enrol the other live, retrain; gives all figures."""
    trained = enrol_all(service, people.trained, "half to train with")
    client = service.client()
    first = follow(client, begin(client, target_size=TARGET_SIZE))
    arrivals = {}
    for name, pictures in track(people.live.items(), description="enrolled live"):
        arrival = arrive(client, name, pictures, people.probes[name][0], first["bundle_id"])
        if arrival is not None:
            arrivals[name] = arrival
    mated = [(name, probe) for name, probes in people.probes.items() for probe in probes]
    before = Answers.ask(service, mated, people.non_mated, bundle=first["bundle_id"])

    client = service.client()  # the service has closed the other, which nobody used
    probes = itertools.cycle([probe for _, probe in mated])
    idle = latencies(client, itertools.islice(probes, IDLE_REQUESTS))
    training: list[float] = []

    def ask_on() -> None:
        training.extend(latencies(client, itertools.islice(probes, REQUESTS_A_LOOK)))

    second = follow(client, begin(client, target_size=TARGET_SIZE), meanwhile=ask_on)
    after = Answers.ask(service, mated, people.non_mated, bundle=second["bundle_id"])
    return {
        "trained_subjects": len(trained),
        "live_subjects": len(arrivals),
        "enrolments_rejected": len(people.probes) - len(trained) - len(arrivals),
        **at_once(arrivals),
        **{f"first_{name}": value for name, value in figures_of(first).items()},
        **{f"second_{name}": value for name, value in figures_of(second).items()},
        **recognition(before, after, set(trained), set(arrivals)),
        **in_percentiles("idle", idle),
        **in_percentiles("retraining", training),
        "retraining_requests": len(training),
    }


def recognition(
    before: Answers, after: Answers, trained: set[str], live: set[str]
) -> dict[str, float]:
    """Both halves and the strangers, before and after the second retraining."""
    figures: dict[str, float] = {}
    for half, names in (("trained", trained), ("live", live)):
        theirs = np.array([name in names for name in before.names])
        hits = [Outcome.of(answers).hits()[theirs] for answers in (before, after)]
        figures[f"{half}_probes"] = int(theirs.sum())
        figures[f"{half}_rank1_before"] = float(hits[0].mean())
        figures[f"{half}_rank1_after"] = float(hits[1].mean())
        paired = Paired.of(*hits)
        figures[f"{half}_only_right_before"] = paired.only_first
        figures[f"{half}_only_right_after"] = paired.only_second
        figures[f"{half}_p_value"] = paired.p_value
    for moment, answers in (("before", before), ("after", after)):
        figures[f"observed_fpir_{moment}"] = answers.observed_fpir
        figures[f"observed_fnir_{moment}"] = answers.observed_fnir
        figures[f"fnir_at_fpir_0_01_{moment}"] = Outcome.of(answers).fnir_at(0.01)
    return figures | {
        "live_candidates_live_before": share_from(before, live, "live"),
        "trained_candidates_bundle_before": share_from(before, trained, "bundle"),
        "candidates_bundle_after": share_from(after, trained | live, "bundle"),
    }


def share_from(answers: Answers, names: set[str], source: str) -> float:
    """Of all candidates that are one of these people, the share with this source."""
    sources = [
        candidate["source"]
        for each in answers.all
        for candidate in each.candidates
        if candidate["external_id"] in names
    ]
    return sources.count(source) / len(sources)


def latencies(client: Client, pictures: Iterable[Path]) -> list[float]:
    """Milliseconds of one search after the other, with whatever bundle is in use."""
    waits = []
    for picture in pictures:
        data = picture.read_bytes()
        start = time.perf_counter()
        client.identify(data)
        waits.append((time.perf_counter() - start) * 1e3)
    return waits


def before_and_after(figures: Mapping[str, float]) -> Table:
    """The main figures, before and after the second retraining, or idle and while it runs."""
    table = Table(title=f"{figures['live_subjects']:,} subjects enrolled live")
    for column in ("", "before", "after"):
        table.add_column(column, justify="right" if column else "left")
    for what, name in (
        ("rank-1 of who came live, %", "live_rank1"),
        ("rank-1 of who was trained with, %", "trained_rank1"),
        ("FPIR seen at a target of 1 %, %", "observed_fpir"),
        ("FNIR at FPIR 1 %, %", "fnir_at_fpir_0_01"),
    ):
        values = (figures[f"{name}_{moment}"] for moment in ("before", "after"))
        table.add_row(what, *(f"{100 * value:.2f}" for value in values))
    table.add_section()
    table.add_row("", "idle", "retraining")
    for percentile in (50, 99):
        waits = (figures[f"{moment}_p{percentile}_ms"] for moment in ("idle", "retraining"))
        table.add_row(f"request, p{percentile}, ms", *(f"{wait:.1f}" for wait in waits))
    return table


def demands(figures: Mapping[str, float]) -> list[Demand]:
    """What must be true of who is enrolled live."""
    difference = abs(figures["live_rank1_after"] - figures["live_rank1_before"])
    return [
        Demand("named at once by an enrolled picture", figures["at_once_enrolled_named"], 1.0),
        Demand(
            "minus the distance of live rank-1 from that after retraining",
            -difference,
            -LARGEST_DIFFERENCE,
        ),
        Demand("live half from the gallery before", figures["live_candidates_live_before"], 1.0),
        Demand(
            "trained half from the bundle before", figures["trained_candidates_bundle_before"], 1.0
        ),
        Demand("everybody from the bundle after", figures["candidates_bundle_after"], 1.0),
    ]


if __name__ == "__main__":
    main()
