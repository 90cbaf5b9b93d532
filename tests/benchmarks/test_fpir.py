from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks import fpir
from benchmarks.bench_fpir import distances, figures, shortfalls, table
from benchmarks.fpir import DEVELOPMENT_STRANGERS, TARGETS, Observed, Scene, observe, scenes
from benchmarks.variants import Templates, Variant
from models.arrays import Floats
from models.calibration import Calibration
from models.weights import DEFAULT_EMBEDDER
from models.zoo import read_manifest

DIMENSION = 64


def test_strangers_on_whom_rules_were_found_are_left_out() -> None:
    strangers = [Path(f"{number:04}.jpg") for number in range(1_500)]
    kept = fpir.benchmark_strangers(strangers)
    assert len(kept) == len(set(kept)) == 1_500 - DEVELOPMENT_STRANGERS
    assert kept == sorted(kept) == fpir.benchmark_strangers(strangers)


def test_five_galleries_of_a_size_or_one_of_everybody() -> None:
    people = {1: [f"one-{n}" for n in range(2_000)], 3: [f"three-{n}" for n in range(200)]}
    made = scenes(people)
    kinds = {(each.samples, len(each.galleries[0]), len(each.galleries)) for each in made}
    assert kinds == {(1, 80, 5), (1, 300, 5), (1, 1_664, 5), (3, 80, 5), (3, 200, 1)}
    assert len(made) == len(kinds) * len(fpir.DOMAINS)
    for each in made:
        for enrolled in each.galleries:
            assert len(set(enrolled)) == len(enrolled)
            assert set(enrolled) <= set(people[each.samples])
        assert len(set(each.galleries)) == len(each.galleries)
    names = [each.name for each in made]
    assert len(set(names)) == len(names)
    assert names[0] == "clean_80_subjects_1_samples"
    assert "clean_by_px_24_200_subjects_3_samples" in names


def unit(rows: NDArray[np.float64]) -> Floats:
    scaled: Floats = (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)
    return scaled


@pytest.mark.slow
def test_strangers_like_the_people_of_the_gallery_pass_about_as_often_as_asked() -> None:
    """Everybody has much in common, which only the gallery's own samples tell."""
    rng = np.random.default_rng(0)
    people, strangers = 200, 600
    common = 6 * unit(rng.standard_normal(DIMENSION))
    centres = rng.standard_normal((people + strangers, DIMENSION)) + common
    rows = np.concatenate([np.repeat(centres[:people], 2, axis=0), centres[people:]])
    rows = unit(rows + 0.8 * rng.standard_normal(rows.shape))
    paths = [Path(f"{number}.jpg") for number in range(len(rows))]
    templates = Templates(
        {path: row for row, path in enumerate(paths)},
        np.repeat(rows[:, None], len(Variant), axis=1),
        np.ones((len(rows), len(Variant)), np.float32),
    )
    names = tuple(f"person-{number}" for number in range(people))
    pictures = {name: paths[2 * row : 2 * row + 2] for row, name in enumerate(names)}
    scene = Scene(Variant.GREY, Variant.GREY, 1, (names, names[:100]))
    found = observe(
        scene,
        pictures,
        paths[2 * people :],
        templates,
        Calibration.of(read_manifest(DEFAULT_EMBEDDER)),
    )
    assert found.factors.shape == (2, 2, len(TARGETS))
    own, alone = found.factors
    assert (alone[:, 0] > 5).all()
    assert own[0, 0] == pytest.approx(1, abs=0.5)
    # The prior alone names nearly everybody, so that no mate is missed.
    assert 0 <= found.fnir[1] < found.fnir[0] < 0.9
    assert 0 <= found.ambiguous < 0.3


def observed(
    factor: float, alone: float, *, subjects: int = 300, probe: Variant = Variant.GREY
) -> Observed:
    names = tuple(f"person-{number}" for number in range(subjects))
    return Observed(
        scene=Scene(Variant.GREY if probe is Variant.GREY else Variant.CLEAN, probe, 1, (names,)),
        factors=np.repeat([[[factor]], [[alone]]], len(TARGETS), axis=2),
        fnir=np.array([0.1, 0.2]),
        ambiguous=0.01,
    )


def px_40() -> Observed:
    good = observed(1.1, 1.3)
    scene = Scene(Variant.PX_40, Variant.PX_40, 1, good.scene.galleries)
    return Observed(scene, good.factors, good.fnir, good.ambiguous)


def test_what_falls_short_is_said() -> None:
    assert shortfalls([observed(1.1, 1.3), px_40()]) == ""
    assert shortfalls([observed(0.3, 4.0), px_40()]) == ""
    assert "300_subjects_1_samples: 1.40 times" in shortfalls([observed(1.4, 2), px_40()])
    assert shortfalls([observed(1.5, 2, subjects=80), px_40()]) == ""
    assert "1.70 times" in shortfalls([observed(1.7, 2, subjects=80), px_40()])
    worse = observed(1.5, 1, subjects=80, probe=Variant.PX_24)
    assert "clean_by_px_24" in shortfalls([observed(1.1, 1.3), px_40(), worse])
    assert "grey: the prior alone is nearer" in shortfalls([observed(1.2, 1.1), px_40()])


def test_distances_count_too_many_and_too_few_alike() -> None:
    own, alone = distances([observed(0.5, 1), observed(2, 1)], Variant.GREY)
    assert own == pytest.approx(np.log(2))
    assert alone == 0


def test_figures_are_flat_numbers() -> None:
    every = [observed(1.1, 1.3), px_40()]
    found = figures(every)
    name = "grey_300_subjects_1_samples"
    assert found[f"{name}_factor_at_0_01"] == pytest.approx(1.1)
    assert found[f"{name}_factor_at_0_01_by_prior"] == pytest.approx(1.3)
    assert found[f"{name}_fnir_by_prior"] == pytest.approx(0.2)
    assert found["grey_distance"] < found["grey_distance_by_prior"]
    assert all(isinstance(float(value), float) for value in found.values())
    assert table(every).row_count == 2
