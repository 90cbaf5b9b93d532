import numpy as np
import pytest

from models.arrays import Floats
from tests.training.small_stores import crowded_rows, unit_rows
from training.clusters.bounded_assignment import SizeBounds, assign_within_bounds, nearest_centroids
from training.clusters.cluster import (
    TARGET_SIZE,
    Clustering,
    cluster_classes,
    cluster_count,
    first_centroids,
    mean_cosine,
    split_at_random,
)

EVEN = unit_rows(np.random.default_rng(0), 5_000, 32)
CROWDED = crowded_rows(np.random.default_rng(1), 5_000, 32, 0.8)
COPIES = EVEN[np.repeat([0, 1], [4_999, 1])]


@pytest.mark.parametrize(
    "means",
    [
        pytest.param(EVEN, id="even"),
        pytest.param(CROWDED, id="crowded"),
        pytest.param(COPIES, id="copies"),
    ],
)
@pytest.mark.parametrize("target", [100, 417, 2_000])
def test_sizes_are_within_bounds(means: Floats, target: int) -> None:
    found = cluster_classes(means, target_size=target, seed=1)
    count = cluster_count(5_000, target)
    sizes = np.bincount(found.clusters, minlength=count)
    assert len(sizes) == len(found.centroids) == count
    assert sizes.sum() == 5_000
    assert sizes.min() >= target / 4
    assert sizes.max() <= target * 1.5
    for cluster, centroid in enumerate(found.centroids):
        mean = means[found.clusters == cluster].mean(axis=0, dtype=np.float64)
        np.testing.assert_allclose(centroid, mean / np.linalg.norm(mean), atol=1e-5)


def test_every_count_of_classes_fits_its_bounds() -> None:
    for target in (1, 2, 3, 4, 5, 7, 10, 480):
        for classes in range(1, 12 * target):
            count, bounds = cluster_count(classes, target), SizeBounds.around(target)
            assert count == 1 or count * bounds.smallest <= classes
            assert classes <= count * bounds.largest


def test_a_small_gallery_is_one_cluster() -> None:
    for classes in (1, 2, 3_749):
        found = cluster_classes(EVEN[:classes])
        assert not found.clusters.any()
        assert found.centroids.shape == (1, 32)
    assert cluster_count(3_749, TARGET_SIZE) == 1
    assert cluster_count(3_750, TARGET_SIZE) == 2
    assert cluster_count(5_749, 480) == 12
    assert cluster_count(5_749, 1_916) == 3


def test_the_seed_decides_all() -> None:
    for make in (
        lambda seed: cluster_classes(CROWDED, target_size=500, seed=seed),
        lambda seed: split_at_random(CROWDED, count=10, seed=seed),
    ):
        first, again, other = make(1), make(1), make(2)
        np.testing.assert_array_equal(first.clusters, again.clusters)
        np.testing.assert_array_equal(first.centroids, again.centroids)
        assert (first.clusters != other.clusters).any()


def test_clear_groups_are_found() -> None:
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(5), [40, 80, 100, 120, 140])
    centres = np.eye(5, 16, dtype=np.float32)
    points = centres[groups] + 0.05 * rng.standard_normal((480, 16)).astype(np.float32)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    found = cluster_classes(points, target_size=96, seed=0)
    assert len({(int(a), int(b)) for a, b in zip(groups, found.clusters, strict=True)}) == 5


def test_it_settles_where_no_class_wants_to_move() -> None:
    """Without crowds no size is bounded, and what is found is what plain KMeans would keep."""
    found = cluster_classes(EVEN, target_size=2_500, seed=0)
    nearest = nearest_centroids(EVEN, found.centroids)
    assert (nearest != found.clusters).mean() < 0.01
    by_chance = split_at_random(EVEN, count=2)
    assert mean_cosine(EVEN, found) > mean_cosine(EVEN, by_chance) + 0.05


def test_bounds_within_the_loop_are_tighter_than_bounds_at_the_end() -> None:
    within = mean_cosine(CROWDED, cluster_classes(CROWDED, target_size=500, seed=1))
    free = first_centroids(CROWDED, 10, np.random.default_rng(1))
    for _ in range(50):
        nearest = nearest_centroids(CROWDED, free)
        sums = np.stack([CROWDED[nearest == cluster].sum(axis=0) for cluster in range(10)])
        free = sums / np.linalg.norm(sums, axis=1, keepdims=True)
    clusters = assign_within_bounds(CROWDED, free, SizeBounds.around(500))
    assert within > mean_cosine(CROWDED, Clustering(clusters, free)) + 0.02


def test_a_random_split_is_even() -> None:
    for count in (1, 3, 7):
        sizes = np.bincount(split_at_random(EVEN[:100], count=count).clusters, minlength=count)
        assert sizes.max() - sizes.min() <= 1


def test_first_centroids_are_drawn_by_squared_distance() -> None:
    """Four points: how often each pair is drawn, against the probabilities worked out."""
    angles = np.array([0.0, 0.5, 1.5, 3.0])
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    rng = np.random.default_rng(0)
    counts = np.zeros((4, 4))
    for _ in range(8_000):
        pair = first_centroids(points, 2, rng)
        first, second = (int(np.flatnonzero((points == row).all(axis=1))[0]) for row in pair)
        counts[first, second] += 1
    squared = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    expected = squared / squared.sum(axis=1, keepdims=True) / 4
    np.testing.assert_allclose(counts / 8_000, expected, atol=0.02)


def test_what_cannot_be_cut_is_refused() -> None:
    with pytest.raises(ValueError, match="0 classes"):
        cluster_classes(EVEN[:0])
    with pytest.raises(ValueError, match="clusters of 0"):
        cluster_classes(EVEN, target_size=0)
    for count in (0, 4):
        with pytest.raises(ValueError, match=f"3 classes in {count} clusters"):
            split_at_random(EVEN[:3], count=count)
