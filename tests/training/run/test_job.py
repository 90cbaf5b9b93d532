from pathlib import Path

import numpy as np
import pytest

from tests.training.run.jobs import job_of
from training.run.refused import RunRefused
from training.stores.format import StoreInvalid


def test_a_job_has_a_verified_store_and_its_split(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    assert len(job.store.subject_ids) == 18
    # Of five pictures of each, one is to validate and one to test.
    assert (job.split.validation & job.store.originals).sum() == 18
    assert (job.split.test & job.store.originals).sum() == 18
    assert not (job.split.training & job.split.test).any()


def test_without_a_store_it_says_how_to_make_one(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    (tmp_path / "store").rename(tmp_path / "other")
    with pytest.raises(RunRefused, match=r"store: there is no store yet; run .* embed"):
        _ = job.store


def test_a_damaged_store_is_refused_by_its_file(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    file = tmp_path / "store" / "vectors.f16"
    vectors = np.fromfile(file, "<f2")
    vectors[5] = np.nan
    vectors.tofile(file)
    with pytest.raises(StoreInvalid, match=r"vectors\.f16"):
        _ = job.store
