import numpy as np

from models.router import class_mean_index, excluding, route


def test_route_agrees_with_sorting_all_cosines() -> None:
    rng = np.random.default_rng(0)
    means = rng.standard_normal((50, 8)).astype(np.float32)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    probes = means[:3]
    routes = route(class_mean_index(means), probes, 10)
    slow = probes @ means.T
    np.testing.assert_array_equal(routes.rows, np.argsort(-slow, axis=1)[:, :10])
    np.testing.assert_allclose(routes.scores, -np.sort(-slow, axis=1)[:, :10], atol=1e-6)


def test_excluded_rows_are_passed_over() -> None:
    means = np.eye(20, dtype=np.float32)
    for excluded in ({0}, {0, 7, 8, 19}, set(range(19))):
        routes = route(class_mean_index(means), means, 3, params=excluding(excluded, 20))
        found = set(routes.rows[routes.rows >= 0].tolist())
        assert found.isdisjoint(excluded)
        for row in set(range(20)) - excluded:
            assert routes.rows[row, 0] == row


def test_fewer_than_asked_for_are_marked() -> None:
    means = np.eye(3, dtype=np.float32)
    routes = route(class_mean_index(means), means[:1], 3, params=excluding({1, 2}, 3))
    np.testing.assert_array_equal(routes.rows, [[0, -1, -1]])
    assert routes.scores[0, 1] == -np.inf


def test_nothing_to_search_or_to_find() -> None:
    empty = np.empty((0, 8), np.float32)
    assert route(class_mean_index(empty), np.ones((2, 8), np.float32), 3).rows.shape == (2, 0)
    assert route(class_mean_index(np.eye(8, dtype=np.float32)), empty, 3).rows.shape == (0, 0)
