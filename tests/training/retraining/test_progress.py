import json

import pytest

from training.retraining import progress as module
from training.retraining.progress import Stages


def test_each_line_is_a_json_object(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_SECONDS", 0)
    lines: list[str] = []
    stages = Stages(lines.append)
    with stages.stage("subnets") as progress:
        progress(1, 2)
        progress(2, 2)
    stages.tell("report", 1, 1, "written")
    assert [json.loads(line) for line in lines] == [
        {"stage": "subnets", "done": 0, "total": 1, "message": ""},
        {"stage": "subnets", "done": 1, "total": 2, "message": ""},
        {"stage": "subnets", "done": 2, "total": 2, "message": ""},
        {"stage": "report", "done": 1, "total": 1, "message": "written"},
    ]
    assert list(stages.seconds) == ["subnets"]


def test_a_stage_is_told_of_a_few_times_a_second_and_at_its_end() -> None:
    lines: list[str] = []
    with Stages(lines.append).stage("evaluate") as progress:
        for done in range(1, 1001):
            progress(done, 1000)
    told = [json.loads(line)["done"] for line in lines]
    assert told[0] == 0
    assert told[-1] == 1000
    assert len(told) < 20


def test_a_stage_that_fails_has_no_seconds() -> None:
    stages = Stages(lambda _line: None)
    with pytest.raises(ZeroDivisionError), stages.stage("read"):
        raise ZeroDivisionError
    assert stages.seconds == {}
