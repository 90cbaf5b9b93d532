"""One picture file -> the face of its subject -> the templates of all rows made from it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.arrays import Floats
from models.decode import PictureRefused
from models.degrade import degraded_copies
from models.detect import Detections
from models.embed import embed
from models.identifier import QueryPath, find_faces
from models.quality import assess
from training.embedding.augment import augmented_copies
from training.embedding.hard import hard_probe
from training.stores.format import HARD_KINDS, Kind

NO_FACE = "no_face"
NOT_READABLE = "not_readable"


class PictureSkipped(ValueError):
    """A picture gives no face.

    Attributes:
        reason: `no_face`, `not_readable`, or the code of a `PictureRefused`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class SubjectFace:
    """The face of the subject of a picture."""

    detection: Detections
    """Of this face alone."""
    crop: NDArray[np.uint8]
    """(side, side, 3) RGB, aligned."""


@dataclass(frozen=True)
class Copies:
    """How many rows are made from one picture beside the original."""

    augmented: int
    degraded: int
    hard: bool
    """Whether the hard probes are made, one of each kind."""


@dataclass(frozen=True, eq=False)
class PictureRows:
    """The n rows of one picture, the original first."""

    vectors: Floats
    """(n, d) unit rows."""
    kinds: NDArray[np.uint8]
    """(n,) `Kind`."""
    quality: Floats
    """(n,) in [0, 1], of each copy as it looks."""


def subject_face(path: QueryPath, picture: Path) -> SubjectFace:
    """Find the face nearest to the centre of a picture.

    Raises:
        PictureSkipped: there is none, or the file is no picture or may not be read.
        OSError: reading failed in another way, which says nothing of the picture.
    """
    try:
        found = find_faces(path, picture.read_bytes())
    except PictureRefused as refused:
        raise PictureSkipped(refused.code) from refused
    except PermissionError as error:
        raise PictureSkipped(NOT_READABLE) from error
    if not len(found):
        raise PictureSkipped(NO_FACE)
    centre = found.nearest_to_centre()
    every = found.detections
    only = slice(centre, centre + 1)
    detection = Detections(every.boxes[only], every.landmarks[only], every.scores[only])
    # A copy, so that the other crops of the picture can be let go of.
    return SubjectFace(detection, found.crops[centre].copy())


def rows_of(
    path: QueryPath, face: SubjectFace, copies: Copies, *, seed: int, name: str
) -> PictureRows:
    """Make the copies of a face, assess and embed them.

    Args:
        path: the opened nets.
        face: of the picture.
        copies: what to make of it.
        seed: of the run, at least 0.
        name: of the picture; with the seed, it alone decides what is drawn.
    """
    digest = hashlib.sha256(name.encode()).digest()
    sequence = np.random.SeedSequence([seed, int.from_bytes(digest[:16], "big")])
    # A generator for each purpose: the number of copies of one kind leaves the other kind as it is.
    augmenting, degrading = (np.random.default_rng(child) for child in sequence.spawn(2))
    nose_y_px = float(path.embedder.manifest.template[2, 1])
    made: list[tuple[Kind, NDArray[np.uint8]]] = [
        (Kind.ORIGINAL, face.crop),
        *(
            (Kind.AUGMENTED, crop)
            for crop in augmented_copies(face.crop, copies.augmented, augmenting)
        ),
        *(
            (Kind.DEGRADED, copy.crop)
            for copy in degraded_copies(face.crop, copies.degraded, degrading)
        ),
        *(
            (kind, hard_probe(face.crop, kind, nose_y_px=nose_y_px))
            for kind in (HARD_KINDS if copies.hard else ())
        ),
    ]
    crops = np.stack([crop for _, crop in made])
    same = np.zeros(len(made), np.intp)
    detections = Detections(
        face.detection.boxes[same], face.detection.landmarks[same], face.detection.scores[same]
    )
    return PictureRows(
        vectors=embed(path.embedder, crops),
        kinds=np.array([kind for kind, _ in made], np.uint8),
        quality=np.array([each.score for each in assess(detections, crops)], np.float32),
    )
