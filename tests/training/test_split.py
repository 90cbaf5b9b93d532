from pathlib import Path

import numpy as np

from tests.training.people import people
from tests.training.small_stores import store_of, unit_rows
from training.split import Split, places_at_random
from training.stores.format import Kind
from training.stores.writer import Batch


def test_no_picture_nor_copy_of_it_has_two_roles(tmp_path: Path) -> None:
    store = people(tmp_path / "store", 12)
    split = Split.of(store, seed=0)
    roles = [split.training, split.validation, split.test]
    for number, role in enumerate(roles):
        for other in roles[number + 1 :]:
            assert not set(store.sources[role]) & set(store.sources[other])
    # Five pictures with a degraded copy each: 3 + 3 rows to train, 1 + 1 to validate, 1 to test.
    for label in range(12):
        own = store.labels == label
        assert [int((own & role).sum()) for role in roles] == [6, 2, 1]


def test_each_kind_has_only_the_roles_that_it_is_for(tmp_path: Path) -> None:
    kinds = np.array(list(Kind), np.uint8)
    pictures = 6
    batch = Batch(
        subject_ids=["one"] * (pictures * len(kinds)),
        vectors=unit_rows(np.random.default_rng(0), pictures * len(kinds), 8),
        kinds=np.tile(kinds, pictures),
        sources=np.repeat(np.arange(pictures, dtype=np.int32), len(kinds)),
        quality=np.ones(pictures * len(kinds), np.float32),
    )
    store = store_of(tmp_path / "store", [batch])
    split = Split.of(store, seed=0)
    assert set(store.kinds[split.training]) == {Kind.ORIGINAL, Kind.AUGMENTED, Kind.DEGRADED}
    assert set(store.kinds[split.validation]) == {Kind.ORIGINAL, Kind.DEGRADED}
    assert set(store.kinds[split.test]) == set(Kind) - {Kind.AUGMENTED, Kind.DEGRADED}


def test_how_many_are_held_out_follows_from_how_many_there_are(tmp_path: Path) -> None:
    counts = [1] * 20 + [2] * 100 + [3] * 20 + [4] * 20 + [5] * 20 + [40] * 3
    subjects = [f"{number} of {count}" for number, count in enumerate(counts) for _ in range(count)]
    batch = Batch(
        subject_ids=subjects,
        vectors=unit_rows(np.random.default_rng(0), len(subjects), 8),
        kinds=np.zeros(len(subjects), np.uint8),
        sources=np.arange(len(subjects), dtype=np.int32),
        quality=np.ones(len(subjects), np.float32),
    )
    store = store_of(tmp_path / "store", [batch])
    split = Split.of(store, seed=3)
    held_out: dict[int, set[tuple[int, int]]] = {}
    of_two = 0
    for label, count in enumerate(counts):
        own = store.labels == label
        found = int(split.test[own].sum()), int(split.validation[own].sum())
        of_two += count == 2 and found == (0, 1)
        held_out.setdefault(count, set()).add(found)
    assert held_out == {
        1: {(0, 0)},
        2: {(0, 0), (0, 1)},
        3: {(0, 1)},
        4: {(0, 1)},
        5: {(1, 1)},
        40: {(5, 5)},
    }
    assert 35 < of_two < 65
    assert not (Split.of(store, seed=4).test == split.test).all()


def test_places_count_up_within_each_label() -> None:
    labels = np.array([3, 1, 3, 3, 1], np.int32)
    places = places_at_random(labels, seed=0)
    assert sorted(places[labels == 3]) == [0, 1, 2]
    assert sorted(places[labels == 1]) == [0, 1]
