"""Galleries of known people searched by strangers: how many pass, against how many were to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from benchmarks.variants import Templates, Variant
from models.calibration import Calibration
from models.decide import decide
from models.gallery import Gallery
from models.search import Search
from models.self_calibration import SelfCalibration

TARGETS = (0.1, 0.03, 0.01)
SAMPLES = (1, 3)
SIZES = (80, 300, 1_664)
GALLERIES = 5
"""Of a size; one, where it takes everybody."""
DOMAINS = (
    (Variant.CLEAN, Variant.CLEAN),
    (Variant.PX_40, Variant.PX_40),
    (Variant.GREY, Variant.GREY),
    (Variant.CLEAN, Variant.PX_24),
    (Variant.CLEAN, Variant.COVERED),
)
"""Of gallery and probes."""
DEVELOPMENT_STRANGERS, DEVELOPMENT_SEED = 1_000, 13

Shares = NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """Galleries of one kind."""

    gallery: Variant
    probe: Variant
    samples: int
    """Of each subject."""
    galleries: tuple[tuple[str, ...], ...]
    """Who is enrolled in each."""

    @property
    def name(self) -> str:
        domain = self.gallery if self.gallery is self.probe else f"{self.gallery}_by_{self.probe}"
        return f"{domain}_{len(self.galleries[0])}_subjects_{self.samples}_samples"


@dataclass(frozen=True, eq=False)
class Observed:
    """What was found in a scene. Mated searches are measured at the last of `TARGETS`."""

    scene: Scene
    factors: Shares
    """(2, galleries, targets): observed FPIR over the target, at the service's thresholds and at
    those of the prior alone."""
    fnir: Shares
    """(2,) share of mated searches that don't put the mate first at or above the threshold."""
    ambiguous: float
    """Of those that do by the service, the share that is called ambiguous."""


def benchmark_strangers(strangers: Sequence[Path]) -> list[Path]:
    """Those on whom no rule was found: all but `DEVELOPMENT_STRANGERS` drawn ones."""
    order = np.random.default_rng(DEVELOPMENT_SEED).permutation(len(strangers))
    return [strangers[place] for place in sorted(order[DEVELOPMENT_STRANGERS:].tolist())]


def scenes(people: dict[int, list[str]]) -> list[Scene]:
    """Draw the galleries of all kinds.

    Args:
        people: by number of samples, who has more pictures than that. All of them are the largest
            gallery where they are fewer than the size.
    """
    drawn = {}
    for samples in SAMPLES:
        names = people[samples]
        for size in sorted({min(size, len(names)) for size in SIZES}):
            seeds = range(GALLERIES if size < len(names) else 1)
            drawn[samples, size] = tuple(
                tuple(np.random.default_rng(seed).permutation(names)[:size].tolist())
                for seed in seeds
            )
    return [
        Scene(*domain, samples, galleries)
        for domain in DOMAINS
        for (samples, _), galleries in drawn.items()
    ]


def observe(
    scene: Scene,
    pictures: dict[str, list[Path]],
    strangers: Sequence[Path],
    templates: Templates,
    prior: Calibration,
) -> Observed:
    """Build the galleries of a scene and search them.

    Args:
        scene: what is searched.
        pictures: of each person, more than are enrolled: the next one is searched with.
        strangers: pictures of people who are in no gallery.
        templates: of all these pictures.
        prior: of the embedder.
    """
    factors, missed, ambiguous = [], [], []
    for names in scene.galleries:
        ids = [UUID(int=number) for number in range(len(names))]
        enrolled = [picture for name in names for picture in pictures[name][: scene.samples]]
        rows, _ = templates.of(enrolled, scene.gallery)
        gallery = Gallery.build(
            ids,
            np.repeat(np.arange(len(ids)), scene.samples),
            rows,
            dimension=rows.shape[1],
            revision=1,
        )
        own = SelfCalibration.of(prior, gallery)
        alone = SelfCalibration.of_searches(prior, [])
        non_mated = gallery.search(*templates.of(strangers, scene.probe), 2)
        probes = [pictures[name][scene.samples] for name in names]
        mated = gallery.search(*templates.of(probes, scene.probe), 2)
        of_gallery = []
        for calibration in (own, alone):
            thresholds = [
                calibration.threshold(max_fpir=target, comparisons=gallery.comparisons)
                for target in TARGETS
            ]
            of_gallery.append(
                [
                    float(np.mean(_named(non_mated, threshold, calibration.gap) != "unknown"))
                    / target
                    for threshold, target in zip(thresholds, TARGETS, strict=True)
                ]
            )
            right = np.array(
                [
                    each.candidates[0].subject_id == mate
                    and each.candidates[0].score >= thresholds[-1]
                    for each, mate in zip(mated, ids, strict=True)
                ]
            )
            missed.append(1 - right.mean())
            if calibration is own:
                said = _named(mated, thresholds[-1], own.gap)
                ambiguous.append(np.mean(said[right] == "ambiguous"))
        factors.append(of_gallery)
    return Observed(
        scene=scene,
        factors=np.array(factors).transpose(1, 0, 2),
        fnir=np.array(missed).reshape(-1, 2).mean(axis=0),
        ambiguous=float(np.mean(ambiguous)),
    )


def _named(searches: Sequence[Search], threshold: float, gap: float) -> NDArray[np.str_]:
    """(n,) what is decided of each search, as of the only face in a picture."""
    return np.array([decide([each.candidates], threshold, gap)[0].decision for each in searches])
