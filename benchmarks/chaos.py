"""Each part of a cluster killed, frozen or starved under load: is anything lost, who still answers?

    make chaos

Three replicas, a worker, a Postgres and a Redis; writers enrol and delete anywhere, a reader
identifies at each replica. One fault after the other happens. After each, the time is taken until
every replica writes and sees what the others write, without anybody's help. Then the writers
pause, and each replica is compared with what was acknowledged: the tables, and its searches.
"""

import argparse
import http.client
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from benchmarks.chaos_faults import FAULTS, Fault
from benchmarks.chaos_load import Load, Read
from benchmarks.cluster import Cluster, Replica, running_cluster
from benchmarks.drawn_pictures import empty_picture
from benchmarks.good_client import GoodClient, Refusal
from benchmarks.ledger import Differences, differences
from benchmarks.report import write_results

REPLICAS = 3
SETTINGS = {"COHORT_LOG_LEVEL": "WARNING", "COHORT_RATE_LIMIT": "1000000/second"}
QUIET_S = 5.0
"""Of load without a fault, before the first one and after each."""
WHOLE_WITHIN_S = 60.0
SETTLED_S = 1.5
"""A replica that has missed a notice looks of itself within this time."""
NEWEST = 40
"""Subjects that are searched for after each fault; in the end all are."""
SLOWEST_REFUSAL_S = 4.0


