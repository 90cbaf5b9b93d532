import numpy as np
import pytest
from numpy.typing import NDArray

from models.arrays import Floats
from tests.training.small_stores import crowded_rows, unit_rows
from training.clusters import bounded_assignment
from training.clusters.bounded_assignment import SizeBounds, assign_within_bounds, nearest_centroids


def one_move_at_a_time(points: Floats, centroids: Floats, bounds: SizeBounds) -> NDArray[np.int32]:
    """The rule of `assign_within_bounds`, word by word."""
    cosines = points.astype(np.float64) @ centroids.T.astype(np.float64)
    count = len(centroids)
    clusters = [int(row.argmax()) for row in cosines]

    def size(cluster: int) -> int:
        return clusters.count(cluster)

    def cost(point: int, cluster: int) -> float:
        return float(cosines[point, clusters[point]] - cosines[point, cluster])

    for full in sorted(range(count), key=lambda cluster: -size(cluster)):
        while size(full) > bounds.largest:
            _, point, target = min(
                (cost(point, target), point, target)
                for point in range(len(points))
                for target in range(count)
                if clusters[point] == full and size(target) < bounds.largest
            )
            clusters[point] = target
    for poor in sorted(range(count), key=size):
        while size(poor) < bounds.smallest:
            _, point = min(
                (cost(point, poor), point)
                for point in range(len(points))
                if clusters[point] != poor and size(clusters[point]) > bounds.smallest
            )
            clusters[point] = poor
    return np.array(clusters, np.int32)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("bounds", [SizeBounds(2, 18), SizeBounds(9, 11), SizeBounds(10, 10)])
def test_moves_are_those_of_one_at_a_time(seed: int, bounds: SizeBounds) -> None:
    rng = np.random.default_rng(seed)
    points, centroids = crowded_rows(rng, 60, 5, 0.7), unit_rows(rng, 6, 5)
    found = assign_within_bounds(points, centroids, bounds)
    np.testing.assert_array_equal(found, one_move_at_a_time(points, centroids, bounds))
    sizes = np.bincount(found, minlength=6)
    assert sizes.min() >= bounds.smallest
    assert sizes.max() <= bounds.largest


def test_wide_bounds_move_nothing() -> None:
    rng = np.random.default_rng(0)
    points, centroids = unit_rows(rng, 500, 8), unit_rows(rng, 5, 8)
    found = assign_within_bounds(points, centroids, SizeBounds(0, 500))
    np.testing.assert_array_equal(found, (points @ centroids.T).argmax(axis=1))


@pytest.mark.parametrize("bounds", [SizeBounds(0, 9), SizeBounds(11, 50)])
def test_bounds_that_cannot_be_kept_are_refused(bounds: SizeBounds) -> None:
    points = unit_rows(np.random.default_rng(0), 50, 4)
    with pytest.raises(ValueError, match="50 points do not fit into 5 clusters"):
        assign_within_bounds(points, points[:5], bounds)


def test_nearest_centroids_are_found_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    vectors, centroids = unit_rows(rng, 100, 8).astype(np.float16), unit_rows(rng, 7, 8)
    slow = [max(range(7), key=lambda c: float(row @ centroids[c])) for row in vectors]
    for size in (1, 33, 1_000):
        monkeypatch.setattr(bounded_assignment, "BLOCK_ROWS", size)
        np.testing.assert_array_equal(nearest_centroids(vectors, centroids), slow)


def test_bounds_follow_the_target() -> None:
    assert SizeBounds.around(2_500) == SizeBounds(625, 3_750)
    assert SizeBounds.around(1) == SizeBounds(1, 1)
