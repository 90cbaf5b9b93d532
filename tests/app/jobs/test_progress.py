import json

import pytest

from app.jobs.progress import MAX_MESSAGE, SHARES, Progress


def line(stage: str, done: int, total: int, message: str = "") -> bytes:
    told = {"stage": stage, "done": done, "total": total, "message": message}
    return json.dumps(told).encode() + b"\n"


def test_the_shares_of_all_stages_are_a_whole() -> None:
    assert sum(SHARES.values()) == pytest.approx(1)


def test_it_goes_from_nought_to_one_and_never_back() -> None:
    progress, fractions = Progress(), [0.0]
    for stage in SHARES:
        for done in range(4):
            progress = progress.after(line(stage, done, 3))
            fractions.append(progress.fraction)
        assert progress.stage == stage
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1, abs=1e-3)
    assert progress.after(line("read", 0, 3)).fraction == progress.fraction


def test_the_comparison_of_bundles_is_a_state_of_its_own() -> None:
    progress = Progress()
    assert progress.state == "running"
    assert progress.after(line("subnets", 1, 2)).state == "running"
    assert progress.after(line("evaluate", 0, 1)).state == "evaluating"
    assert progress.after(line("report", 0, 1)).state == "evaluating"


def test_a_message_stays_until_the_next_one() -> None:
    progress = Progress().after(line("read", 1, 1, "12 subjects")).after(line("cluster", 0, 1))
    assert (progress.stage, progress.message) == ("cluster", "12 subjects")
    assert len(progress.after(line("cluster", 1, 1, "x" * 9999)).message) == MAX_MESSAGE


@pytest.mark.parametrize(
    "told",
    [
        *(b"", b"\n", b"warning: x\n", b"[]\n", b"7\n", b"\xff\n", b'{"stage": "read"}\n'),
        line("dance", 1, 2),
        line("read", 1, 2).replace(b"1", b'"many"'),
    ],
)
def test_what_is_not_understood_changes_nothing(told: bytes) -> None:
    before = Progress().after(line("cluster", 1, 2, "so far"))
    assert before.after(told) == before


def test_a_stage_of_nothing_has_no_progress_of_its_own() -> None:
    assert Progress().after(line("subnets", 0, 0)).fraction == pytest.approx(0.1)