@dataclass(frozen=True)
class Outcome:
    """What a fault came to."""

    fault: Fault
    reads: Sequence[Read]
    """From its begin until the replicas were compared."""
    acknowledged: int
    """Writes, from its begin until everything was whole again."""
    refusals: Sequence[Refusal]
    whole_s: float
    """From when nothing was wrong any more."""
    found: Differences
    failure: str | None = None
    """What went wrong with the recovery itself."""

    def figures(self) -> dict[str, float]:
        """The row of the table."""
        return {
            "lost": len(self.found.lost),
            "phantoms": len(self.found.phantoms),
            "searches": sum(each.ended in ("found", "from memory") for each in self.reads),
            "from_memory": sum(each.ended == "from memory" for each in self.reads),
            "unanswered": len(self.unanswered()),
            "writes": self.acknowledged,
            "writes_503": len(self.refusals),
            "slowest_503_s": max((each.took_s for each in self.refusals), default=0.0),
            "whole_s": self.whole_s,
        }

    def unanswered(self) -> list[Read]:
        """Searches that failed, but for those at the replica that was hit itself."""
        return [
            each
            for each in self.reads
            if each.ended in ("unanswered", "refused") and each.replica != self.fault.hit
        ]

    def silent(self) -> set[int]:
        """Replicas that have answered no search, but for the one that was hit itself."""
        answered = {each.replica for each in self.reads if each.ended in ("found", "from memory")}
        return set(range(REPLICAS)) - answered - {self.fault.hit}

    def missed(self) -> list[str]:
        """What should be true of it and is not."""
        demands = {
            "nothing acknowledged is lost": not self.found.lost,
            "nobody is there who should not be": not self.found.phantoms,
            "every search was answered": not self.unanswered(),
            "each replica has answered searches": not self.silent(),
            "writes were acknowledged": self.acknowledged > 0,
            "refused writes say when to come again": all(each.says_when for each in self.refusals),
            f"it is whole again of itself ({self.failure})": self.failure is None
            and self.whole_s < WHOLE_WITHIN_S,
        }
        if self.fault.database_away:
            demands |= {
                "searches are answered from memory, and say so": any(
                    each.ended == "from memory" for each in self.reads
                ),
                "writes are refused, and soon": bool(self.refusals)
                and max(each.took_s for each in self.refusals) < SLOWEST_REFUSAL_S,
            }
        return [f"{self.fault.name}: {what}" for what, holds in demands.items() if not holds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    names = [fault.name for fault in FAULTS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="FAULT")
    wanted = parser.parse_args().only
    outcomes, in_the_end, load = outcomes_of([each for each in FAULTS if each.name in wanted])
    show(outcomes)
    write_results(
        "chaos",
        {
            f"{outcome.fault.name}_{what}": value
            for outcome in outcomes
            for what, value in outcome.figures().items()
        }
        | {
            "lost_in_the_end": len(in_the_end.lost),
            "phantoms_in_the_end": len(in_the_end.phantoms),
            "wrong_answers": len(load.errors),
            "unanswered_writes": load.unanswered_writes(),
        },
    )
    missed = [each for outcome in outcomes for each in outcome.missed()]
    if in_the_end.lost or in_the_end.phantoms:
        missed.append("in the end the replicas differ from what was acknowledged")
    if load.errors:
        missed.append(f"{len(load.errors)} writes were answered wrongly")
    # Each was sent again, with its key, until it was answered: also when its replica was killed.
    if load.unanswered_writes():
        missed.append(f"{load.unanswered_writes()} writes were never answered")
    if missed:
        raise SystemExit(f"missed: {'; '.join(missed)}")


def outcomes_of(faults: Sequence[Fault]) -> tuple[list[Outcome], Differences, Load]:
    """Have the faults happen one after the other.

    Returns:
        What each came to; the differences in the end, with everybody searched for; and the load,
        which is over.

    Raises:
        ExceptionGroup: a writer or a reader has failed.
    """
    outcomes = []
    console = Console(stderr=True)
    with running_cluster(replicas=REPLICAS, worker=True, settings=SETTINGS) as cluster:
        with Load(cluster.replicas) as load:
            time.sleep(QUIET_S)
            for fault in faults:
                console.print(f"{fault.name} ...")
                outcomes.append(outcome_of(fault, cluster, load))
                for wrong in (outcomes[-1].found.lost + outcomes[-1].found.phantoms)[:10]:
                    console.print(f"  {wrong}", soft_wrap=True)
                time.sleep(QUIET_S)
        time.sleep(SETTLED_S)
        in_the_end = compared(cluster, load, sample=None)
        for wrong in in_the_end.lost + in_the_end.phantoms:
            console.print(f"in the end: {wrong}", soft_wrap=True)
        for answer in load.errors[:5]:
            console.print(f"wrong: {answer.status} {answer.body}", soft_wrap=True)
    return outcomes, in_the_end, load


def outcome_of(fault: Fault, cluster: Cluster, load: Load) -> Outcome:
    """Have a fault happen, wait until it is got over, and compare."""
    begun = over = time.monotonic()
    failure = None
    try:
        with fault.happen(cluster, load):
            over = time.monotonic()
        wait_until_whole(cluster, load)
    except (AssertionError, RuntimeError) as error:
        failure = str(error)
    whole_at = time.monotonic()
    load.pause_writing()
    try:
        time.sleep(SETTLED_S)
        compared_at = time.monotonic()
        found = compared(cluster, load, sample=NEWEST)
    finally:
        load.resume_writing()
    return Outcome(
        fault=fault,
        reads=[each for each in list(load.reads) if begun <= each.at <= compared_at],
        acknowledged=sum(begun <= each <= whole_at for each in list(load.acknowledged)),
        refusals=[each for each in load.refusals() if begun <= each.at <= whole_at],
        whole_s=whole_at - over,
        found=found,
        failure=failure,
    )


def wait_until_whole(cluster: Cluster, load: Load) -> None:
    """Wait until each replica writes, and all see it.

    Raises:
        RuntimeError: it does not become so.
    """
    deadline = time.monotonic() + WHOLE_WITHIN_S
    for replica in cluster.replicas:
        with closing(GoodClient([replica])) as writer:
            answer = load.enrol(writer, next(load.more_pictures))
            while answer is not None and answer.status == 422:
                answer = load.enrol(writer, next(load.more_pictures))
        if answer is None or answer.status != 201:
            raise RuntimeError(f"{replica.process.name} does not write")
        for other in cluster.replicas:
            while not has_seen(other, answer.body["revision"]):
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{other.process.name} does not follow")
                time.sleep(0.02)


def has_seen(replica: Replica, revision: int) -> bool:
    """Tell whether a replica's answers have seen a revision."""
    with closing(replica.client(timeout_s=5)) as client:
        try:
            return bool(client.identify(empty_picture())["revision"] >= revision)
        except (OSError, http.client.HTTPException, RuntimeError):
            return False


def compared(cluster: Cluster, load: Load, *, sample: int | None) -> Differences:
    """Compare all replicas with what was acknowledged."""
    found = Differences([], [])
    for replica in cluster.replicas:
        found += differences(replica, load.ledger, sample=sample)
    return found


def show(outcomes: Sequence[Outcome]) -> None:
    """Print the table of faults and outcomes."""
    table = Table(title="faults and outcomes")
    table.add_column("fault")
    for what in outcomes[0].figures():
        table.add_column(what, justify="right")
    table.add_column("holds")
    for outcome in outcomes:
        values = [f"{value:.3g}" for value in outcome.figures().values()]
        table.add_row(outcome.fault.name, *values, "no" if outcome.missed() else "yes")
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
