"""The command line of `python -m training`.

What is heavy is imported inside the command that needs it, so that --help answers at once.
"""

from collections.abc import Sequence
from typing import NoReturn

import typer

from training.cli import exports, stages, tools
from training.cli.display import notes
from training.cli.errors import EXIT_FAILED, EXIT_INTERRUPTED, sentence
from training.cli.retrain import retrain

TOOLS, EXPORTS = "Tools", "For those who maintain the nets"

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=False,
    # A bug shows Python's own traceback; typer's would print local variables, whole arrays of them.
    pretty_exceptions_enable=False,
    help="""Train what the service searches large galleries with: offline, beside the service.

    `python -m training run --images people/ --out RUN` goes all the way from pictures to a bundle
    and a report. The stages in their order: embed, class-means, cluster, subnets, calibrate,
    evaluate, publish, epochs, report.

    Exit codes: 0 done, 2 wrong usage, 3 could not be done, 130 interrupted.
    """,
)
app.command("run")(stages.run)
app.command("embed")(stages.embed)
app.command("class-means")(stages.class_means)
app.command("cluster")(stages.cluster)
app.command("subnets")(stages.subnets)
app.command("calibrate")(stages.calibrate)
app.command("evaluate")(stages.evaluate)
app.command("publish")(stages.publish)
app.command("epochs")(stages.epochs)
app.command("report")(stages.report)
app.command("retrain")(retrain)
app.command("verify-bundle", rich_help_panel=TOOLS)(tools.verify_bundle)
app.command("synth", rich_help_panel=TOOLS)(tools.synth)
app.command("compare-synth", rich_help_panel=TOOLS)(tools.compare_synth)
app.command("export-mtcnn", rich_help_panel=EXPORTS)(exports.export_mtcnn)
app.command("export-mobilefacenet", rich_help_panel=EXPORTS)(exports.export_mobilefacenet)
app.command("export-backbone", rich_help_panel=EXPORTS)(exports.export_backbone)
app.command("calibrate-prior", rich_help_panel=EXPORTS)(exports.calibrate_prior)
app.command("golden-mtcnn", rich_help_panel=EXPORTS)(exports.golden_mtcnn)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run one command and leave with its exit code.

    Args:
        arguments: what stands after `python -m training`; None takes the process's own.
    """
    try:
        app(args=None if arguments is None else list(arguments), prog_name="python -m training")
    except SystemExit as ended:
        if ended.code == EXIT_INTERRUPTED:
            notes.print(
                "training: interrupted; what was finished stays; run the same command to go on",
                markup=False,
            )
        raise
    except Exception as error:
        said = sentence(error)
        if said is None:
            raise
        notes.print(f"training: {said}", markup=False)
        raise SystemExit(EXIT_FAILED) from None
    raise SystemExit(0)
