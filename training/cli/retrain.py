"""The command that the service starts to retrain a collection."""

import os
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from models.weights import DEFAULT_EMBEDDER
from training.cli.options import EmbedderManifest, Seed, TargetSize
from training.cli.work import DATABASE_URL
from vault.master import key_of_environment


def retrain(
    collection_id: Annotated[
        UUID, typer.Option(help="The collection of the service, by its id.", show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Option(help="Folder for the bundle, the report and retraining.json."),
    ],
    embedder: EmbedderManifest = DEFAULT_EMBEDDER,
    active: Annotated[
        Path | None, typer.Option(help="Folder of the bundle that is served now.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Train all subnets, however little has changed.")
    ] = False,
    seed: Seed = None,
    target_size: TargetSize = None,
    jobs: Annotated[int, typer.Option(min=1, help="Subnets at a time.")] = 1,
) -> None:
    """Train a collection anew and compare the result with the bundle that is served.

    COHORT_DATABASE_URL names the service's database, COHORT_ENCRYPTION_KEY_FILE the file of the
    key that it encrypts with (or COHORT_ENCRYPTION_KEY holds it). Subnets whose classes have hardly
    changed are taken over from --active. How far it is goes to stdout, one JSON object a line.
    """
    from training.retraining.progress import Stages
    from training.retraining.retrain import Wanted
    from training.retraining.retrain import retrain as carry_out
    from training.run.folder import RunFolder

    if not os.environ.get(DATABASE_URL):
        raise typer.BadParameter(f"{DATABASE_URL} must say where the database is")
    wanted = Wanted(
        collection=collection_id,
        database_url=os.environ[DATABASE_URL],
        master_key=key_of_environment(os.environ),
        embedder=embedder,
        active=active,
        full=full,
        seed=seed,
        target_size=target_size,
        jobs=jobs,
    )
    folder = RunFolder(out)
    with folder.locked():
        carry_out(folder, wanted, Stages(typer.echo))
