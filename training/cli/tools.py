"""Commands beside the stages: drawn stores, and a look at a bundle."""

from pathlib import Path
from typing import Annotated

import typer

from models.weights import DEFAULT_EMBEDDER
from training.cli.display import answers
from training.cli.options import EmbedderManifest

PairSeed = Annotated[int, typer.Option(min=0, help="The same seed gives the same result.")]


def synth(
    store: Annotated[Path, typer.Argument(help="The store of real pictures to fit on.")],
    classes: Annotated[int, typer.Option(min=1, help="Subjects to draw.")],
    samples: Annotated[int, typer.Option(min=1, help="Vectors of each.")],
    out: Annotated[Path, typer.Option(help="Folder of the new store.")],
    seed: PairSeed = 0,
) -> None:
    """Draw a store of any size that looks like a real one, to study scale.

    Whatever is computed on it says that it is synthetic. Drawn as RUN/store, it can be trained on.
    """
    from training.run.refused import RunRefused
    from training.stores.store import EmbeddingStore
    from training.synthetic.model import SyntheticModel, draw_store

    real = EmbeddingStore.open(store)
    try:
        model = SyntheticModel.fit(real)
    except ValueError as error:
        raise RunRefused(str(error)) from error
    out.parent.mkdir(parents=True, exist_ok=True)
    drawn = draw_store(model, out, classes=classes, samples=samples, seed=seed)
    answers.print(f"{len(drawn):,} synthetic rows of {classes:,} subjects: {out}", markup=False)


def compare_synth(
    store: Annotated[Path, typer.Argument(help="The store that the other was fitted on.")],
    drawn: Annotated[Path, typer.Argument(help="The synthetic one.")],
    seed: PairSeed = 0,
) -> None:
    """Set the cosines of a synthetic store beside those of the real one."""
    from rich.table import Table

    from training.run.refused import RunRefused
    from training.stores.store import EmbeddingStore
    from training.synthetic.cosine_statistics import LEVELS, compare

    stores = (EmbeddingStore.open(store), EmbeddingStore.open(drawn))
    try:
        found = compare(*stores, seed=seed)
    except ValueError as error:
        raise RunRefused(str(error)) from error
    table = Table("quantile", "mated", "synthetic", "non-mated", "synthetic")
    columns = (found.fitted.mated, found.drawn.mated, found.fitted.non_mated, found.drawn.non_mated)
    for level, *cosines in zip(LEVELS, *columns, strict=True):
        table.add_row(f"{level:g}", *(f"{cosine:.3f}" for cosine in cosines))
    answers.print(table)
    answers.print(
        f"largest difference: mated {found.largest_mated_difference:.3f}, "
        f"non-mated {found.largest_non_mated_difference:.3f}"
    )


def verify_bundle(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    embedder: EmbedderManifest = DEFAULT_EMBEDDER,
) -> None:
    """Check every file of a bundle, and that it was made for an embedder."""
    from models.bundle import Bundle
    from models.zoo import read_manifest

    opened = Bundle.open(bundle, embedder=read_manifest(embedder))
    counts = opened.manifest.counts
    synthetic = ", synthetic" if opened.manifest.synthetic else ""
    answers.print(
        f"{counts['classes']:,} classes in {counts['subnets']:,} subnets{synthetic}", markup=False
    )
    answers.print(f"bundle id: {opened.id}", markup=False)
