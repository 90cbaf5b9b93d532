"""Names and number formats that the page uses throughout."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

NOTHING = "\N{EN DASH}"
"""Stands where there is no value."""

OURS = "fused"
CLASS_MEAN = "knn"
NEAREST_SAMPLE = "nearest sample"

SCENARIOS = {
    "flat": "Flat ArcFace",
    "random + max-max": "Random split + max-max (ISM)",
    "random + nearest": "Random split + nearest",
    CLASS_MEAN: "Nearest class mean (KNN)",
    "clusters + max-max": "Clusters + max-max",
    "clusters + nearest": "Clusters + nearest (the paper's)",
    OURS: "Ours: fused",
    NEAREST_SAMPLE: "Nearest sample",
}
"""In the order of the paper's Table 2, ours and plain search after them."""

PROBE_PHRASES = {
    "clean": "on clean probes",
    "24 px": "at 24 px",
    "blur 2 px": "with a blur of 2 px",
    "brightness x0.4": "at brightness x0.4",
    "JPEG quality 20": "at JPEG quality 20",
    "half covered": "half covered",
}


def scenario_name(scenario: str) -> str:
    """The name a reader sees; an unknown scenario keeps its own."""
    return SCENARIOS.get(scenario, scenario)


def probe_phrase(probes: str) -> str:
    """Say within a sentence on which probes something was measured."""
    return PROBE_PHRASES.get(probes, f"on the probes '{probes}'")


def mean_of(value: Any) -> float:
    """A measured value's mean over the repetitions; a plain number is its own, None is NaN."""
    mean = value["mean"] if isinstance(value, Mapping) else value
    return math.nan if mean is None else float(mean)


def sd_of(value: Any) -> float | None:
    """Its standard deviation; None where there was one repetition."""
    sd = value.get("sd") if isinstance(value, Mapping) else None
    return None if sd is None else float(sd)


def values_of(value: Any) -> list[float]:
    """One value a repetition; empty where they are not told."""
    values = value.get("values") if isinstance(value, Mapping) else None
    return [float(each) for each in values or ()]


def percent(share: float, digits: int = 2) -> str:
    """A share in [0, 1] as per cent, without the sign: 0.1234 is "12.34"."""
    return NOTHING if math.isnan(share) else f"{100 * share:.{digits}f}"


def in_words(share: float) -> str:
    """A share as a sentence gives it: one digit and the sign, which no line end parts."""
    return f"{percent(share, 1)}\N{NO-BREAK SPACE}%"


def rate_name(rate: float | str) -> str:
    """An error rate that was asked for: "0.003" is "0.3 %"."""
    return f"{100 * float(rate):.4g}\N{NO-BREAK SPACE}%"


def points(difference: float, digits: int = 2) -> str:
    """A difference of shares in percentage points, with its sign; never "-0.00"."""
    if math.isnan(difference):
        return NOTHING
    shown = round(100 * difference, digits)
    return f"{shown:+.{digits}f}".replace("-", "\N{MINUS SIGN}") if shown else f"{0:.{digits}f}"


def p_value(p: float | None) -> str:
    """A p-value as papers print it."""
    if p is None or math.isnan(p):
        return NOTHING
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def number(value: Any) -> str:
    """Any value of a settings or counts table: thousands apart, four digits of a fraction."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e15:
            return f"{int(value):,}"
        return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)


def words(name: str) -> str:
    """A snake_case name in words: "peak_mb" is "Peak MB"."""
    plain = name.replace("_mb", " MB").replace("_", " ")
    return plain[:1].upper() + plain[1:]


def clusters_name(count: int) -> str:
    """How many clusters: "1 cluster", "1,200 clusters"."""
    return f"{count:,} cluster{'' if count == 1 else 's'}"


def distinct(values: Iterable[Any]) -> list[Any]:
    """Each value once, in the order it first comes."""
    return list(dict.fromkeys(values))


def joined(parts: list[str]) -> str:
    """List in a sentence: "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
