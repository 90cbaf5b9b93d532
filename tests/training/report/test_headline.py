from typing import Any

from tests.training.report.made_up_evaluation import made_up_evaluation
from training.report.headline import headline

RATES = {"knn": 0.848, "nearest sample": 0.858}


def evaluation_of(
    ours: dict[str, float], *, fnir: dict[str, float] | None = None
) -> dict[str, Any]:
    """Figures where ours alone differs between kinds of probes."""
    identification = [
        {
            "clusters": 12, "probes": kind, "scenario": scenario,
            "recall": recall, "rank1": recall,
        }
        for kind, of_ours in ours.items()
        for scenario, recall in {**RATES, "fused": of_ours}.items()
    ]  # fmt: skip
    open_set = [
        {"probes": "clean", "scenario": scenario, "fnir": {"0.1": rate / 2, "0.01": rate}}
        for scenario, rate in (fnir or {}).items()
    ]
    return {"identification": identification, "open_set": open_set}


def said(evaluation: dict[str, Any]) -> list[str]:
    """The sentences with plain spaces."""
    return [
        sentence.replace("\N{NO-BREAK SPACE}", " ") for sentence in headline(evaluation).sentences
    ]


def test_it_says_where_the_subnets_help() -> None:
    fnir = {"knn": 0.095, "nearest sample": 0.1, "fused": 0.081}
    assert said(evaluation_of({"clean": 0.858, "24 px": 0.896}, fnir=fnir)) == [
        "On clean probes ours recognises 85.8 % of the people, nearest class mean 84.8 %, "
        "nearest sample 85.8 %.",
        "At 24 px ours recognises 89.6 % of the people, nearest class mean 84.8 %, "
        "nearest sample 85.8 %.",
        "Over the better of these two, the subnets add 3.8 points at 24 px.",
        "The subnets add nothing on clean probes.",
        "For rejecting strangers (FNIR at FPIR 1 %) the subnets help on clean probes "
        "(8.1 % against 9.5 %).",
    ]


def test_it_says_where_they_do_not() -> None:
    fnir = {"knn": 0.0965, "nearest sample": 0.12, "fused": 0.097}
    assert said(evaluation_of({"clean": 0.8581, "24 px": 0.858}, fnir=fnir)) == [
        "On clean probes ours recognises 85.8 % of the people, nearest class mean 84.8 %, "
        "nearest sample 85.8 %.",
        "For recognition the subnets add nothing on clean probes and at 24 px.",
        "For rejecting strangers (FNIR at FPIR 1 %) the subnets add nothing on clean probes "
        "(9.7 % against 9.7 %).",
    ]


def test_it_says_where_they_harm() -> None:
    fnir = {"knn": 0.095, "fused": 0.2}
    sentences = said(evaluation_of({"clean": 0.84, "half covered": 0.85}, fnir=fnir))
    assert sentences[1:] == [
        "The subnets lose 1.8 points on clean probes and 0.8 points half covered.",
        "For rejecting strangers (FNIR at FPIR 1 %) the subnets harm on clean probes "
        "(20.0 % against 9.5 %).",
    ]


def test_subnets_without_a_weight_are_told_of() -> None:
    weights = [{"when": "always", "subnet": 0.0, "class_mean": 1.0, "best_sample": 0.0}]
    evaluation = evaluation_of({"clean": 0.85})
    evaluation["calibration"] = {"weights": weights, "clusters_searched": [{"probes": "clean"}]}
    assert said(evaluation)[-1].startswith("Calibration gave the subnets no weight")
    evaluation["calibration"]["clusters_searched"] = []
    assert said(evaluation)[-1].startswith("There were too few pictures to calibrate with")
    weights[0]["subnet"] = 0.1
    assert "calibrat" not in said(evaluation)[-1].lower()


def test_the_made_up_evaluation_gains_on_three_kinds_of_probes() -> None:
    sentences = said(made_up_evaluation())
    gains = "4.8 points at 24 px, 0.8 points with a blur of 2 px and 3.1 points half covered."
    assert gains in sentences[2]


def test_key_figures_are_the_first_kind_the_hardest_and_the_errors() -> None:
    fnir = {"knn": 0.095, "nearest sample": 0.1, "fused": 0.081}
    figures = headline(evaluation_of({"clean": 0.858, "24 px": 0.796}, fnir=fnir)).figures
    assert [value.replace("\N{NO-BREAK SPACE}", " ") for _, value, _ in figures] == [
        "85.8 %", "79.6 %", "14.2 %", "8.1 %",
    ]  # fmt: skip


def test_there_is_none_without_figures() -> None:
    assert headline({}).sentences == []
    assert headline({}).figures == []
