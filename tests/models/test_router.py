from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import pytest

from models import router
from models.arrays import Floats
from models.router import (
    CANDIDATES,
    EXACT_UP_TO,
    ClassMeanIndex,
    Hidden,
    IndexKind,
    candidates_for,
    index_kind,
    rank1_loss,
)
from tests.training.small_stores import unit_rows

KINDS: tuple[IndexKind, ...] = ("exact", "pq")
CLASSES, DIMENSION = 2_000, 64


@pytest.fixture(scope="module")
def means() -> Floats:
    return unit_rows(np.random.default_rng(0), CLASSES, DIMENSION)


@pytest.fixture(scope="module")
def probes(means: Floats) -> Floats:
    """At a cosine of about 0.7 to the first 40 class means."""
    noisy = means[:40] + unit_rows(np.random.default_rng(1), 40, DIMENSION)
    lengths: Floats = np.linalg.norm(noisy, axis=1, keepdims=True)
    return noisy / lengths


@pytest.mark.parametrize("kind", KINDS)
def test_the_nearest_come_in_the_order_of_all_cosines(
    kind: IndexKind, means: Floats, probes: Floats
) -> None:
    index = ClassMeanIndex.build(means, kind=kind)
    routes = index.search(probes, 3)
    slow = probes @ means.T
    assert (index.kind, len(index)) == (kind, CLASSES)
    assert routes.scores.dtype == np.float32
    assert routes.rows.dtype == np.int64
    np.testing.assert_array_equal(routes.rows[:, 0], np.arange(40))
    np.testing.assert_allclose(
        routes.scores, np.take_along_axis(slow, routes.rows, axis=1), atol=1e-6
    )
    best = -np.sort(-slow, axis=1)[:, :3]
    # Of codes, one that is far down the list may be missed, but hardly any is.
    assert np.isclose(routes.scores, best, atol=1e-6).mean() > (0.999 if kind == "exact" else 0.97)


def test_all_candidates_of_codes_are_as_good_as_an_exact_scan(
    means: Floats, probes: Floats
) -> None:
    exact, coded = (ClassMeanIndex.build(means, kind=kind) for kind in KINDS)
    for asked in (CLASSES, CLASSES + 5):
        routes, expected = coded.search(probes, asked), exact.search(probes, asked)
        assert routes.rows.shape == (40, CLASSES)
        np.testing.assert_allclose(routes.scores, expected.scores, atol=1e-6)


def test_a_rerank_reads_a_map_of_float16(means: Floats, probes: Floats) -> None:
    half = means.astype(np.float16)
    routes = ClassMeanIndex.build(half, kind="pq").search(probes, 2)
    slow = probes @ half.astype(np.float32).T
    np.testing.assert_allclose(routes.scores[:, 0], slow.max(axis=1), atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.0005, 0.1, 0.9, 0.9995])
def test_hidden_rows_are_passed_over(
    kind: IndexKind, share: float, means: Floats, probes: Floats
) -> None:
    rng = np.random.default_rng(2)
    rows = rng.choice(CLASSES, round(share * CLASSES), replace=False)
    hidden = Hidden.of(rows, CLASSES)
    assert hidden.count == len(rows)
    routes = ClassMeanIndex.build(means, kind=kind).search(probes, 5, hidden)
    assert not np.isin(routes.rows, rows).any()
    slow = probes @ means.T
    slow[:, rows] = -np.inf
    np.testing.assert_allclose(routes.scores[:, 0], slow.max(axis=1), atol=1e-6)
    found = min(5, CLASSES - len(rows))
    assert (routes.rows[:, :found] >= 0).all()
    assert (routes.rows[:, found:] == -1).all()
    assert (routes.scores[:, found:] == -np.inf).all()


@pytest.mark.parametrize("kind", KINDS)
def test_everybody_near_may_be_hidden(kind: IndexKind, means: Floats, probes: Floats) -> None:
    index = ClassMeanIndex.build(means, kind=kind)
    for gone in (CANDIDATES, 3 * CANDIDATES, CLASSES):
        nearest = np.argsort(-(probes[0] @ means.T))
        hidden = Hidden.of(nearest[:gone], CLASSES)
        routes = index.search(probes[:1], 32, hidden)
        if gone == CLASSES:
            assert (routes.rows == -1).all()
            assert (routes.scores == -np.inf).all()
            continue
        assert (routes.rows >= 0).all()
        assert not hidden.mask[routes.rows].any()
        assert routes.rows[0, 0] in nearest[gone : gone + 3]


