"""Searches with a bundle, against a twin that looks at every subject one at a time."""

from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest

from models.arrays import Floats
from models.class_means import class_means
from models.fusion import Fusion
from models.pre_selection import VOTERS, clusters_to_search, vote_shares
from models.search import Search
from tests.models.trained_galleries import DIMENSION, FUSION, Drawn, draw, gallery_of, near
from tests.training.small_stores import unit_rows


@dataclass
class SlowGallery:
    """Everybody, in dictionaries."""

    drawn: Drawn
    subjects: dict[UUID, Floats]
    live: set[UUID]

    def search(
        self, probe: Floats, quality: float, *, without: UUID | None = None
    ) -> tuple[list[tuple[UUID, float]], list[int]]:
        """All subjects of the searched clusters by fused score, and those clusters."""
        bundle = self.drawn.trained.bundle
        fusion = self.drawn.trained.fusion
        means, placed = {}, {}
        for subject, samples in self.subjects.items():
            if subject == without:
                continue
            if subject in self.live:
                [means[subject]] = class_means(samples, np.array([0, len(samples)]))
                nearest = int((bundle.class_means.astype(np.float32) @ means[subject]).argmax())
                placed[subject] = self.drawn.clusters[UUID(bundle.id_of(nearest))]
            else:
                [row] = bundle.rows_of([str(subject)])
                means[subject] = bundle.class_means[row].astype(np.float32)
                placed[subject] = self.drawn.clusters[subject]
        votes = sorted(
            (
                (float(mean @ probe), cluster)
                for subject, mean in means.items()
                for cluster in placed[subject]
            ),
            key=lambda vote: -vote[0],
        )[:VOTERS]
        shares = vote_shares(
            np.array([[cosine for cosine, _ in votes]], np.float32),
            np.array([[cluster for _, cluster in votes]]),
            bundle.cluster_count,
        )
        searched = np.flatnonzero(clusters_to_search(shares, fusion.needed_share)[0]).tolist()
        scored = []
        for subject, mean in means.items():
            own = [cluster for cluster in placed[subject] if cluster in searched]
            if not own:
                continue
            by_mean = float(mean @ probe)
            by_subnet = by_mean
            if subject not in self.live:
                by_subnet = max(
                    float(self.drawn.weights[cluster, subject] @ probe) for cluster in own
                )
            samples = self.subjects[subject]
            cosines = np.array([[[by_subnet, by_mean, float((samples @ probe).max())]]], np.float32)
            [[score]] = fusion.scores(
                cosines, np.array([[len(samples)]]), np.array([quality], np.float32)
            )
            scored.append((subject, float(score)))
        return sorted(scored, key=lambda pair: -pair[1]), searched


def assert_same(found: Search, expected: tuple[list[tuple[UUID, float]], list[int]]) -> None:
    listed, searched = expected
    listed = listed[: len(found.candidates)]
    assert sorted(found.routing.clusters) == searched
    np.testing.assert_allclose(
        [each.score for each in found.candidates], [score for _, score in listed], atol=2e-5
    )
    assert [each.subject_id for each in found.candidates] == [subject for subject, _ in listed]


@pytest.fixture
def drawn(tmp_path: Path) -> Drawn:
    return draw(tmp_path, np.random.default_rng(0))


@pytest.mark.parametrize("quality", [0.2, 0.9])
def test_search_agrees_with_one_subject_at_a_time(drawn: Drawn, quality: float) -> None:
    rng = np.random.default_rng(1)
    newcomers = {uuid4(): unit_rows(rng, 2, DIMENSION) for _ in range(12)}
    changed = set(list(drawn.subjects)[:4])
    deleted = set(list(drawn.subjects)[4:8])
    subjects = {
        subject: samples for subject, samples in drawn.subjects.items() if subject not in deleted
    } | newcomers
    slow = SlowGallery(drawn, subjects, changed | set(newcomers))
    gallery = gallery_of(subjects, drawn.trained, changed)
    probes = np.concatenate(
        [near(rng, np.stack([rows[0] for rows in subjects.values()]), 0.8), unit_rows(rng, 20, 16)]
    )
    for probe, found in zip(
        probes, gallery.search(probes, np.full(len(probes), quality, np.float32), 5), strict=True
    ):
        assert_same(found, slow.search(probe, quality))


