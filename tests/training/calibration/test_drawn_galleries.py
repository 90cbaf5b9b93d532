from dataclasses import replace

import numpy as np
import pytest

from models.calibration import Calibration
from models.weights import DEFAULT_EMBEDDER
from models.zoo import read_manifest
from tests.training.calibration.made_up_pictures import made_up_pictures
from training.calibration.drawn_galleries import DrawnSearches, search_drawn
from training.calibration.probability import reliability

SUBJECTS = 300
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def prior() -> Calibration:
    return Calibration.of(read_manifest(DEFAULT_EMBEDDER))


@pytest.fixture(scope="module")
def drawn(prior: Calibration) -> DrawnSearches:
    return search_drawn(prior, made_up_pictures(120), subjects_of_a_kind=SUBJECTS)


def test_every_size_and_number_of_samples_counts_the_same(drawn: DrawnSearches) -> None:
    # Sizes 30 and 100, one sample and three; a picture and its copy, with the mate and without.
    assert len(drawn.right) == len(drawn.features) == 2 * 2 * SUBJECTS * 2 * 2
    several = drawn.features[:, 2]
    assert several.mean() == pytest.approx(0.5)
    # One sample gives a search, three give three.
    assert len(drawn.gaps) == 2 * SUBJECTS * (1 + 3)


def test_half_of_the_searches_are_without_the_mate(drawn: DrawnSearches) -> None:
    assert drawn.right.mean() == pytest.approx(0.5, abs=0.01)
    margins = drawn.features[:, 0]
    strangers = margins[~drawn.right]
    # The margin is that over the threshold which one stranger in a hundred passes.
    assert np.mean(strangers >= 0) == pytest.approx(0.01, abs=0.012)
    assert np.median(margins[drawn.right]) > 0.1


def test_the_gap_is_larger_than_that_of_most_strangers(drawn: DrawnSearches) -> None:
    assert np.mean(drawn.gaps < drawn.gap) == pytest.approx(0.9, abs=0.01)
    assert np.mean(drawn.features[~drawn.right, 1] < drawn.gap) > 0.8
    assert np.mean(drawn.features[drawn.right, 1] > drawn.gap) > 0.8


def test_the_probability_holds_for_other_people(prior: Calibration, drawn: DrawnSearches) -> None:
    others = search_drawn(prior, made_up_pictures(120, seed=1), seed=1, subjects_of_a_kind=SUBJECTS)
    table = reliability(drawn.probability().of(others.features), others.right)
    for row in table:
        if row["count"] > 100:
            assert row["observed"] == pytest.approx(row["predicted"], abs=0.15)


def test_the_same_seed_gives_the_same_and_the_prior_s_own_constants_do_not_matter(
    prior: Calibration, drawn: DrawnSearches
) -> None:
    again = search_drawn(
        replace(prior, gap=0.5), made_up_pictures(120), subjects_of_a_kind=SUBJECTS
    )
    assert again.gap == drawn.gap
    np.testing.assert_array_equal(again.features, drawn.features)


def test_people_without_a_further_picture_are_not_drawn(prior: Calibration) -> None:
    pictures = made_up_pictures(40, pictures=2)
    drawn = search_drawn(prior, pictures, subjects_of_a_kind=SUBJECTS)
    assert not drawn.features[:, 2].any()
    assert len(drawn.right) == SUBJECTS * 2 * 2
