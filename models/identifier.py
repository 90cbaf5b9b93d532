"""The life of a probe: picture -> faces -> templates -> search -> decision, as named calls."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.align import align
from models.arrays import Floats
from models.decide import Candidate, FaceAnswer, decide
from models.decode import DecodeLimits, decode
from models.detect import Detections, DetectorNets, DetectorSettings, detect
from models.embed import Embedder, embed
from models.gallery import Gallery
from models.quality import Quality, assess
from models.runtime import Provider
from models.search import Search
from models.self_calibration import SelfCalibration
from models.weights import DEFAULT_EMBEDDER, MTCNN_FOLDER
from models.zoo import read_manifest


@dataclass(frozen=True)
class QueryPath:
    """What every query needs, opened once and handed in."""

    nets: DetectorNets
    detector_settings: DetectorSettings
    embedder: Embedder
    limits: DecodeLimits

    @classmethod
    def open(
        cls,
        manifest_path: Path = DEFAULT_EMBEDDER,
        *,
        detector_settings: DetectorSettings = DetectorSettings(),
        limits: DecodeLimits = DecodeLimits(),
        flip: bool = True,
        provider: Provider = "cpu",
        threads: int = 1,
        batch_limit: int = 1,
    ) -> Self:
        """Open all nets.

        Raises:
            ManifestInvalid: the embedder's files do not hold together.
            ProviderMissing: the execution provider isn't in this install.
        """
        manifest = read_manifest(manifest_path)
        return cls(
            nets=DetectorNets.open(MTCNN_FOLDER, provider=provider, threads=threads),
            detector_settings=detector_settings,
            embedder=Embedder.open(
                manifest, flip=flip, provider=provider, threads=threads, batch_limit=batch_limit
            ),
            limits=limits,
        )


@dataclass(frozen=True)
class FoundFaces:
    """The faces of one picture, largest first."""

    width_px: int
    height_px: int
    detections: Detections
    crops: NDArray[np.uint8]
    """(n, S, S, 3) RGB, aligned to the embedder's template."""
    qualities: tuple[Quality, ...]
    timings_ms: dict[str, float]
    """Milliseconds spent in decode, detect and align (quality counts as align)."""

    def __len__(self) -> int:
        return len(self.detections)

    def nearest_to_centre(self) -> int:
        """Index of the face whose box is centred nearest to the picture's centre.

        Raises:
            ValueError: there is no face.
        """
        boxes = self.detections.boxes
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        middle = np.array([self.width_px, self.height_px], np.float32) / 2
        return int(np.argmin(np.linalg.norm(centres - middle, axis=1)))


@dataclass(frozen=True)
class Identification:
    """What is said of one picture."""

    found: FoundFaces
    templates: Floats
    """(n, d) of the faces, in the order of `found`."""
    searches: tuple[Search, ...]
    """One a face."""
    answers: tuple[FaceAnswer, ...]
    """One a face."""
    probabilities: tuple[float | None, ...]
    """One a face: that the first candidate which nobody has rejected is right, of a probe that is
    as likely enrolled as not; None without one."""
    timings_ms: dict[str, float]
    """Milliseconds of decode, detect, align, embed, search, decide and total."""


def find_faces(path: QueryPath, data: bytes) -> FoundFaces:
    """Decode a picture, find its faces, align and assess them.

    Raises:
        PictureRefused: it is no picture that can be worked on.
    """
    timings: dict[str, float] = {}
    with timed(timings, "decode"):
        picture = decode(data, path.limits)
    with timed(timings, "detect"):
        detections = detect(path.nets, picture, path.detector_settings)
    with timed(timings, "align"):
        manifest = path.embedder.manifest
        crops = align(picture, detections.landmarks, manifest.template, manifest.side_px)
        qualities = assess(detections, crops)
    height_px, width_px = picture.shape[:2]
    return FoundFaces(width_px, height_px, detections, crops, qualities, timings)


def identify(
    path: QueryPath,
    data: bytes,
    gallery: Gallery,
    calibration: SelfCalibration,
    *,
    limit: int,
    threshold: float,
) -> Identification:
    """Name the faces of a picture, or say that they are unknown.

    Args:
        path: the opened nets.
        data: JPEG, PNG or WebP.
        gallery: the snapshot to search, from templates of the same embedder.
        calibration: of that gallery.
        limit: candidates a face at most; two of an ambiguous face in any case.
        threshold: lowest fused cosine that is a match; `SelfCalibration.threshold` derives it.

    Raises:
        PictureRefused: it is no picture that can be worked on.
    """
    timings: dict[str, float] = {}
    with timed(timings, "total"):
        found = find_faces(path, data)
        timings |= found.timings_ms
        with timed(timings, "embed"):
            probes = embed(path.embedder, found.crops)
        with timed(timings, "search"):
            quality = np.array([each.score for each in found.qualities], np.float32)
            # A runner-up tells how sure the first one is; and other faces of the picture can
            # take as many names, whatever number is listed.
            searches = tuple(gallery.search(probes, quality, max(limit, len(probes) + 1)))
        with timed(timings, "decide"):
            decided = decide([each.candidates for each in searches], threshold, calibration.gap)
            answers = tuple(_shortened(answer, limit) for answer in decided)
            probabilities = tuple(
                _probability(search.candidates, float(score), gallery, calibration)
                for search, score in zip(searches, quality, strict=True)
            )
    return Identification(found, probes, searches, answers, probabilities, timings)


def _shortened(answer: FaceAnswer, limit: int) -> FaceAnswer:
    contenders = [answer.candidates.index(each) + 1 for each in answer.contenders]
    return replace(answer, candidates=answer.candidates[: max(limit, *contenders, 0)])


def _probability(
    candidates: Sequence[Candidate],
    quality: float,
    gallery: Gallery,
    calibration: SelfCalibration,
) -> float | None:
    standing = [each for each in candidates if not each.rejected]
    if not standing:
        return None
    first = standing[0]
    # Nobody behind it is as far behind as can be.
    behind = standing[1].score if len(standing) > 1 else -1.0
    return calibration.probability(
        score=first.score,
        gap=first.score - behind,
        several_samples=first.sample_count > 1,
        quality=quality,
        comparisons=gallery.comparisons,
    )


@contextmanager
def timed(timings_ms: dict[str, float], stage: str) -> Iterator[None]:
    """Record the wall time of the block, in milliseconds, under the stage's name."""
    start = perf_counter()
    yield
    timings_ms[stage] = (perf_counter() - start) * 1e3
