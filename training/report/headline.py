"""The first lines of the page, in plain words, made from the figures."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from training.report.comparison import Comparison, fnir_comparisons, recall_comparisons
from training.report.names import (
    OURS,
    in_words,
    joined,
    mean_of,
    percent,
    probe_phrase,
    rate_name,
)

USUAL_FPIR = 0.01


@dataclass(frozen=True)
class Headline:
    """What the page says first."""

    sentences: Sequence[str]
    figures: Sequence[tuple[str, str, str]]
    """Key figures: what it is, the value, what stands against it."""


def headline(evaluation: Mapping[str, Any]) -> Headline:
    """Say what ours is worth; empty where it was not measured against the class mean.

    Args:
        evaluation: as `training.report.write.write_report` takes it; of several numbers of
            clusters the first one counts.
    """
    recalls, fpir = recall_comparisons(evaluation), _fpir(evaluation)
    missed = fnir_comparisons(evaluation, fpir)
    sentences: list[str] = []
    if recalls:
        most = max(recalls, key=lambda each: (each.verdict, each.gain))
        shown = [recalls[0]] if most.verdict < 1 or most == recalls[0] else [recalls[0], most]
        sentences += [_recall_sentence(each) for each in shown]
        sentences += _added(recalls)
    if missed:
        sentences += _rejection(missed, fpir)
    sentences += _weights(evaluation.get("calibration", {}))
    return Headline(sentences, _figures(evaluation, recalls, missed, fpir))


def _weights(calibration: Mapping[str, Any]) -> list[str]:
    weights = calibration.get("weights", ())
    if not weights or any(weight["subnet"] for weight in weights):
        return []
    if not calibration.get("clusters_searched"):
        return ["There were too few pictures to calibrate with: decisions do not use the subnets."]
    return ["Calibration gave the subnets no weight: decisions do not use them."]


def _recall_sentence(of: Comparison) -> str:
    where = probe_phrase(of.probes)
    sentence = (
        f"{where[0].upper()}{where[1:]} ours recognises {in_words(of.ours)} of the people, "
        f"nearest class mean {in_words(of.class_mean)}"
    )
    if not math.isnan(of.nearest_sample):
        sentence += f", nearest sample {in_words(of.nearest_sample)}"
    return f"{sentence}."


def _added(recalls: Sequence[Comparison]) -> list[str]:
    by_verdict = _by_verdict(recalls)
    sentences = []
    if by_verdict[1]:
        gains = [f"{percent(c.gain, 1)} points {probe_phrase(c.probes)}" for c in by_verdict[1]]
        sentences.append(f"Over the better of these two, the subnets add {joined(gains)}.")
    if by_verdict[0]:
        where = joined([probe_phrase(each.probes) for each in by_verdict[0]])
        all_of_it = not by_verdict[1] and not by_verdict[-1]
        lead = "For recognition the" if all_of_it else "The"
        sentences.append(f"{lead} subnets add nothing {where}.")
    if by_verdict[-1]:
        losses = [f"{percent(-c.gain, 1)} points {probe_phrase(c.probes)}" for c in by_verdict[-1]]
        sentences.append(f"The subnets lose {joined(losses)}.")
    return sentences


def _rejection(missed: Sequence[Comparison], fpir: str) -> list[str]:
    by_verdict, sentences = _by_verdict(missed), []
    lead = f"For rejecting strangers (FNIR at FPIR {rate_name(fpir)})"
    for verdict, verb in ((1, "help"), (0, "add nothing"), (-1, "harm")):
        if not by_verdict[verdict]:
            continue
        rates = joined(
            [
                f"{probe_phrase(each.probes)} ({in_words(each.ours)} against "
                f"{in_words(each.ours + each.gain)})"
                for each in by_verdict[verdict]
            ]
        )
        sentences.append(f"{lead} the subnets {verb} {rates}.")
        lead = "There"
    return sentences


def _by_verdict(comparisons: Sequence[Comparison]) -> dict[int, list[Comparison]]:
    return {
        verdict: [each for each in comparisons if each.verdict == verdict] for verdict in (1, 0, -1)
    }


def _fpir(evaluation: Mapping[str, Any]) -> str:
    rates = [rate for record in evaluation.get("open_set", ()) for rate in record["fnir"]]
    return min(rates, key=lambda rate: abs(math.log(float(rate) / USUAL_FPIR)), default="")


def _figures(
    evaluation: Mapping[str, Any],
    recalls: Sequence[Comparison],
    missed: Sequence[Comparison],
    fpir: str,
) -> list[tuple[str, str, str]]:
    figures = []
    if recalls:
        first = recalls[0]
        hardest = min(recalls, key=lambda each: each.ours)
        for each in dict.fromkeys((first, hardest)):
            where = probe_phrase(each.probes)
            figures.append((f"People recognised {where}", in_words(each.ours), _beside(each)))
        rank1 = next(
            mean_of(record["rank1"])
            for record in evaluation["identification"]
            if record["clusters"] == evaluation["identification"][0]["clusters"]
            and (record["scenario"], record["probes"]) == (OURS, first.probes)
        )
        wrong = in_words(1 - rank1)
        figures.append(
            (f"First name wrong {probe_phrase(first.probes)}", wrong, "of the probes, by ours")
        )
    for each in missed[:1]:
        label = f"Known people missed where {rate_name(fpir)} of strangers get a name"
        figures.append((label, in_words(each.ours), _beside(each)))
    return figures


def _beside(of: Comparison) -> str:
    text = f"class mean {in_words(of.class_mean)}"
    if math.isnan(of.nearest_sample):
        return text
    return f"{text}, nearest sample {in_words(of.nearest_sample)}"
