"""The life of a probe: picture -> faces -> templates -> route -> decision, as named calls."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.align import align
from models.decide import FaceAnswer, decide
from models.decode import DecodeLimits, decode
from models.detect import Detections, DetectorNets, DetectorSettings, detect
from models.embed import Embedder, embed
from models.gallery import Gallery
from models.quality import Quality, assess
from models.runtime import Provider
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
            embedder=Embedder.open(manifest, flip=flip, provider=provider, threads=threads),
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
    answers: tuple[FaceAnswer, ...]
    """One a face, in the order of `found`."""
    timings_ms: dict[str, float]
    """Milliseconds of decode, detect, align, embed, route, decide and total."""
    revision: int


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
    *,
    limit: int,
    threshold: float,
) -> Identification:
    """Name the faces of a picture, or say that they are unknown.

    Args:
        path: the opened nets.
        data: JPEG, PNG or WebP.
        gallery: the snapshot to search, from templates of the same embedder.
        limit: candidates a face at most.
        threshold: lowest fused cosine that is a match; `Calibration.threshold` derives it.

    Raises:
        PictureRefused: it is no picture that can be worked on.
    """
    timings: dict[str, float] = {}
    with timed(timings, "total"):
        found = find_faces(path, data)
        timings |= found.timings_ms
        with timed(timings, "embed"):
            probes = embed(path.embedder, found.crops)
        with timed(timings, "route"):
            # Other faces of the picture can take as many names, whatever number is listed.
            candidates = gallery.search(probes, max(limit, len(probes)))
        with timed(timings, "decide"):
            answers = tuple(
                replace(answer, candidates=answer.candidates[:limit])
                for answer in decide(candidates, threshold)
            )
    return Identification(found, answers, timings, gallery.revision)


@contextmanager
def timed(timings_ms: dict[str, float], stage: str) -> Iterator[None]:
    """Record the wall time of the block, in milliseconds, under the stage's name."""
    start = perf_counter()
    yield
    timings_ms[stage] = (perf_counter() - start) * 1e3
