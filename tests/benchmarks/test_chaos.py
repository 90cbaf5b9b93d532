import json
import time
from pathlib import Path
from typing import Literal

import pytest

from benchmarks import chaos, chaos_faults, report
from benchmarks.chaos import Outcome
from benchmarks.chaos_faults import FAULTS, Fault
from benchmarks.chaos_load import Load, Read
from benchmarks.good_client import Refusal, is_to_be_repeated
from benchmarks.ledger import Differences
from benchmarks.service import Answer

BY_NAME = {fault.name: fault for fault in FAULTS}
NOTHING = Differences([], [])


def answered(ended: Literal["found", "from memory"]) -> list[Read]:
    """A search at each replica."""
    return [Read(1.0, replica, ended, 0.1) for replica in range(chaos.REPLICAS)]


def outcome(fault: Fault, **other: object) -> Outcome:
    """One of a fault that was got over well."""
    reads = answered("from memory" if fault.database_away else "found")
    refusals = [Refusal(1.0, "database_unavailable", True, 0.5)] if fault.database_away else []
    values = {"reads": reads, "refusals": refusals, "acknowledged": 3, "whole_s": 2.0}
    return Outcome(fault=fault, **({"found": NOTHING} | values | other))  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_that_was_got_over_misses_nothing(fault: Fault) -> None:
    assert outcome(fault).missed() == []
    assert outcome(fault).figures()["whole_s"] == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"found": Differences(["one"], [])},
        {"found": Differences([], ["one"])},
        {"reads": [*answered("from memory"), Read(1.0, 0, "unanswered", 5)]},
        {"reads": [*answered("from memory"), Read(1.0, 0, "refused", 5)]},
        {"reads": answered("found")},
        {"reads": answered("from memory")[1:]},
        {"acknowledged": 0},
        {"refusals": []},
        {"refusals": [Refusal(1.0, "database_unavailable", False, 0.5)]},
        {"refusals": [Refusal(1.0, "database_unavailable", True, 9.0)]},
        {"whole_s": 61.0},
        {"failure": "it did not come back"},
    ],
)
def test_what_is_missed_is_said(wrong: dict[str, object]) -> None:
    assert len(outcome(BY_NAME["postgres_killed"], **wrong).missed()) == 1


def test_a_replica_that_was_hit_itself_need_not_answer() -> None:
    frozen = BY_NAME["replica_frozen"]
    reads = [Read(1.0, replica, "unanswered", 5) for replica in (0, 2)]
    assert outcome(frozen, reads=reads).unanswered() == reads[:1]
    assert outcome(frozen, reads=answered("found")[:2]).silent() == set()


def test_a_load_that_failed_itself_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise LookupError

    monkeypatch.setattr(Load, "_write", fail)
    with pytest.raises(ExceptionGroup) as raised, Load([]):
        pass
    assert {type(each) for each in raised.value.exceptions} == {LookupError}


def test_what_a_good_client_sends_again() -> None:
    def refused(status: int, code: str) -> Answer:
        return Answer(status, {}, {"code": code})

    assert is_to_be_repeated(refused(503, "database_unavailable"))
    assert is_to_be_repeated(refused(409, "request_in_progress"))
    assert not is_to_be_repeated(refused(409, "external_id_taken"))
    assert not is_to_be_repeated(Answer(201, {}, {}))


@pytest.mark.slow
def test_a_short_run_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(chaos, "REPLICAS", 2)
    monkeypatch.setattr(chaos, "QUIET_S", 2.0)
    monkeypatch.setattr(chaos_faults, "POSTGRES_RESTART_S", 6.0)
    # Longer than a machine may stand still that runs other tests beside.
    monkeypatch.setattr(chaos, "SETTLED_S", 5.0)
    monkeypatch.setattr(chaos, "SLOWEST_REFUSAL_S", 10.0)
    monkeypatch.setattr("sys.argv", ["chaos", "--only", "redis_flushed", "postgres_killed"])
    begun = time.monotonic()
    chaos.main()
    figures = json.loads((tmp_path / "chaos.json").read_text())["figures"]
    assert figures["postgres_killed_from_memory"] > 0
    assert figures["postgres_killed_writes_503"] > 0
    assert time.monotonic() - begun < 120
