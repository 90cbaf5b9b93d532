import numpy as np
import pytest
from scipy.stats import binomtest

from benchmarks.outcome import Outcome, Paired, exact_search
from benchmarks.searches import Answers, Search
from models.arrays import Floats


def candidate(external_id: str, score: float) -> dict[str, object]:
    return {"external_id": external_id, "score": score}


def answered(decision: str, *candidates: dict[str, object]) -> Search:
    return Search(True, decision, list(candidates), latency_ms=10.0, search_ms=0.5)


ANSWERS = Answers(
    names=["Ann", "Bob", "Cat", "Dan"],
    mated=[
        answered("match", candidate("Ann", 0.9), candidate("Bob", 0.2)),
        answered("unknown", candidate("Bob", 0.4), candidate("Ann", 0.3)),
        answered("match", candidate("Ann", 0.6), candidate("Cat", 0.5)),
        answered("unknown"),
    ],
    non_mated=[
        answered("match", candidate("Ann", 0.5)),
        answered("unknown", candidate("Bob", 0.3)),
        answered("ambiguous", candidate("Bob", 0.2)),
        answered("unknown"),
    ],
)


def test_what_the_service_answered_is_counted() -> None:
    outcome = Outcome.of(ANSWERS)
    assert outcome.mate_ranks.tolist() == [1, 1, 2, 0]
    assert outcome.mate_scores.tolist() == [0.9, 0.4, 0.5, -np.inf]
    assert outcome.top_scores.tolist() == [0.5, 0.3, 0.2, -np.inf]
    assert outcome.rank1 == 0.5
    assert ANSWERS.observed_fpir == 0.25
    # The third is named, but wrongly.
    assert ANSWERS.observed_fnir == 0.75


def test_hits_are_what_fnir_does_not_miss() -> None:
    outcome = Outcome.of(ANSWERS)
    assert outcome.hits().tolist() == [True, True, False, False]
    # One stranger in four may pass, which the best one does.
    assert outcome.hits(0.25).tolist() == [True, True, False, False]
    assert outcome.hits(0.1).tolist() == [True, False, False, False]
    for fpir in (0.1, 0.25):
        assert outcome.fnir_at(fpir) == 1 - outcome.hits(fpir).mean()
    assert set(outcome.figures()) >= {"rank1", "fnir_at_fpir_0_1", "fnir_at_fpir_0_001"}


def test_exact_search_agrees_with_one_comparison_at_a_time() -> None:
    rng = np.random.default_rng(1)

    def row() -> Floats:
        drawn: Floats = rng.normal(size=4).astype(np.float32)
        return drawn / np.linalg.norm(drawn)

    gallery = {
        name: [row() for _ in range(count)] for name, count in {"a": 1, "b": 2, "c": 1}.items()
    }
    means = {name: np.mean(rows, axis=0) for name, rows in gallery.items()}
    means = {name: mean / np.linalg.norm(mean) for name, mean in means.items()}
    probes = [(name, row()) for name in "abcabc"]
    strangers = [row() for _ in range(5)]
    outcome = exact_search(gallery, [*probes, ("a", None), ("absent", row())], [*strangers, None])
    ordered = [sorted(means, key=lambda name: -float(means[name] @ probe)) for _, probe in probes]
    ranks = [order.index(name) + 1 for (name, _), order in zip(probes, ordered, strict=True)]
    assert outcome.mate_ranks.tolist() == [*ranks, 0, 0]
    np.testing.assert_allclose(
        outcome.mate_scores,
        [*(means[name] @ probe for name, probe in probes), -np.inf, -np.inf],
        rtol=1e-5,
    )
    slow = [max(float(mean @ row) for mean in means.values()) for row in strangers]
    np.testing.assert_allclose(outcome.top_scores, [*slow, -np.inf], rtol=1e-5)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (3, 9), (700, 640)])
def test_mcnemar_agrees_with_scipy(first: int, second: int) -> None:
    hits = np.repeat([True, False, True], [first, second, 7])
    others = np.repeat([False, True, True], [first, second, 7])
    paired = Paired.of(hits, others)
    assert (paired.only_first, paired.only_second) == (first, second)
    slow = binomtest(first, first + second).pvalue if first + second else 1.0
    assert paired.p_value == pytest.approx(slow)
