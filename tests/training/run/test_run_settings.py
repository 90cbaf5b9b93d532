from pathlib import Path

import pytest

from training.run.refused import RunRefused
from training.run.run_settings import RunSettings
from training.settings import TrainingSettings
from training.subnets.settings import SubnetSettings


def test_what_was_written_is_read(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    assert RunSettings.read(file) == RunSettings()
    settings = RunSettings(
        TrainingSettings(seed=3, placement="share", subnets=SubnetSettings(betas=(0.8, 0.95))), 2
    )
    settings.write(file)
    assert RunSettings.read(file) == settings


def test_what_is_given_replaces_and_the_rest_stays() -> None:
    before = RunSettings(TrainingSettings(seed=3, subnets=SubnetSettings(head="normface")))
    assert before.changed({"seed": None, "epochs": None}) == before
    after = before.changed({"epochs": 7, "target_size": 10, "repetitions": 1, "seed": 0})
    assert after == RunSettings(
        TrainingSettings(seed=0, target_size=10, subnets=SubnetSettings(head="normface", epochs=7)),
        repetitions=1,
    )
    with pytest.raises(TypeError, match="sneed"):
        before.changed({"sneed": 1})


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"training": {"subnets": {"betas": [1, 2]}, "x": 1}}', '{"training": 5}'],
)
def test_a_file_that_holds_no_settings_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "settings.json"
    file.write_text(text)
    with pytest.raises(RunRefused, match=r"settings\.json: does not hold settings"):
        RunSettings.read(file)
