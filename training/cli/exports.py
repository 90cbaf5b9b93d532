"""Commands that are run once by whoever maintains the nets: exports, golden files, priors."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich import print  # noqa: A004

from models.weights import DEFAULT_EMBEDDER, MTCNN_FOLDER

TEST_DATA = Path(__file__).resolve().parents[2] / "tests" / "data"


def export_mtcnn(
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = MTCNN_FOLDER,
) -> None:
    """Convert the face detector's three nets from facenet-pytorch's weights to ONNX."""
    from training.export import mtcnn as export_mtcnn

    for name, digest in export_mtcnn.export_mtcnn(out).items():
        print(f"{digest}  {name}")


def export_mobilefacenet(
    source: Annotated[Path, typer.Argument(help="The plain net, an ONNX file.", exists=True)],
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = DEFAULT_EMBEDDER.parent,
) -> None:
    """Rewrite the default embedder into the form that ONNX Runtime runs fast."""
    from training.export import mobilefacenet as export_mobilefacenet

    digest, difference = export_mobilefacenet.export_mobilefacenet(source, out)
    print(f"{digest}  written to {out}, equal to the plain net within {difference:.1e}")


class Backbone(StrEnum):
    """Embedders that can be fetched and converted."""

    INCEPTION_RESNET_V1 = "inception-resnet-v1"


def export_backbone(
    backbone: Annotated[Backbone, typer.Argument(help="Which embedder.")],
    out: Annotated[Path, typer.Option(help="Folder to write the net and its manifest into.")],
) -> None:
    """Fetch another embedder's weights, convert them to ONNX and write a manifest.

    The service uses it when COHORT_EMBEDDER names the manifest. Needs the internet once.
    """
    from training.export import inception_resnet as export_inception_resnet

    match backbone:
        case Backbone.INCEPTION_RESNET_V1:
            export = export_inception_resnet.export_inception_resnet
    try:
        digest, difference = export(out)
    except export_inception_resnet.FetchFailed as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from None
    print(f"{digest}  written to {out}, equal to torch's net within {difference:.1e}")


def calibrate_prior(
    images: Annotated[Path, typer.Option(help="Folder with one folder a person.")],
    embedder: Annotated[
        Path, typer.Option(help="The embedder's manifest.toml; calibration.json goes beside it.")
    ] = DEFAULT_EMBEDDER,
    min_images: Annotated[int, typer.Option(help="Leave out people with fewer pictures.")] = 2,
    max_images: Annotated[int, typer.Option(help="Pictures of one person at most.")] = 4,
    leave_out: Annotated[
        Path | None, typer.Option(help="File of names to leave out, one a line.")
    ] = None,
) -> None:
    """Measure how alike strangers look to an embedder: thresholds follow from it.

    Keep people whom you want to test on out of it. Label errors (one person under two names) must
    be left out, for each counts as a pair of strangers who look the same.
    """
    from training.calibrate_prior import calibrate

    lines = leave_out.read_text().splitlines() if leave_out else []
    names = {line.strip() for line in lines if line.strip()}
    written = calibrate(
        images, embedder, min_images=min_images, max_images=max_images, left_out=names
    )
    print(f'Written to {written}. The manifest must name it: calibration = "{written.name}"')


def golden_mtcnn(
    pictures: Annotated[Path, typer.Option(help="Folder of the source pictures.")] = TEST_DATA,
) -> None:
    """Make the golden fixtures of the face detector with facenet-pytorch's own, once."""
    from training.export import golden_mtcnn

    counts = golden_mtcnn.write_golden(pictures, pictures / "golden")
    for settings, count in zip(golden_mtcnn.SETTINGS, counts, strict=True):
        print(f"{count} faces with {settings}")
