"""Thresholds for a target FPIR, and how they move with the size of the gallery."""

from collections.abc import Sequence
from typing import Any

from models.top_scores import TopScores

FPIRS = (0.1, 0.01, 0.003, 0.001)
GROWTH = (0.25, 0.5, 1.0, 2.0, 4.0, 16.0)
"""Sizes of gallery that thresholds are told for, as multiples of the present one."""


def threshold_table(tops: Sequence[TopScores]) -> list[dict[str, Any]]:
    """Thresholds at `FPIRS` by size of gallery, in JSON's types.

    Args:
        tops: of the same gallery, by kind of probe, its subjects taken for comparisons. The
            highest threshold is taken, so that no kind lets more strangers pass than asked for.
    """
    sizes = {times: max(1, round(times * tops[0].comparisons)) for times in GROWTH}
    return [
        {
            "fpir": fpir,
            "by_gallery_size": [
                {
                    "times": times,
                    "subjects": size,
                    "threshold": round(
                        max(top.threshold(fpir, comparisons=size) for top in tops), 6
                    ),
                }
                for times, size in sizes.items()
            ],
        }
        for fpir in FPIRS
    ]