def test_nobody_need_be_hidden(means: Floats, probes: Floats) -> None:
    nobody: list[int] = []
    for kind in KINDS:
        index = ClassMeanIndex.build(means, kind=kind)
        hidden = Hidden.of(nobody, CLASSES)
        np.testing.assert_array_equal(
            index.search(probes, 4, hidden).rows, index.search(probes, 4).rows
        )


@pytest.mark.parametrize("kind", KINDS)
def test_several_threads_may_search_at_once(kind: IndexKind, means: Floats, probes: Floats) -> None:
    index = ClassMeanIndex.build(means, kind=kind)
    expected = index.search(probes, 10)
    with ThreadPoolExecutor(8) as pool:
        for routes in pool.map(lambda _: index.search(probes, 10), range(64)):
            np.testing.assert_array_equal(routes.rows, expected.rows)


def test_nothing_to_search_or_to_find() -> None:
    empty = np.empty((0, 8), np.float32)
    nowhere = ClassMeanIndex.build(empty)
    assert (nowhere.kind, len(nowhere)) == ("exact", 0)
    assert nowhere.search(np.ones((2, 8), np.float32), 3).rows.shape == (2, 0)
    assert ClassMeanIndex.build(np.eye(8, dtype=np.float32)).search(empty, 3).rows.shape == (0, 3)


def test_the_kind_and_the_candidates_follow_the_number_of_classes() -> None:
    assert (index_kind(EXACT_UP_TO), index_kind(EXACT_UP_TO + 1)) == ("exact", "pq")
    assert (candidates_for(100), candidates_for(1_000_000)) == (300, 300)
    assert candidates_for(10_000_000) == 1_000


@pytest.mark.parametrize("dimension", [7, 16, 63, 65])
def test_codes_fit_any_dimension(dimension: int) -> None:
    rows = unit_rows(np.random.default_rng(3), 700, dimension)
    index = ClassMeanIndex.build(rows, kind="pq")
    np.testing.assert_array_equal(index.search(rows, 1).rows[:, 0], np.arange(700))


def test_codes_are_used_again_for_about_the_same_classes(means: Floats, probes: Floats) -> None:
    index = ClassMeanIndex.build(means[:-50], kind="pq")
    grown = ClassMeanIndex.build(means, kind="pq", like=index)
    assert (index.index.ntotal, grown.index.ntotal) == (CLASSES - 50, CLASSES)
    np.testing.assert_array_equal(grown.search(probes, 1).rows[:, 0], np.arange(40))
    # What was learned is what it was, so the old rows have the same codes.
    again = ClassMeanIndex.build(means[:-50], kind="pq", like=grown)
    assert (
        faiss.serialize_index(again.index).tobytes() == faiss.serialize_index(index.index).tobytes()
    )


def test_no_codes_are_used_again_where_there_are_none(means: Floats) -> None:
    exact = ClassMeanIndex.build(means, kind="exact")
    assert ClassMeanIndex.build(means, kind="pq", like=exact).kind == "pq"
    coded = ClassMeanIndex.build(means, kind="pq")
    assert ClassMeanIndex.build(means[:100], like=coded).kind == "exact"


def test_class_means_are_learned_from_and_added_in_blocks(
    means: Floats, probes: Floats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(router, "BLOCK_ROWS", 300)
    monkeypatch.setattr(router, "BLOCK_SCORES", 40 * 300)
    monkeypatch.setattr(router, "TRAINED_ON", 1_500)
    for kind in KINDS:
        index = ClassMeanIndex.build(means, kind=kind)
        np.testing.assert_array_equal(index.search(probes, 1).rows[:, 0], np.arange(40))
        assert rank1_loss(index, probes, np.arange(40)) == 0


def test_the_loss_is_what_the_exact_scan_alone_gets_right(means: Floats, probes: Floats) -> None:
    others = ClassMeanIndex.build(np.roll(means, 1, axis=0), kind="exact")
    wrong = ClassMeanIndex("exact", others.index, means, CANDIDATES)
    assert rank1_loss(wrong, probes, np.arange(40)) == 1
    right = ClassMeanIndex.build(means, kind="exact")
    assert rank1_loss(right, probes, np.arange(40)) == 0
    # Probes that nobody gets right are no loss.
    assert rank1_loss(right, probes, np.arange(40) + 100) == 0
