"""Ours beside the searches that need no subnets: what is a gain, and what is chance."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.report.names import CLASS_MEAN, NEAREST_SAMPLE, OURS, mean_of, values_of

NOTICEABLE = 0.001
"""A tenth of a percentage point: less is not worth a word."""
SURE_P = 0.05
RULE = (
    "Added or lost is what ours differs by from the better of nearest class mean and nearest "
    "sample. It counts from 0.1 point on, and where repetitions show it is no accident: p < 0.05, "
    "or without a test the same sign in all of them."
)


@dataclass(frozen=True)
class Comparison:
    """Ours beside the two searches that need no subnets, on one kind of probes."""

    probes: str
    ours: float
    class_mean: float
    nearest_sample: float
    """NaN where it was not measured."""
    gain: float
    """Of ours on the better of the two; positive is better, for error rates too."""
    sure: bool
    """The repetitions show that the gain, or loss, is no accident."""

    @property
    def verdict(self) -> int:
        """1: the subnets help; -1: they harm; 0: neither."""
        # Rounded, or 0.899 - 0.898 would be below a tenth of a point.
        if not self.sure or abs(round(self.gain, 9)) < NOTICEABLE:
            return 0
        return 1 if self.gain > 0 else -1


def recall_comparisons(evaluation: Mapping[str, Any]) -> list[Comparison]:
    """Compare macro recall, on each kind of probes where ours and the class mean have one."""
    records = evaluation.get("identification", ())
    if not records:
        return []
    main = records[0]["clusters"]
    recalls: dict[str, dict[str, Any]] = {}
    for record in records:
        if record["clusters"] == main:
            recalls.setdefault(record["probes"], {})[record["scenario"]] = record["recall"]
    p_values = {
        (paired["probes"], paired["against"]): paired["p_value"]
        for paired in evaluation.get("paired", ())
        if paired["clusters"] == main and paired["of"] == OURS
    }
    return _comparisons(recalls, better=1, p_values=p_values)


def fnir_comparisons(evaluation: Mapping[str, Any], fpir: str) -> list[Comparison]:
    """Compare FNIR at one FPIR, a key of the evaluation's; a lower FNIR is a positive gain."""
    rates: dict[str, dict[str, Any]] = {}
    for record in evaluation.get("open_set", ()):
        if fpir in record["fnir"]:
            rates.setdefault(record["probes"], {})[record["scenario"]] = record["fnir"][fpir]
    return _comparisons(rates, better=-1, p_values={})


def _comparisons(
    by_probes: Mapping[str, Mapping[str, Any]],
    *,
    better: int,
    p_values: Mapping[tuple[str, str], float | None],
) -> list[Comparison]:
    found = []
    for probes, of in by_probes.items():
        if OURS not in of or CLASS_MEAN not in of:
            continue
        rivals = [rival for rival in (CLASS_MEAN, NEAREST_SAMPLE) if rival in of]
        rival = max(rivals, key=lambda name: better * mean_of(of[name]))
        found.append(
            Comparison(
                probes,
                mean_of(of[OURS]),
                mean_of(of[CLASS_MEAN]),
                mean_of(of.get(NEAREST_SAMPLE)),
                better * (mean_of(of[OURS]) - mean_of(of[rival])),
                _sure(of[OURS], of[rival], p_values.get((probes, rival))),
            )
        )
    return found


def _sure(ours: Any, rival: Any, p_value: float | None) -> bool:
    if p_value is not None:
        return p_value < SURE_P
    pairs = list(zip(values_of(ours), values_of(rival), strict=False))
    same_sign = all(a > b for a, b in pairs) or all(a < b for a, b in pairs)
    # Of one repetition alone, any difference has one sign.
    return len(pairs) != 1 and same_sign
