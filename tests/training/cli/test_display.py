import time

import pytest

from training.cli.display import bar, elapsed, tell


def test_without_a_terminal_there_are_a_few_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("subnets") as progress:
        for done in range(101):
            progress(done, 100)
    tell("subnets", "0:01:02", "[3] trained")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 12
    assert lines[0] == "subnets: 0 of 100"
    assert lines[10] == "subnets: 100 of 100"
    assert lines[11].split() == ["subnets", "0:01:02", "[3]", "trained"]


def test_nothing_to_do_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("embed") as progress:
        progress(0, 0)
    assert capsys.readouterr().err == "embed: 0 of 0\n"


def test_elapsed_time_is_in_whole_seconds() -> None:
    assert elapsed(time.monotonic() - 3725.3) == "1:02:05"
