from uuid import uuid4

import numpy as np
import pytest

from benchmarks.synthetic_collection import SyntheticCollection, likely_model
from benchmarks.vaults import made_vault
from tests.training.small_stores import EMBEDDER
from training.embedding.gallery import GalleryUnreachable
from training.retraining.changes import Changes, read_changes
from vault.vault import KEY_BYTES

pytestmark = pytest.mark.slow  # it starts a server of its own


def test_the_feed_between_two_revisions_is_read(database_url: str) -> None:
    model = likely_model(EMBEDDER, 8)
    vault = made_vault(database_url, bytes(KEY_BYTES))
    SyntheticCollection(database_url, vault, model, seed=1).enrol(3, samples=1)
    collection = SyntheticCollection(database_url, vault, model, seed=0)
    old, gained, lost, gone, judged = collection.enrol(5, samples=2, spare=2)
    (new,) = collection.enrol(1, samples=1)
    collection.add_samples([gained])
    collection.add_samples([gained, lost])
    collection.delete_sample(lost)
    collection.delete_subjects([gone])
    collection.judge(judged, np.zeros(8, np.float32), "rejected")
    found = read_changes(database_url, collection.id, after=5, up_to=12)
    assert found.kinds == {
        str(new): {"subject_enrolled"},
        str(gained): {"samples_added"},
        str(lost): {"samples_added", "sample_deleted"},
        str(gone): {"subject_deleted"},
        str(judged): {"feedback_given"},
    }
    assert set(found.of_templates()) == {str(new), str(gained), str(lost)}
    assert set(found.having("subject_deleted", "feedback_given")) == {str(gone), str(judged)}
    some = read_changes(database_url, collection.id, after=6, up_to=8)
    assert set(some.kinds) == {str(gained)}
    assert read_changes(database_url, uuid4(), after=0, up_to=99) == Changes()
    assert str(old) not in found.kinds


def test_a_database_that_cannot_be_read_is_told() -> None:
    nowhere = "postgresql://nobody@localhost:1/nothing?connect_timeout=2"
    with pytest.raises(GalleryUnreachable, match="can't be read"):
        read_changes(nowhere, uuid4(), after=0, up_to=1)
