from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from models.bundle import Bundle
from tests.training.retraining.galleries import CLUSTERS, SIZE, active, class_means, subject
from training.clusters.bounded_assignment import SizeBounds
from training.retraining.changes import Changes
from training.retraining.refresh import Full, Refresh, plan_refresh

KNOWN = range(CLUSTERS * SIZE)
BOUNDS = SizeBounds(smallest=10, largest=40)


def plan(
    bundle: Bundle,
    present: Sequence[int] = KNOWN,
    *,
    rejected: tuple[int, ...] = (),
    bounds: SizeBounds = BOUNDS,
    **changes: tuple[int, ...],
) -> Refresh | Full:
    """Of the subjects that are there now, and what has happened to which, by the feed's kinds."""
    kinds: dict[str, frozenset[str]] = {}
    for kind, numbers in changes.items():
        for number in numbers:
            kinds[subject(number)] = kinds.get(subject(number), frozenset()) | {kind}
    return plan_refresh(
        bundle,
        tuple(subject(number) for number in present),
        class_means(max(present) + 1)[np.array(present)],
        Changes(kinds),
        {subject(number) for number in rejected},
        bounds,
    )


def refreshed(*arguments: object, **options: object) -> Refresh:
    found = plan(*arguments, **options)  # type: ignore[arg-type]
    assert isinstance(found, Refresh), found
    return found


def test_without_changes_everything_stays(tmp_path: Path) -> None:
    found = refreshed(active(tmp_path, imprinted=(4,), carried=(0, 1, 0, 0)))
    assert found.trained == {}
    assert found.clusters.tolist() == [number % CLUSTERS for number in KNOWN]
    assert found.rows.tolist() == list(KNOWN)
    assert np.flatnonzero(found.imprinted).tolist() == [4]
    assert not found.printed.any()
    assert found.carried == [0, 1, 0, 0]


def test_newcomers_join_the_nearest_cluster_and_are_imprinted(tmp_path: Path) -> None:
    found = refreshed(active(tmp_path), range(CLUSTERS * SIZE + 3))
    assert found.clusters[-3:].tolist() == [0, 1, 2]
    assert found.rows[-3:].tolist() == [-1, -1, -1]
    assert np.flatnonzero(found.imprinted).tolist() == [120, 121, 122]
    assert np.flatnonzero(found.printed).tolist() == [120, 121, 122]
    assert found.trained == {}


def test_a_full_cluster_sends_newcomers_to_the_next_nearest(tmp_path: Path) -> None:
    present = [*KNOWN, 120, 124]
    found = refreshed(active(tmp_path), present, bounds=SizeBounds(10, 31))
    means = class_means(125)
    others = [means[number:120:CLUSTERS].sum(axis=0) for number in range(1, CLUSTERS)]
    nearest = 1 + int(np.argmax([means[124] @ each / np.linalg.norm(each) for each in others]))
    assert found.clusters[-2:].tolist() == [0, nearest]


@pytest.mark.parametrize("how", ["gone", "sample_deleted"])
def test_erasure_reaches_the_weights_that_were_trained_with_the_subject(
    tmp_path: Path, how: str
) -> None:
    bundle = active(tmp_path, imprinted=(6,))
    # Nobody's weight was trained with subject 6 of cluster 2.
    if how == "gone":
        found = refreshed(bundle, [number for number in KNOWN if number not in (5, 6)])
        assert len(found.clusters) == 118
    else:
        found = refreshed(bundle, sample_deleted=(5, 6))
        assert np.flatnonzero(found.printed).tolist() == [6]
    assert found.trained == {1: "1 that it was trained with deleted or reduced"}


def test_a_rejection_trains_its_cluster_and_a_confirmation_only_counts(tmp_path: Path) -> None:
    bundle = active(tmp_path)
    found = refreshed(bundle, rejected=(3, 4), feedback_given=(3, 6))
    assert found.trained == {3: "1 with rejected answers"}
    assert found.carried == [0, 0, 1, 0]


def test_a_cluster_is_trained_once_too_many_of_it_are_others(tmp_path: Path) -> None:
    # One in thirty is below a share of 0.05, two are above.
    one = refreshed(active(tmp_path / "a"), samples_added=(0,))
    assert one.trained == {}
    assert one.carried == [1, 0, 0, 0]
    assert not one.imprinted.any()
    two = refreshed(active(tmp_path / "b"), samples_added=(0, 4))
    assert two.trained == {0: "2 of 30 new or changed"}
    assert two.carried == [0, 0, 0, 0]
    earlier = refreshed(active(tmp_path / "c", carried=(0, 1, 0, 0)), samples_added=(1,))
    assert earlier.trained == {1: "2 of 30 new or changed"}
    both = refreshed(active(tmp_path / "d", imprinted=(2,)), [*KNOWN, 122])
    assert both.trained == {2: "2 of 31 new or changed"}
    # Trained again, nobody there is imprinted.
    assert not both.imprinted.any()


def test_an_imprinted_subject_counts_once_however_much_changes(tmp_path: Path) -> None:
    found = refreshed(active(tmp_path, imprinted=(2,)), samples_added=(2,))
    assert found.trained == {}
    assert np.flatnonzero(found.printed).tolist() == [2]
    assert found.carried == [0, 0, 0, 0]


def test_names_and_metadata_do_not_count(tmp_path: Path) -> None:
    found = refreshed(active(tmp_path), subject_updated=tuple(KNOWN))
    assert found.trained == {}
    assert found.carried == [0, 0, 0, 0]


def test_when_all_is_to_be_trained_it_says_why(tmp_path: Path) -> None:
    bundle = active(tmp_path)
    assert plan(bundle, [*KNOWN, 120], bounds=SizeBounds(10, 30)) == Full(
        "the clusters have no room for all new subjects"
    )
    assert plan(bundle, bounds=SizeBounds(10, 29)) == Full(
        "the clusters have no room for all new subjects"
    )
    few = [number for number in KNOWN if number % CLUSTERS != 1 or number < 20]
    assert plan(bundle, few) == Full("a cluster has 5 subjects, fewer than 10")
    assert plan(bundle, sample_deleted=(0, 1, 2)) == Full("3 of 4 subnets would be trained again")
    assert isinstance(plan(bundle, sample_deleted=(0, 1)), Refresh)
