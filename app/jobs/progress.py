"""How far a training is, from the lines that its process writes."""

import json
from dataclasses import dataclass, replace
from typing import Self

SHARES = {
    "read": 0.03,
    "class-means": 0.01,
    "cluster": 0.06,
    "subnets": 0.62,
    "calibrate": 0.13,
    "publish": 0.03,
    "evaluate": 0.10,
    "report": 0.02,
}
"""Stages in their order, and about which share of the time each takes."""
EVALUATION = ("evaluate", "report")
MAX_MESSAGE = 500
"""Characters of a message that are kept."""


@dataclass(frozen=True)
class Progress:
    """What a job's row says while it is under way."""

    stage: str | None = None
    fraction: float = 0.0
    """Of all stages together, in [0, 1]."""
    message: str = ""

    @property
    def state(self) -> str:
        return "evaluating" if self.stage in EVALUATION else "running"

    def after(self, line: bytes) -> Self:
        """Read one line; one that is not understood changes nothing."""
        try:
            told = json.loads(line)
            stage, done, total = str(told["stage"]), int(told["done"]), int(told["total"])
            message = str(told["message"])
        except (ValueError, TypeError, KeyError):
            return self
        if stage not in SHARES:
            return self
        names = list(SHARES)
        before = sum(SHARES[name] for name in names[: names.index(stage)])
        within = min(max(done / total, 0.0), 1.0) if total > 0 else 0.0
        # Never back, as when a stage begins whose last one was told of in advance.
        fraction = max(self.fraction, round(before + SHARES[stage] * within, 4))
        return replace(
            self,
            stage=stage,
            fraction=min(fraction, 1.0),
            message=message[:MAX_MESSAGE] or self.message,
        )