def test_a_subject_that_is_left_out_neither_votes_nor_is_found(drawn: Drawn) -> None:
    gallery = gallery_of(drawn.subjects, drawn.trained)
    slow = SlowGallery(drawn, drawn.subjects, set())
    ids = list(drawn.subjects)
    probes = np.stack([samples[0] for samples in drawn.subjects.values()])
    others_vote = 0
    with_all = gallery.search(probes, np.ones(len(probes), np.float32), 5)
    for subject, probe, found, mated in zip(
        ids,
        probes,
        gallery.search(probes, np.ones(len(probes), np.float32), 5, without=ids),
        with_all,
        strict=True,
    ):
        assert subject not in [each.subject_id for each in found.candidates]
        assert_same(found, slow.search(probe, 1.0, without=subject))
        others_vote += found.routing.clusters != mated.routing.clusters
    assert others_vote > 0


def test_only_the_clusters_that_win_the_vote_are_run(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    narrow = replace(FUSION, needed_share=0.0)
    drawn = draw(tmp_path, rng, clusters=4, overlapping=0, fusion=narrow)
    gallery = gallery_of(drawn.subjects, drawn.trained)
    subject, samples = next(iter(drawn.subjects.items()))
    [found] = gallery.search(samples[:1], np.ones(1, np.float32), 50)
    assert list(found.routing.clusters) == drawn.clusters[subject]
    assert drawn.trained.subnets.loaded_count == 1
    assert found.routing.vote_share is not None
    assert 0 < found.routing.vote_share <= 1
    assert {tuple(drawn.clusters[each.subject_id]) for each in found.candidates} == {
        tuple(drawn.clusters[subject])
    }


def test_a_subnet_finds_whom_the_class_means_do_not(tmp_path: Path) -> None:
    """A probe far from the mean of its class, but at the weight that the class was trained to."""
    rng = np.random.default_rng(4)
    by_subnet = Fusion(1.0, np.tile(np.array([1, 0, 0], np.float32), (2, 2, 1)))
    drawn = draw(tmp_path, rng, classes=400, clusters=1, overlapping=0, fusion=by_subnet)
    gallery = gallery_of(drawn.subjects, drawn.trained)
    for (_, subject), weight in list(drawn.weights.items())[:50]:
        [found] = gallery.search(weight[None], np.ones(1, np.float32), 1)
        assert found.candidates[0].subject_id == subject
        assert found.candidates[0].score == pytest.approx(1, abs=1e-4)


def test_where_a_candidate_comes_from_is_told(drawn: Drawn) -> None:
    newcomer, rows = uuid4(), unit_rows(np.random.default_rng(5), 1, DIMENSION)
    gallery = gallery_of(drawn.subjects | {newcomer: rows}, drawn.trained)
    [found] = gallery.search(rows, np.ones(1, np.float32), 5)
    assert [each.source for each in found.candidates[:2]] == ["live", "bundle"]
    without_bundle = gallery_of(drawn.subjects)
    [found] = without_bundle.search(rows, np.ones(1, np.float32), 5)
    assert {each.source for each in found.candidates} == {"live"}
    assert found.routing.clusters == ()
    assert found.routing.vote_share is None


def test_nobody_is_near_when_all_have_gone(drawn: Drawn) -> None:
    gallery = gallery_of({}, drawn.trained)
    assert len(gallery) == 0
    [found] = gallery.search(unit_rows(np.random.default_rng(6), 1, 16), np.ones(1, np.float32), 5)
    assert found.candidates == ()
    assert found.routing.clusters == ()
