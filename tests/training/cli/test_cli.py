"""What all commands have in common."""

import subprocess
import sys
from typing import Any, get_args

import pytest
from typer.main import get_command

from tests.training.cli.child import ROOT, environment, training
from training.cli import app, main
from training.cli.options import HeadName
from training.run.stages import EMBED, STAGES

COMMANDS: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]


def test_there_is_a_command_for_each_stage_and_the_others() -> None:
    stages = [EMBED, *(stage.name for stage in STAGES)]
    assert list(COMMANDS)[: len(stages) + 1] == ["run", *stages]
    assert set(COMMANDS) - {"run", *stages} == {
        *("retrain", "verify-bundle", "synth", "compare-synth", "calibrate-prior", "golden-mtcnn"),
        *("export-mtcnn", "export-mobilefacenet", "export-backbone"),
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_and_option_says_what_it_is_for(name: str) -> None:
    assert COMMANDS[name].help
    for parameter in COMMANDS[name].params:
        assert parameter.help or parameter.name == "help", parameter.name


def test_the_help_draws_in_nothing_heavy() -> None:
    code = (
        "import sys\nfrom training.cli import main\ntry: main(['run', '--help'])\n"
        "finally: print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--target-size" in done.stdout
    heavy = {"torch", "joblib", "matplotlib", "scipy", "faiss", "onnxruntime", "cv2", "numpy"}
    assert not heavy & set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dance"], "No such command"),
        (["run"], "Missing option '--out'"),
        (["embed", "--out", "RUN"], "one of --images and --collection is needed"),
        (["run", "--out", "RUN"], "there is no store in RUN yet"),
        (["embed", "--out", "RUN", "--images", ".", "--collection", "a"], "exclude each other"),
        (["run", "--out", "RUN", "--collection", "a"], "COHORT_DATABASE_URL must say"),
        (["run", "--out", "RUN", "--images", ".", "--backend", "dask"], "go together"),
        (["subnets", "--out", "RUN", "--scheduler", "tcp://127.0.0.1:1"], "go together"),
        (["subnets", "--out", "RUN", "--jobs", "0"], "must be -1, or 1 and more"),
        (["subnets", "--out", "RUN", "--head", "hat"], "'hat'"),
        (["cluster", "--out", "RUN", "--target-size", "0"], "greater than or equal to 1"),
        (["class-means", "--out", "RUN", "--seed", "-1"], "greater than or equal to 0"),
        (
            ["synth", "STORE", "--classes", "5", "--samples", "0", "--out", "x"],
            "greater than or equal to 1",
        ),
    ],
)
def test_wrong_usage_ends_with_2(
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("COHORT_DATABASE_URL", raising=False)
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    # Without the frame, which may come between two words.
    assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_the_module_is_the_command() -> None:
    done = training("--help")
    assert done.code == 0
    assert "Usage: python -m training" in done.out


@pytest.mark.torch
def test_the_heads_are_those_that_there_are() -> None:
    from training.heads import HEADS

    assert get_args(HeadName) == tuple(HEADS)
