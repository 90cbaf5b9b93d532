from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.fusion import Fusion
from models.pre_selection import MOST_CLUSTERS, SHARPNESS, VOTERS, clusters_to_search
from tests.training.evaluation.galleries import Gallery, gallery_of
from training.calibration.evidence import CANDIDATES, Evidence
from training.searching.probes import Probes
from training.searching.search import Nets

FUSION = Fusion(0.9, np.tile(np.array([0.5, 0.3, 0.2], np.float32), (2, 2, 1)))


@pytest.fixture(scope="module", params=[False, True], ids=["apart", "overlapping"])
def gallery(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Gallery:
    """A hundred classes in five clusters."""
    folder = tmp_path_factory.mktemp("gallery")
    pictures = [2, 3, 5, 8] * 25
    return gallery_of(folder, pictures, target_size=20, overlap=request.param, spread=1.0)


@pytest.fixture(scope="module")
def probes(gallery: Gallery) -> Probes:
    return Probes.of(gallery.store, gallery.split.validation, gallery.enrolled)


@pytest.fixture(scope="module")
def evidence(gallery: Gallery, probes: Probes) -> Evidence:
    return Evidence.of(gallery.enrolled, gallery.nets, probes)


def slow_vote(nets: Nets, means: NDArray[np.float64]) -> list[float]:
    """Share before each cluster, by one pair of class and cluster after the other."""
    pairs = zip(nets.placement.classes, nets.placement.clusters, strict=True)
    voters = sorted(((means[label], cluster) for label, cluster in pairs), reverse=True)[:VOTERS]
    votes = [0.0] * nets.placement.cluster_count
    for cosine, cluster in voters:
        votes[cluster] += np.exp(SHARPNESS * cosine)
    # The cluster of the nearest class leads: of several, the one with more votes.
    highest = max(cosine for cosine, _ in voters)
    leading = max((votes[cluster], cluster) for cosine, cluster in voters if cosine == highest)[1]
    votes[leading] = max(votes) * (1 + 1e-6)
    before = [np.inf] * len(votes)
    held = 0.0
    for cluster in sorted(range(len(votes)), key=lambda each: -votes[each])[:MOST_CLUSTERS]:
        before[cluster] = held
        held += votes[cluster] / sum(votes)
    return before


def test_it_agrees_with_one_probe_at_a_time(
    gallery: Gallery, probes: Probes, evidence: Evidence
) -> None:
    nets, enrolled = gallery.nets, gallery.enrolled
    assert len(enrolled.classes) > VOTERS
    # Two pairs of one class are alike to the bit: which of them is the last to vote is open.
    overlap = len(nets.placement.classes) > len(enrolled.classes)
    last_vote = 5e-3 if overlap else 1e-5
    subnets = nets.over_classes(nets.cosines(probes.templates))
    means = enrolled.mean_cosines(probes.templates)
    samples = enrolled.best_sample_cosines(probes.templates)
    assert len(evidence) == len(probes) == len(means)
    assert evidence.cosines.shape == (len(probes), CANDIDATES, 3)
    np.testing.assert_array_equal(evidence.quality, probes.quality)
    for probe in range(len(probes)):
        mate = int(probes.true[probe])
        own_means = means[probe].astype(np.float64)
        before = slow_vote(nets, own_means)
        np.testing.assert_allclose(
            evidence.ahead[probe], sorted(before)[:MOST_CLUSTERS], atol=last_vote
        )
        own_means[mate] = -np.inf
        without = slow_vote(nets, own_means)
        found = {}
        for label in range(len(enrolled.classes)):
            own = nets.placement.clusters_of(label)
            places = min(before[cluster] for cluster in own), min(without[c] for c in own)
            cosines = subnets[probe, label], means[probe, label], samples[probe, label]
            if min(places) < np.inf or label == mate:
                found[label] = (max(cosines) if label != mate else np.inf, cosines, places)
        chosen = sorted(found, key=lambda label: -found[label][0])[:CANDIDATES]
        assert chosen[0] == mate
        np.testing.assert_array_equal(evidence.cosines[probe], [found[c][1] for c in chosen])
        np.testing.assert_allclose(
            evidence.share_before[probe], [found[c][2][0] for c in chosen], atol=last_vote
        )
        np.testing.assert_allclose(
            evidence.share_before_without[probe],
            [found[c][2][1] for c in chosen],
            atol=last_vote,
        )
        np.testing.assert_array_equal(
            evidence.sample_counts[probe], enrolled.sample_counts()[chosen]
        )


def test_who_is_searched_is_as_a_search_has_it(
    gallery: Gallery, probes: Probes, evidence: Evidence
) -> None:
    means = gallery.enrolled.mean_cosines(probes.templates)
    shares = gallery.nets.shares(means)
    widths = set()
    for needed in (0.0, 0.5, 0.9, 0.999, 1.0):
        searched = clusters_to_search(shares, needed)
        np.testing.assert_array_equal(evidence.clusters_searched(needed), searched.sum(axis=1))
        widths.update(searched.sum(axis=1).tolist())
        for probe, mate in enumerate(probes.true):
            is_searched = searched[probe, gallery.nets.placement.clusters_of(mate)].any()
            assert evidence.searched(needed)[probe, 0] == is_searched
    assert widths == {1, 2, 3}


def test_scores_are_fused_and_the_mate_can_be_left_out(evidence: Evidence) -> None:
    everyone = FUSION.scores(evidence.cosines, evidence.sample_counts, evidence.quality)
    mated, without = evidence.scores(FUSION), evidence.scores_without(FUSION)
    searched = (evidence.share_before == 0) | (evidence.share_before < FUSION.needed_share)
    np.testing.assert_array_equal(mated, np.where(searched, everyone, -np.inf))
    assert (without[:, 0] == -np.inf).all()
    other = evidence.share_before_without[:, 1:]
    searched = (other == 0) | (other < FUSION.needed_share)
    np.testing.assert_array_equal(without[:, 1:], np.where(searched, everyone[:, 1:], -np.inf))
    # The vote without the mate is another one, so that others are searched.
    assert (np.isfinite(mated[:, 1:]) != np.isfinite(without[:, 1:])).any()


def test_everywhere_leaves_nobody_out_but_the_mate(evidence: Evidence) -> None:
    everywhere = evidence.everywhere()
    narrow = Fusion(0.0, FUSION.weights)
    assert np.isfinite(everywhere.scores(narrow)).all()
    assert np.isfinite(everywhere.scores_without(narrow)[:, 1:]).all()
    assert not np.isfinite(evidence.scores(narrow)).all()


def test_parts_joined_are_the_whole(evidence: Evidence) -> None:
    first = np.arange(len(evidence)) < 7
    joined = Evidence.joined([evidence.where(first), evidence.where(~first)])
    assert len(evidence.where(first)) == 7
    for field in fields(Evidence):
        np.testing.assert_array_equal(getattr(joined, field.name), getattr(evidence, field.name))


def test_blocks_change_nothing(
    gallery: Gallery, probes: Probes, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.searching.search.BLOCK_SCORES", 2_000)
    again = Evidence.of(gallery.enrolled, gallery.nets, probes)
    for field in fields(Evidence):
        np.testing.assert_allclose(
            getattr(again, field.name), getattr(evidence, field.name), atol=5e-3
        )


def test_a_small_gallery_has_as_many_candidates_as_subjects(tmp_path: Path) -> None:
    small = gallery_of(tmp_path, [5, 5, 5, 5], target_size=1)
    probes = Probes.of(small.store, small.split.validation, small.enrolled)
    evidence = Evidence.of(small.enrolled, small.nets, probes)
    assert evidence.cosines.shape == (8, 4, 3)
    # Four clusters, of which at most three are searched.
    assert evidence.searched(1.0).sum(axis=1).max() == 3
    assert np.isfinite(evidence.scores_without(FUSION)).any(axis=1).all()
