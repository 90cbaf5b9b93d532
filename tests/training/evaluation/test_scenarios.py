import numpy as np
import pytest
from numpy.typing import NDArray

from models.fusion import POOR_QUALITY, Fusion
from models.pre_selection import SHARPNESS, VOTERS
from tests.training.evaluation.families import Compared, compared
from training.evaluation.scenarios import SCENARIOS, clusters_of_nearest, searches, served
from training.searching.probes import Probes
from training.searching.search import Nets

pytestmark = pytest.mark.torch

FUSION = Fusion(0.9, np.random.default_rng(5).dirichlet([1, 1, 1], (2, 2)).astype(np.float32))


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Compared:
    return compared(tmp_path_factory.mktemp("gallery"))


@pytest.fixture(scope="module")
def probes(gallery: Compared) -> Probes:
    return Probes.of(gallery.store, gallery.split.test, gallery.enrolled)


def answers(nets: Nets, template: NDArray[np.float32], clusters: list[int]) -> dict[int, float]:
    """The best cosine of each class in some clusters, by one net after the other."""
    found: dict[int, float] = {}
    for cluster in clusters:
        (cosines,) = nets.sessions[cluster].run(None, {"template": template[None]})
        for label, cosine in zip(nets.placement.classes_in(cluster), cosines[0], strict=True):
            found[int(label)] = max(found.get(int(label), -1), float(cosine))
    return found


def voted(nets: Nets, means: list[float]) -> list[int]:
    """The clusters that hold `FUSION.needed_share` of the vote together, at most three."""
    votes = [0.0] * nets.placement.cluster_count
    pairs = zip(nets.placement.classes, nets.placement.clusters, strict=True)
    ordered = sorted(((means[label], int(cluster)) for label, cluster in pairs), reverse=True)
    for cosine, cluster in ordered[:VOTERS]:
        votes[cluster] += float(np.exp(SHARPNESS * cosine))
    nearest = max(
        (cluster for cosine, cluster in ordered if cosine == ordered[0][0]),
        key=lambda cluster: votes[cluster],
    )
    votes[nearest] = max(votes) * (1 + 1e-6)
    chosen: list[int] = []
    for cluster in sorted(range(len(votes)), key=lambda each: -votes[each]):
        held = sum(votes[each] for each in chosen) / sum(votes)
        if not chosen or (held < FUSION.needed_share and len(chosen) < 3):
            chosen.append(cluster)
    return chosen


def slow_scores(
    gallery: Compared, template: NDArray[np.float32], quality: float
) -> dict[str, dict[int, float]]:
    """Scores of whom each scenario looks at, one class at a time."""
    families, enrolled = gallery.families, gallery.enrolled
    means = [float(template @ mean) for mean in enrolled.class_means]
    samples = []
    for first, last in zip(enrolled.offsets[:-1], enrolled.offsets[1:], strict=True):
        samples.append(max(float(template @ row) for row in enrolled.samples[first:last]))
    nearest = max(range(len(means)), key=lambda label: means[label])
    fused = {}
    for label, subnet in answers(families.ours, template, voted(families.ours, means)).items():
        several = int(enrolled.offsets[label + 1] - enrolled.offsets[label] > 1)
        weights = FUSION.weights[int(quality < POOR_QUALITY), several].tolist()
        parts = subnet, means[label], samples[label]
        fused[label] = sum(w * part for w, part in zip(weights, parts, strict=True))
    found = {
        "flat": answers(families.flat, template, [0]),
        "knn": dict(enumerate(means)),
        "nearest sample": dict(enumerate(samples)),
        "fused": fused,
    }
    for name, nets, clustering in (
        ("random", families.random, families.random_split),
        ("clusters", families.clusters, families.clustering),
    ):
        found[f"{name} + max-max"] = answers(nets, template, list(range(5)))
        found[f"{name} + nearest"] = answers(nets, template, [int(clustering.clusters[nearest])])
    return found


@pytest.mark.parametrize("block_scores", [2**24, 1_000])
def test_all_eight_agree_with_one_probe_at_a_time(
    gallery: Compared, probes: Probes, monkeypatch: pytest.MonkeyPatch, block_scores: int
) -> None:
    monkeypatch.setattr("training.searching.search.BLOCK_SCORES", block_scores)
    found = searches(probes, gallery.enrolled, gallery.families, FUSION)
    assert set(found) == set(SCENARIOS)
    differ = set()
    for probe, true in enumerate(probes.true):
        slow = slow_scores(gallery, probes.templates[probe], float(probes.quality[probe]))
        assert set(slow) == set(SCENARIOS)
        for name, scores in slow.items():
            best = max(scores, key=lambda label: scores[label])
            assert found[name].best[probe] == best
            assert found[name].scores[probe] == pytest.approx(scores[best], abs=1e-5)
            mate = scores.get(int(true), -np.inf)
            assert found[name].mate_scores[probe] == pytest.approx(mate, abs=1e-5)
        differ.add(len({int(found[name].best[probe]) for name in SCENARIOS}))
    # The scenarios are not all of one mind, or little would be told apart.
    assert max(differ) >= 4


def test_what_is_served_needs_our_nets_alone(gallery: Compared, probes: Probes) -> None:
    scored = dict(served(probes, gallery.enrolled, gallery.families.ours, FUSION))
    found = searches(probes, gallery.enrolled, gallery.families, FUSION)
    assert set(scored) == {"knn", "nearest sample", "fused"}
    for name, scores in scored.items():
        assert scores.shape == (len(probes), 30)
        np.testing.assert_array_equal(scores.argmax(axis=1), found[name].best)
    # Only who is in a searched cluster has a fused score.
    assert (scored["fused"] == -np.inf).any()
    assert np.isfinite(scored["fused"]).any(axis=1).all()


def test_the_nearest_class_means_clusters_are_all_of_its(gallery: Compared) -> None:
    nets = gallery.families.ours
    means = np.eye(30, dtype=np.float32)
    chosen = clusters_of_nearest(nets, means)
    for label in range(30):
        assert np.flatnonzero(chosen[label]).tolist() == nets.placement.clusters_of(label).tolist()
    assert chosen.sum() == len(nets.placement.classes) > 30
