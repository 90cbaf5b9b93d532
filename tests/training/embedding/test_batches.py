from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from models.identifier import QueryPath
from tests.training.embedding.folders_of_pictures import PEOPLE, picture_folders
from training.embedding.batches import copies_of, embed_batch
from training.embedding.faces import rows_of, subject_face
from training.embedding.listing import EmbedSettings, listed_subjects
from training.embedding.skipped import Skipped


@pytest.mark.parametrize("pictures", range(1, 8))
@pytest.mark.parametrize("few", [0, 1, 3, 10])
def test_augmented_copies_bring_subjects_up_to_the_count(pictures: int, few: int) -> None:
    settings = EmbedSettings(few_pictures=few)
    counts = [copies_of(place, pictures, settings).augmented for place in range(pictures)]
    assert pictures + sum(counts) == max(few, pictures)
    assert max(counts) - min(counts) <= 1


def test_hard_probes_are_of_subjects_with_enough_pictures() -> None:
    assert not copies_of(0, 4, EmbedSettings()).hard
    assert copies_of(4, 5, EmbedSettings()).hard


@pytest.mark.slow
def test_rows_are_those_of_one_picture_after_the_other(tmp_path: Path) -> None:
    listed = listed_subjects(picture_folders(tmp_path, PEOPLE), min_images=1)
    path, settings = QueryPath.open(), EmbedSettings(seed=3, degraded=2)
    with ThreadPoolExecutor(3) as pool:
        batch, skipped = embed_batch(path, settings, listed, pool)
    assert skipped == [Skipped("Cat/0.jpg", "no_face")]
    subject_ids: list[str] = []
    sources: list[int] = []
    vectors, kinds, quality = [], [], []
    numbers = {"Astronaut": [0], "Biden": [1, 2], "Obama": [4, 5, 6, 7, 8]}
    for subject, of_subject in numbers.items():
        for place, number in enumerate(of_subject):
            face = subject_face(path, tmp_path / subject / f"{place}.jpg")
            copies = copies_of(place, len(of_subject), settings)
            rows = rows_of(path, face, copies, seed=3, name=f"{subject}/{place}.jpg")
            count = len(rows.kinds)
            subject_ids += [subject] * count
            sources += [number] * count
            vectors.append(rows.vectors)
            kinds.append(rows.kinds)
            quality.append(rows.quality)
    assert batch.subject_ids == subject_ids
    np.testing.assert_array_equal(batch.sources, sources)
    np.testing.assert_array_equal(batch.vectors, np.concatenate(vectors))
    np.testing.assert_array_equal(batch.kinds, np.concatenate(kinds))
    np.testing.assert_array_equal(batch.quality, np.concatenate(quality))
