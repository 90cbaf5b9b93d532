from hashlib import blake2b
from pathlib import Path

import numpy as np

from tests.training.people import people
from tests.training.small_stores import store_of, unit_rows
from training.split import Split, places_by_lot
from training.stores.format import Kind
from training.stores.store import EmbeddingStore
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
    vectors = unit_rows(np.random.default_rng(0), 5, 8).astype(np.float16)
    places = places_by_lot(vectors, labels, seed=0)
    assert sorted(places[labels == 3]) == [0, 1, 2]
    assert sorted(places[labels == 1]) == [0, 1]
    # The slow twin: a row after the other, by the hash of its bytes.
    lots = [
        blake2b(vector.tobytes(), digest_size=8, key=bytes(16)).digest()[::-1] for vector in vectors
    ]
    for row, label in enumerate(labels):
        own = sorted(lots[other] for other in np.flatnonzero(labels == label))
        assert places[row] == own.index(lots[row])


def roles(store: EmbeddingStore) -> dict[tuple[str, bytes], str]:
    """Role of each original, by its subject and its template."""
    split = Split.of(store, seed=5)
    return {
        (store.subject_ids[store.labels[row]], store.vectors[row].tobytes()): (
            "test" if split.test[row] else "validation" if split.validation[row] else "training"
        )
        for row in np.flatnonzero(store.originals)
    }


def with_pictures(folder: Path, counts: dict[str, int]) -> EmbeddingStore:
    """Subjects with so many pictures; the k-th picture of one is the same in every store."""
    subjects = [name for name, count in counts.items() for _ in range(count)]
    vectors = [
        unit_rows(np.random.default_rng(list(name.encode())), count, 8)
        for name, count in counts.items()
    ]
    batch = Batch(
        subject_ids=subjects,
        vectors=np.concatenate(vectors),
        kinds=np.zeros(len(subjects), np.uint8),
        sources=np.arange(len(subjects), dtype=np.int32),
        quality=np.ones(len(subjects), np.float32),
    )
    return store_of(folder, [batch])


def test_roles_stay_when_others_come_and_go(tmp_path: Path) -> None:
    counts = {f"subject {number}": number % 12 + 1 for number in range(60)}
    before = roles(with_pictures(tmp_path / "before", counts))
    others = dict(reversed(list(counts.items())[7:])) | {"new": 9, "newer": 2}
    after = roles(with_pictures(tmp_path / "after", others))
    for picture, role in after.items():
        if picture[0] in counts:
            assert role == before[picture]


def test_what_was_trained_on_is_not_tested_once_a_subject_has_one_more(tmp_path: Path) -> None:
    counts = {f"subject {number}": number % 12 + 3 for number in range(120)}
    before = roles(with_pictures(tmp_path / "before", counts))
    more = {name: count + 1 for name, count in counts.items()}
    after = roles(with_pictures(tmp_path / "after", more))
    moves = {(before[picture], after[picture]) for picture in before}
    assert ("training", "test") not in moves
    assert ("test", "validation") in moves
