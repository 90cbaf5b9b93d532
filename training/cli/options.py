"""The options that several stages take. A setting that is not given stays as the run has it."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

import typer

from training.settings import PlacementRule, Workers

HeadName = Literal[
    "softmax", "normface", "l-softmax", "a-softmax", "am-softmax", "arcface", "adaptiveface"
]
"""The names of `training.heads.HEADS`, which can't be asked without torch."""

RunDirectory = Annotated[
    Path,
    typer.Option(
        "--out", help="The run directory, made if need be.", metavar="RUN", show_default=False
    ),
]
Images = Annotated[
    Path | None,
    typer.Option(help="Train on a folder of pictures that holds one folder a subject."),
]
Collection = Annotated[
    str | None,
    typer.Option(
        help="Train on the templates of this collection of the service whose database "
        "COHORT_DATABASE_URL names; COHORT_ENCRYPTION_KEY_FILE names the file of its key."
    ),
]
MinImages = Annotated[
    int, typer.Option(min=1, help="Leave out subjects with fewer pictures than this.")
]
EmbedderManifest = Annotated[
    Path, typer.Option("--embedder", help="The embedder's manifest.toml.", show_default="built in")
]
Seed = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Of splits, clusters, layers and batches; the same seed and data give the same "
        "bundle.",
        show_default="0",
    ),
]
TargetSize = Annotated[
    int | None,
    typer.Option(
        min=1, help="Classes a cluster; one cluster below 1.5 times that.", show_default="2500"
    ),
]
PlacementOption = Annotated[
    PlacementRule | None,
    typer.Option(
        "--placement",
        help="In which clusters a class is: that of its mean; that of most of its samples; every "
        "one with any of them; every one with a share of them.",
        show_default="mean",
    ),
]
Head = Annotated[
    HeadName | None, typer.Option(help="The loss that subnets train with.", show_default="arcface")
]
Initialisation = Annotated[
    Literal["class-mean", "random"] | None,
    typer.Option(help="What a subnet's layer starts from.", show_default="class-mean"),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="At most; training stops earlier once validation gets no better.",
        show_default="50",
    ),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda"] | None,
    typer.Option(help="Where subnets train; auto is CUDA where it is.", show_default="auto"),
]
Repetitions = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="How often the evaluation is done, each time with another seed.",
        show_default="3",
    ),
]
Jobs = Annotated[
    int,
    typer.Option(
        min=-1, help="Subnets at a time; -1 for as many as there are processors or workers."
    ),
]
Backend = Annotated[
    Literal["loky", "dask"],
    typer.Option(help="Train in processes of this machine, or on a Dask cluster."),
]
Scheduler = Annotated[
    str | None,
    typer.Option(help="Address of the Dask cluster's scheduler, such as tcp://10.0.0.7:8786."),
]


@contextmanager
def connected_workers(jobs: int, backend: str, scheduler: str | None) -> Iterator[Workers]:
    """Connect what trains the subnets.

    Raises:
        typer.BadParameter: the options do not go together.
        OSError: no scheduler answers.
    """
    if jobs == 0:
        raise typer.BadParameter("must be -1, or 1 and more", param_hint="--jobs")
    if (backend == "dask") != (scheduler is not None):
        raise typer.BadParameter(
            "--backend dask and --scheduler go together", param_hint="--scheduler"
        )
    if scheduler is None:
        yield Workers(jobs, backend)
        return
    from distributed import Client

    try:
        client = Client(scheduler)
    except ValueError as error:
        raise typer.BadParameter(f"{scheduler}: {error}", param_hint="--scheduler") from None
    with client:
        try:
            client.run(import_module, "training.subnets.tasks")
        except ImportError as error:
            # Without this, workers would fail over and over, and nothing would ever come back.
            raise typer.BadParameter(
                f"the workers of {scheduler} have no training environment ({error}); start them "
                "where `import training` works",
                param_hint="--scheduler",
            ) from None
        yield Workers(jobs, backend)
