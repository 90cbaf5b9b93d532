from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.people import last_originals, people
from training.clusters.class_means import class_means
from training.embedding.negatives import Negatives
from training.stores.format import Kind
from training.subnets.rows import SubnetRows

CLASSES = np.array([1, 4, 5], np.int32)


def test_a_subnet_gets_its_classes_rows_and_no_copy_of_a_validation_picture(
    tmp_path: Path,
) -> None:
    store = people(tmp_path / "store", 6)
    validation = last_originals(store)
    rows = SubnetRows.of(store, CLASSES, training=~validation, validation=validation)
    # Of each person three originals and their copies; pictures 3 and 4 are validated on.
    wanted = [10 * label + place for label in CLASSES for place in (0, 1, 2, 5, 6, 7)]
    np.testing.assert_array_equal(rows.templates, store.vectors[wanted].astype(np.float32))
    np.testing.assert_array_equal(rows.labels, np.repeat([0, 1, 2], 6))
    held_out = [10 * label + place for label in CLASSES for place in (3, 4)]
    np.testing.assert_array_equal(rows.validation_templates, store.vectors[held_out])
    np.testing.assert_array_equal(rows.validation_labels, np.repeat([0, 1, 2], 2))
    means = class_means(store, within=~validation)[CLASSES]
    np.testing.assert_allclose(rows.class_means, means, atol=1e-6)


def test_rows_that_are_in_neither_part_are_not_used(tmp_path: Path) -> None:
    store = people(tmp_path / "store", 6)
    validation = last_originals(store)
    first = np.arange(len(store)) % 10 == 0
    rows = SubnetRows.of(store, CLASSES, training=first, validation=validation)
    np.testing.assert_array_equal(rows.labels, [0, 1, 2])


def test_a_row_in_both_parts_is_not_trained_on(tmp_path: Path) -> None:
    store = people(tmp_path / "store", 6)
    validation = last_originals(store)
    both = SubnetRows.of(store, CLASSES, training=validation | True, validation=validation)
    apart = SubnetRows.of(store, CLASSES, training=~validation, validation=validation)
    np.testing.assert_array_equal(both.templates, apart.templates)


def test_hard_probes_are_never_trained_on(tmp_path: Path) -> None:
    store = people(tmp_path / "store", 6)
    validation = last_originals(store)
    kinds = np.array(store.kinds)
    kinds[47] = Kind.HARD_JPEG
    store = replace(store, kinds=kinds)
    training = ~validation
    with pytest.raises(ValueError, match="row 47 is a hard_jpeg probe"):
        SubnetRows.of(store, CLASSES, training=training, validation=validation)
    training[47] = False
    SubnetRows.of(store, CLASSES, training=training, validation=validation)


def test_what_cannot_be_trained_on_is_refused(tmp_path: Path) -> None:
    store = people(tmp_path / "store", 6)
    validation = last_originals(store)
    augmented = np.array(store.kinds)
    augmented[7] = Kind.AUGMENTED
    with pytest.raises(ValueError, match="row 7 is augmented"):
        SubnetRows.of(
            replace(store, kinds=augmented),
            CLASSES,
            training=~validation,
            validation=np.arange(len(store)) == 7,
        )
    without_five = ~validation & ((store.labels != 5) | ~store.originals)
    with pytest.raises(ValueError, match="'person 05' has no original"):
        SubnetRows.of(store, CLASSES, training=without_five, validation=validation)


def test_there_may_be_nothing_to_validate_on_and_degraded_copies_may(tmp_path: Path) -> None:
    store = people(tmp_path / "store", 6)
    none = np.zeros(len(store), np.bool_)
    assert not len(SubnetRows.of(store, CLASSES, training=~none, validation=none).validation_labels)
    pictures = np.isin(store.sources, store.sources[last_originals(store)])
    rows = SubnetRows.of(store, CLASSES, training=~none, validation=pictures)
    assert (len(rows.labels), len(rows.validation_labels)) == (3 * 6, 3 * 4)


def test_hard_negatives_go_to_the_class_that_they_are_not_of(tmp_path: Path) -> None:
    store = people(tmp_path / "store", 6)
    validation = last_originals(store)
    templates = store.vectors[[0, 10, 20, 30]].astype(np.float32)
    # Of a class of the subnet, of one of another subnet, of nobody in the store.
    subjects = np.array(["person 05", "person 02", "person 77", "person 01"])
    rows = SubnetRows.of(
        store,
        CLASSES,
        training=~validation,
        validation=validation,
        negatives=Negatives(templates, subjects),
    )
    np.testing.assert_array_equal(rows.negatives, templates[[0, 3]])
    np.testing.assert_array_equal(rows.negative_labels, [2, 0])
    without = SubnetRows.of(store, CLASSES, training=~validation, validation=validation)
    assert without.negatives.shape == (0, 8)
    assert len(without.negative_labels) == 0
