from pathlib import Path

import numpy as np

from tests.training.small_stores import unit_rows
from training.embedding.negatives import Negatives


def test_negatives_are_read_as_they_were_written(tmp_path: Path) -> None:
    templates = unit_rows(np.random.default_rng(0), 3, 8)
    written = Negatives(templates, np.array(["a", "b", "a"]))
    written.write(tmp_path / "negatives.npz")
    read = Negatives.read(tmp_path / "negatives.npz", 8)
    np.testing.assert_array_equal(read.templates, templates)
    assert read.subject_ids.tolist() == ["a", "b", "a"]
    assert len(read) == 3
    assert read.labels(("b", "c", "a")).tolist() == [2, 0, 2]
    assert read.labels(("b", "c")).tolist() == [-1, 0, -1]


def test_without_a_file_there_are_none(tmp_path: Path) -> None:
    none = Negatives.read(tmp_path / "negatives.npz", 8)
    assert len(none) == 0
    assert none.templates.shape == (0, 8)
    assert none.labels(("a",)).tolist() == []
