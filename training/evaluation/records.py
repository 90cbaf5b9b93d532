"""Figures of the repetitions as records, and their means and deviations."""

from collections.abc import Iterable, Sequence
from typing import Any

from training.evaluation.metrics import paired_p_value, spread

Record = dict[str, Any]
"""Text and whole numbers say what was measured, floating-point numbers are the figures."""


def aggregated(repetitions: Sequence[Iterable[Record]]) -> list[Record]:
    """Join the records of all repetitions that are of the same thing.

    Args:
        repetitions: the records of each; a figure that one of them lacks is left out.

    Returns:
        Records with a mean, standard deviation and values in the place of each figure, in the
        order of the first repetition.
    """
    found: dict[tuple[tuple[str, Any], ...], list[Record]] = {}
    for records in repetitions:
        for record in records:
            found.setdefault(_key(record), []).append(record)
    joined = []
    for key, same in found.items():
        if len(same) < len(repetitions):
            continue
        figures = [name for name in same[0] if isinstance(same[0][name], float)]
        everywhere = [name for name in figures if all(name in record for record in same)]
        joined.append(
            dict(key) | {name: spread([record[name] for record in same]) for name in everywhere}
        )
    return joined


def paired(identification: Sequence[Record], of: str, against: Sequence[str]) -> list[Record]:
    """Differences of macro recall, repetition by repetition, with their p-values.

    Args:
        identification: aggregated.
        of: a scenario.
        against: scenarios that it is compared with.
    """
    by_key = {(row["clusters"], row["probes"], row["scenario"]): row for row in identification}
    compared = []
    for clusters, probes, scenario in by_key:
        if scenario != of:
            continue
        own = by_key[clusters, probes, of]["recall"]["values"]
        for other in against:
            values = by_key[clusters, probes, other]["recall"]["values"]
            differences = [a - b for a, b in zip(own, values, strict=True)]
            compared.append(
                {
                    "clusters": clusters,
                    "probes": probes,
                    "of": of,
                    "against": other,
                    "recall_difference": spread(differences),
                    "p_value": paired_p_value(differences),
                }
            )
    return compared


def _key(record: Record) -> tuple[tuple[str, Any], ...]:
    return tuple((name, value) for name, value in record.items() if not isinstance(value, float))
