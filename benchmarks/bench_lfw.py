"""Accuracy on Labeled Faces in the Wild: verification, and open-set identification over HTTP.

make bench-lfw LFW=<folder of people> PROTOCOL=<folder with pairs.txt, lfw-same-person.tsv>

Identification first without a bundle; then the collection is retrained by the service, and the
same probes are searched again. Beside both stands exact search: every probe against the class
means of the pictures that were enrolled, as a plain product of matrices.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.demands import Demand, show
from benchmarks.lfw import TARGET_SIZE, OpenSet, Pair, open_set, read_pairs
from benchmarks.measures import auc, ten_fold_accuracy
from benchmarks.outcome import Outcome, exact_search
from benchmarks.report import write_results
from benchmarks.retraining import begin, figures_of, follow
from benchmarks.searches import Answers, enrol_all
from benchmarks.service import running_service
from benchmarks.side_by_side import paired_figures, side_by_side
from models.arrays import Floats
from models.identifier import QueryPath
from training.embedding.pictures import centre_templates

TARGET_FPIR = 0.01
"""The default of the service, which is asked for no other."""
LEAST_RANK1 = 0.976
LARGEST_FNIR = 0.105
"""At an FPIR of 1 %."""
LARGEST_FPIR = 1.35 * TARGET_FPIR

Templates = Mapping[Path, Floats | None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lfw", type=Path, required=True, help="folder with one folder a person")
    parser.add_argument("--protocol", type=Path, required=True, help="folder with pairs.txt")
    parser.add_argument("--training-python", type=Path, required=True, help="has torch")
    arguments = parser.parse_args()
    pairs = read_pairs(arguments.protocol, arguments.lfw)
    one = open_set(arguments.lfw, arguments.protocol)
    three = open_set(arguments.lfw, arguments.protocol, samples=3)
    templates = templates_of(
        [
            *(picture for pair in pairs for picture in (pair.first, pair.second)),
            *pictures_of(one),
            *pictures_of(three),
        ]
    )
    figures = verification(pairs, templates)
    tables = []
    for protocol, suffix, infix in ((one, "", ""), (three, "_three_samples", "three_")):
        compared = identification(protocol, templates, arguments.training_python)
        figures |= {f"{name}{suffix}": value for name, value in compared.without.items()}
        figures |= {f"bundle_{infix}{name}": value for name, value in compared.bundle.items()}
        figures |= {f"exact_{infix}{name}": value for name, value in compared.exact.items()}
        tables.append(compared.table)
    write_results("lfw", figures)
    for table in tables:
        Console().print(table)
    sys.exit(show(demands(figures)))


def pictures_of(protocol: OpenSet) -> list[Path]:
    """All that are enrolled or searched with."""
    enrolled = [picture for pictures in protocol.gallery.values() for picture in pictures]
    return [*enrolled, *(picture for _, picture in protocol.mated), *protocol.non_mated]


def templates_of(pictures: Iterable[Path]) -> dict[Path, Floats | None]:
    """The template of each picture's face nearest to the centre; None where there is no face."""
    different = sorted(set(pictures))
    made = centre_templates(QueryPath.open(), different)
    told = track(made, total=len(different), description="templates")
    return dict(zip(different, told, strict=True))


def verification(pairs: Sequence[Pair], templates: Templates) -> dict[str, float]:
    """View 2: ten folds, the threshold of each taken from the other nine."""

    def score(first: Path, second: Path) -> float:
        one, other = templates[first], templates[second]
        return -np.inf if one is None or other is None else float(one @ other)

    scores = np.array([score(pair.first, pair.second) for pair in pairs])
    mated = np.array([pair.mated for pair in pairs])
    accuracies = ten_fold_accuracy(scores, mated, np.array([pair.fold for pair in pairs]))
    pictures = {picture for pair in pairs for picture in (pair.first, pair.second)}
    return {
        "verification_accuracy": float(accuracies.mean()),
        "verification_accuracy_std": float(accuracies.std()),
        "verification_auc": auc(scores, mated),
        "verification_pictures_without_face": sum(templates[each] is None for each in pictures),
    }


@dataclass(frozen=True)
class Compared:
    """One gallery without a bundle, with one, and searched exactly."""

    without: dict[str, float]
    bundle: dict[str, float]
    exact: dict[str, float]
    table: Table


def identification(protocol: OpenSet, templates: Templates, training_python: Path) -> Compared:
    """The open-set protocol, every picture through the HTTP API of a service of its own."""
    settings = {"COHORT_TRAINING_PYTHON": str(training_python.absolute())}
    with running_service(sys.executable, settings) as service:
        enrolled = enrol_all(service, protocol.gallery)
        before = Answers.ask(service, protocol.mated, protocol.non_mated, bundle=None)
        client = service.client()
        job = follow(client, begin(client, target_size=TARGET_SIZE))
        after = Answers.ask(service, protocol.mated, protocol.non_mated, bundle=job["bundle_id"])
    without, bundle = Outcome.of(before), Outcome.of(after)
    exact = exact_search(
        {
            name: [row for row in map(templates.get, pictures) if row is not None]
            for name, pictures in enrolled.items()
        },
        [(name, templates[picture]) for name, picture in protocol.mated],
        [templates[picture] for picture in protocol.non_mated],
    )
    return Compared(
        without={
            "gallery_subjects": len(enrolled),
            "enrolments_rejected": len(protocol.gallery) - len(enrolled),
            "mated_probes": len(protocol.mated),
            "non_mated_probes": len(protocol.non_mated),
            "probes_without_face": sum(not each.found for each in before.all),
            **without.figures(),
            "target_fpir": TARGET_FPIR,
            **decided(before),
        },
        bundle={
            **figures_of(job),
            **bundle.figures(),
            **decided(after),
            "latency_ratio": median_of(after, "latency_ms") / median_of(before, "latency_ms"),
        },
        exact=exact.figures() | paired_figures(bundle, exact),
        table=side_by_side(
            f"{len(enrolled):,} subjects, {len(protocol.mated):,} mates, "
            f"{len(protocol.non_mated):,} strangers",
            without,
            bundle,
            exact,
        ),
    )


def decided(answers: Answers) -> dict[str, float]:
    """What came of the threshold that the service chose by itself, and its milliseconds."""
    return {
        "observed_fpir": answers.observed_fpir,
        "observed_fnir": answers.observed_fnir,
        "search_ms": median_of(answers, "search_ms"),
    }


def median_of(answers: Answers, name: str) -> float:
    return float(np.median([getattr(each, name) for each in answers.all]))


def demands(figures: Mapping[str, float]) -> list[Demand]:
    """What must be true of identification with a bundle."""
    kept = [
        Demand("with a bundle, rank-1", figures["bundle_rank1"], LEAST_RANK1),
        Demand(
            "with a bundle, minus FNIR at FPIR 1 %",
            -figures["bundle_fnir_at_fpir_0_01"],
            -LARGEST_FNIR,
        ),
        Demand(
            "with a bundle, minus FPIR seen at a target of 1 %",
            -figures["bundle_observed_fpir"],
            -LARGEST_FPIR,
        ),
    ]
    for infix, samples in (("", "one sample"), ("three_", "three samples")):
        for name, sign, what in (
            ("rank1", 1, "rank-1 over exact search"),
            ("fnir_at_fpir_0_01", -1, "FNIR at FPIR 1 % below exact search"),
        ):
            gain = sign * (figures[f"bundle_{infix}{name}"] - figures[f"exact_{infix}{name}"])
            kept.append(Demand(f"{samples}: {what}", gain, 0.0))
    return kept


if __name__ == "__main__":
    main()
