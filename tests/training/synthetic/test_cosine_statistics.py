from pathlib import Path

import numpy as np
import pytest

from tests.training.small_stores import batch_of, store_of
from training.stores.format import Kind
from training.synthetic.cosine_statistics import LEVELS, compare, cosine_quantiles


def test_they_agree_with_all_pairs(tmp_path: Path) -> None:
    subjects = [f"s{number % 20}" for number in range(80)]
    store = store_of(tmp_path / "store", [batch_of(subjects)])
    rows = np.flatnonzero(store.kinds == Kind.ORIGINAL)
    mated, non_mated = [], []
    for left in rows:
        for right in rows:
            cosine = float(store.vectors[left].astype(float) @ store.vectors[right].astype(float))
            if store.labels[left] != store.labels[right]:
                non_mated.append(cosine)
            elif left != right:
                mated.append(cosine)
    found = cosine_quantiles(store, seed=0)
    np.testing.assert_allclose(found.mated, np.quantile(mated, LEVELS), atol=0.03)
    np.testing.assert_allclose(found.non_mated, np.quantile(non_mated, LEVELS), atol=0.03)


def test_a_store_is_as_itself_and_not_as_another(tmp_path: Path) -> None:
    one = store_of(tmp_path / "one", [batch_of(["a", "a", "b", "b"])])
    other = store_of(tmp_path / "other", [batch_of(["a", "a", "b", "b"], seed=1)])
    same = compare(one, one, seed=0)
    assert same.largest_mated_difference == same.largest_non_mated_difference == 0
    different = compare(one, other, seed=0)
    assert min(different.largest_mated_difference, different.largest_non_mated_difference) > 0.01


@pytest.mark.parametrize("subjects", [["a", "a"], ["a", "b"]])
def test_a_store_without_pairs_is_refused(tmp_path: Path, subjects: list[str]) -> None:
    with pytest.raises(ValueError, match="no mated or no non-mated pair"):
        cosine_quantiles(store_of(tmp_path / "store", [batch_of(subjects)]), seed=0)
