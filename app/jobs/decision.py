"""What a training has measured, and whether its bundle is to be searched with."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from app.bundles.store import BUNDLE, SUMMARY
from app.settings import Metric
from models.bundle_format import MANIFEST, BundleManifest


class ResultsUnreadable(ValueError):
    """A training has ended well, but what it says is not what was agreed on."""


@dataclass(frozen=True)
class Results:
    """What `retraining.json` says."""

    bundle_id: str
    watermark: int
    classes: int
    subnets: int
    metrics: dict[str, Any]
    """`comparison`, `subnets` and `seconds`, as they stand in the file."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what a training left in its folder.

        Raises:
            ResultsUnreadable: a file is missing, or lacks something.
        """
        try:
            document = json.loads((folder / SUMMARY).read_text("utf-8"))
            manifest = BundleManifest.read(folder / BUNDLE / MANIFEST)
            return cls(
                bundle_id=str(document["bundle_id"]),
                watermark=int(document["watermark"]),
                classes=int(document["classes"]),
                subnets=manifest.counts["subnets"],
                metrics={name: document[name] for name in ("comparison", "subnets", "seconds")},
            )
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ResultsUnreadable(
                f"the training left no results that can be read: {error!r}"
            ) from error


@dataclass(frozen=True)
class Verdict:
    """Whether a bundle is published, and why."""

    published: bool
    reason: str


def judge(comparison: Mapping[str, Any], metric: Metric, margin: float) -> Verdict:
    """Compare a new bundle with what is searched with now.

    Args:
        comparison: `probes`, and for `new` and `active` the figures in [0, 1]; `active` are those
            of the active bundle, or of class means and best samples where there is none.
        metric: `rank1` is better if larger, `fnir_at_fpir_0_01` if smaller.
        margin: by how much the new bundle may be worse. Below 0 it must be better by so much.
    """
    if not comparison["probes"]:
        return Verdict(True, "Published; there were no held-out probes to compare it with.")
    new, active = float(comparison["new"][metric]), float(comparison["active"][metric])
    worse_by = active - new if metric == "rank1" else new - active
    told = f"{metric} {new:.4f} against {active:.4f} before, on {comparison['probes']:,} probes"
    # Shares are counts over counts: a difference of just the margin must not hang on rounding.
    if worse_by <= margin + 1e-9:
        return Verdict(True, f"Published: {told}.")
    return Verdict(False, f"Rejected: {told}; the margin is {margin:g}.")
