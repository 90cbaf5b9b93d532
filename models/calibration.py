"""The prior: how alike two strangers look to an embedder, and the threshold that follows.

The false match rate FMR(T) of a single comparison was measured once for an embedder, on pairs
of different people, and is shipped beside it. A search makes N comparisons:
FPIR(T, N) = 1 - (1 - FMR(T))^N, so the threshold for a target FPIR moves with the gallery.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.probability import Probability
from models.zoo import EmbedderManifest


class CalibrationInvalid(ValueError):
    """A calibration file can't be used; the message names the file and says why."""


@dataclass(frozen=True)
class Calibration:
    """Non-mated comparison scores of one embedder: a body of quantiles and a fitted tail."""

    embedder_sha256: str
    cosines: NDArray[np.float64]
    """(Q,) ascending cosines of the body, the last of them where the tail begins."""
    log_fmr: NDArray[np.float64]
    """(Q,) natural logarithm of the share of non-mated pairs at or above each; descending."""
    tail_shape: float
    """Shape of the generalised Pareto distribution of excesses over the last of `cosines`."""
    tail_scale: float
    """Its scale, a cosine, above 0."""
    gap: float
    """Fused cosine, above 0, by which the first candidate of most non-mated searches is ahead."""
    probability: Probability
    """That the first candidate is right, where no bundle has fitted one to its own people."""

    @classmethod
    def of(cls, manifest: EmbedderManifest) -> Self:
        """Read the calibration that an embedder's manifest names.

        Raises:
            CalibrationInvalid: there is none, it can't be used, or is another embedder's.
        """
        if manifest.calibration is None:
            raise CalibrationInvalid(
                f"{manifest.name}: its manifest names no calibration, without which no threshold "
                "can be set; make one with `python -m training calibrate-prior`"
            )
        calibration = cls.load(manifest.calibration)
        if calibration.embedder_sha256 != manifest.sha256:
            raise CalibrationInvalid(f"{manifest.calibration}: was made for another embedder")
        return calibration

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file that `python -m training calibrate-prior` has written.

        Raises:
            CalibrationInvalid: it is missing, is no such file, or its numbers can't be.
        """
        try:
            calibration = cls.of_json(json.loads(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CalibrationInvalid(f"{path}: not a readable calibration ({error!r})") from error
        sound = (
            calibration.cosines.ndim == 1
            and len(calibration.cosines) >= 2
            and calibration.cosines.shape == calibration.log_fmr.shape
            and bool(np.all(np.diff(calibration.cosines) > 0))
            and bool(np.all(np.diff(calibration.log_fmr) < 0))
            and calibration.tail_scale > 0
            and calibration.gap > 0
        )
        if not sound:
            raise CalibrationInvalid(
                f"{path}: cosines must ascend, fmr must descend, and the tail's scale and the gap "
                "be above 0"
            )
        return calibration

    @classmethod
    def of_json(cls, document: Mapping[str, Any]) -> Self:
        """Read the file's contents, whose numbers aren't checked.

        Raises:
            ValueError, KeyError, TypeError: something is missing or of another kind.
        """
        return cls(
            embedder_sha256=str(document["embedder"]["sha256"]),
            cosines=np.array(document["body"]["cosines"], np.float64),
            log_fmr=np.log(np.array(document["body"]["fmr"], np.float64)),
            tail_shape=float(document["tail"]["shape"]),
            tail_scale=float(document["tail"]["scale"]),
            gap=float(document["gap"]),
            probability=Probability.of_json(document["probability"]),
        )

    def fmr(self, threshold: float) -> float:
        """Share of non-mated pairs whose cosine is at or above `threshold`.

        In [0, 0.5]: the body begins at the median, below which 0.5 is given, and the tail may end.
        """
        start = self.cosines[-1]
        if threshold <= start:
            return float(np.exp(np.interp(threshold, self.cosines, self.log_fmr)))
        excess = (threshold - start) / self.tail_scale
        if self.tail_shape == 0:
            return float(np.exp(self.log_fmr[-1] - excess))
        base = max(1 + self.tail_shape * excess, 0.0)
        return float(np.exp(self.log_fmr[-1]) * base ** (-1 / self.tail_shape))

    def threshold_for_fmr(self, fmr: float) -> float:
        """Cosine that a share `fmr`, in (0, 1), of non-mated pairs reaches; at most 1."""
        log_fmr = np.log(fmr)
        if log_fmr >= self.log_fmr[-1]:
            return float(np.interp(-log_fmr, -self.log_fmr, self.cosines))
        ratio = np.exp(self.log_fmr[-1] - log_fmr)
        if self.tail_shape == 0:
            excess = np.log(ratio)
        else:
            excess = (ratio**self.tail_shape - 1) / self.tail_shape
        return min(float(self.cosines[-1] + self.tail_scale * excess), 1.0)

    def threshold(self, *, max_fpir: float, comparisons: float) -> float:
        """Score at which a share `max_fpir` of strangers is taken for somebody.

        Args:
            max_fpir: target FPIR in (0, 1).
            comparisons: N, `Gallery.comparisons`; an empty one counts as if it held one.
        """
        # 1 - (1 - FPIR)^(1/N), written so that a large N does not cancel out.
        fmr = -np.expm1(np.log1p(-max_fpir) / max(comparisons, 1))
        return self.threshold_for_fmr(float(fmr))
