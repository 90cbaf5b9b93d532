"""How many strangers pass, where one in ten, in thirty or in a hundred was to?

make bench-fpir LFW=<folder of people> PROTOCOL=<folder with lfw-same-person.tsv>

Galleries of LFW's people with two or more pictures are searched by people with one. Thresholds are
the service's, from the gallery's own samples and the shipped prior, beside those of the prior
alone; observed FPIR is told as a multiple of the target, a mean over the galleries. For domains
that the prior never saw, gallery and probes alike are brought down to 40 px or turned grey; and
galleries of clean pictures are searched by worse ones. `variants.py` says what is done to a face.

1,000 of the strangers are left out, and galleries are drawn by other seeds than those by which the
rules were found (docs/decisions/0013).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.fpir import SAMPLES, TARGETS, Observed, benchmark_strangers, observe, scenes
from benchmarks.lfw import open_set
from benchmarks.report import write_results
from benchmarks.variants import Variant, read_templates
from models.calibration import Calibration
from models.weights import DEFAULT_EMBEDDER
from models.zoo import read_manifest

UNSEEN = (Variant.PX_40, Variant.GREY)
LARGEST_FACTOR, LARGEST_FACTOR_OF_SMALL, SMALL = 1.35, 1.6, 300
"""Of observed FPIR and target; the second below so many subjects, where all probes are alike."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lfw", type=Path, required=True, help="folder with one folder a person")
    parser.add_argument("--protocol", type=Path, required=True, help="folder with the label errors")
    parser.add_argument("--cache", type=Path, help="folder to keep the templates in")
    arguments = parser.parse_args()
    protocols = {
        samples: open_set(arguments.lfw, arguments.protocol, samples=samples) for samples in SAMPLES
    }
    pictures = {
        name: sorted((arguments.lfw / name).glob("*.jpg"))[: max(SAMPLES) + 1]
        for name in protocols[1].gallery
    }
    non_mated = protocols[1].non_mated
    listed = sorted({*non_mated, *(each for own in pictures.values() for each in own)})
    templates = read_templates(listed, arguments.cache and arguments.cache / "templates.npz")
    pictures = {
        name: found
        for name, own in pictures.items()
        if (found := [each for each in own if each in templates.rows])
    }
    people = {
        samples: [name for name, own in pictures.items() if len(own) > samples]
        for samples in SAMPLES
    }
    strangers = [each for each in benchmark_strangers(non_mated) if each in templates.rows]
    prior = Calibration.of(read_manifest(DEFAULT_EMBEDDER))
    every = [
        observe(scene, pictures, strangers, templates, prior)
        for scene in track(scenes(people), description="galleries")
    ]
    write_results("fpir", figures(every) | {"strangers": len(strangers)})
    Console(width=120).print(table(every))
    sys.exit(shortfalls(every) or None)


def figures(every: Sequence[Observed]) -> dict[str, float]:
    """Flat: of each scene, and of each domain how far factors are from 1 as the mean of |ln|."""
    found: dict[str, float] = {}
    for each in every:
        name = each.scene.name
        found[f"{name}_galleries"] = len(each.scene.galleries)
        for place, target in enumerate(TARGETS):
            at = f"{name}_factor_at_{target:g}".replace(".", "_")
            own, alone = each.factors[:, :, place].mean(axis=1)
            found |= {at: own, f"{at}_by_prior": alone}
        found[f"{name}_fnir"], found[f"{name}_fnir_by_prior"] = each.fnir
        found[f"{name}_ambiguous"] = each.ambiguous
    for variant in UNSEEN:
        own, alone = distances(every, variant)
        found |= {f"{variant}_distance": own, f"{variant}_distance_by_prior": alone}
    return found


def distances(every: Sequence[Observed], variant: Variant) -> tuple[float, float]:
    """Mean of |ln(factor)| in a domain, by the service and by the prior alone."""
    factors = np.concatenate(
        [each.factors.mean(axis=1) for each in every if each.scene.gallery is variant], axis=1
    )
    # Where nobody passed, as if half a stranger of a thousand had.
    own, alone = np.abs(np.log(np.maximum(factors, 0.05))).mean(axis=1).tolist()
    return own, alone


def shortfalls(every: Sequence[Observed]) -> str:
    """Say where more strangers passed than may, or the prior alone was nearer; else nothing."""
    found = [
        f"{each.scene.name}: {factor:.2f} times the target {target:g}"
        for each in every
        for target, factor in zip(TARGETS, each.factors[0].mean(axis=0), strict=True)
        if factor > largest_factor(each)
    ]
    for variant in UNSEEN:
        own, alone = distances(every, variant)
        if own >= alone:
            found.append(f"{variant}: the prior alone is nearer ({alone:.3f} against {own:.3f})")
    return "\n".join(found)


def largest_factor(each: Observed) -> float:
    scene = each.scene
    small = len(scene.galleries[0]) < SMALL and scene.gallery is scene.probe
    return LARGEST_FACTOR_OF_SMALL if small else LARGEST_FACTOR


def table(every: Sequence[Observed]) -> Table:
    """Factors by the service (by the prior alone); * above what may be, + as far below."""
    made = Table(title="observed FPIR / target: self-calibrated (prior alone); * too many, + few")
    for head in ("galleries", *(f"at {target:g}" for target in TARGETS), "FNIR", "ambiguous"):
        made.add_column(head, justify="left" if head == "galleries" else "right")
    for each in every:
        limit = largest_factor(each)
        cells = []
        for own, alone in each.factors.mean(axis=1).T.tolist():
            mark = "*" if own > limit else "+" if own < 1 / limit else " "
            cells.append(f"{own:.2f}{mark}({alone:.2f})")
        own, alone = each.fnir.tolist()
        name = f"{len(each.scene.galleries)} x {each.scene.name.replace('_', ' ')}"
        made.add_row(name, *cells, f"{own:.4f} ({alone:.4f})", f"{each.ambiguous:.4f}")
    return made


if __name__ == "__main__":
    main()
