from pathlib import Path

import numpy as np
import pytest

from tests.training.evaluation.galleries import photographed
from training.searching.probes import NAMES, Probes, probe_sets
from training.searching.search import Enrolled
from training.stores.format import HARD_KINDS, Kind


def test_every_kind_that_is_tested_has_a_name() -> None:
    assert set(NAMES) == {Kind.ORIGINAL, *HARD_KINDS}
    assert len(set(NAMES.values())) == len(NAMES)


def test_probes_are_the_rows_with_the_place_of_their_class(tmp_path: Path) -> None:
    store = photographed(tmp_path / "store", [3, 3, 3, 3])
    enrolled = Enrolled.of(store, store.labels % 2 == 1)
    rows = np.isin(store.labels, [0, 3])
    probes = Probes.of(store, rows, enrolled)
    assert len(probes) == 24
    assert probes.templates.dtype == np.float32
    np.testing.assert_array_equal(probes.templates, store.vectors[rows])
    np.testing.assert_array_equal(probes.quality, store.quality[rows])
    assert set(zip(store.labels[rows].tolist(), probes.true.tolist(), strict=True)) == {
        (0, -1),
        (3, 1),
    }
    part = probes[5:20]
    assert len(part) == 15
    np.testing.assert_array_equal(part.templates, probes.templates[5:20])
    np.testing.assert_array_equal(part.true, probes.true[5:20])
    np.testing.assert_array_equal(part.quality, probes.quality[5:20])


def test_sets_are_by_kind_and_none_is_empty(tmp_path: Path) -> None:
    store = photographed(tmp_path / "store", [3, 3, 3, 3])
    enrolled = Enrolled.of(store, store.originals)
    rows = (store.labels != 2) & ~((store.kinds == Kind.HARD_COVER) & (store.labels < 3))
    sets = probe_sets(store, rows, enrolled)
    assert {name: len(probes) for name, probes in sets.items()} == {
        "clean": 9,
        "24 px": 9,
        "half covered": 3,
    }
    assert next(iter(sets)) == "clean"
    assert probe_sets(store, store.kinds == Kind.DEGRADED, enrolled) == {}


def test_of_many_rows_some_all_over_the_store_are_probes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = photographed(tmp_path / "store", [3] * 20)
    enrolled = Enrolled.of(store, store.originals)
    assert len(Probes.of(store, store.originals, enrolled)) == 60
    monkeypatch.setattr("training.searching.probes.MOST_PROBES", 25)
    probes = Probes.of(store, store.originals, enrolled)
    assert len(probes) == len(np.unique(probes.templates, axis=0)) == 25
    assert set(probes.true.tolist()) == set(range(20))
