"""Templates of pictures as they are and in worse forms."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from models.align import similarities
from models.arrays import Floats, Picture
from models.decode import decode
from models.detect import Detections
from models.embed import embed
from models.identifier import QueryPath, find_faces
from models.quality import assess
from training.embedding.hard import hard_probe
from training.stores.format import Kind

FACE_WIDTH_PX = 40


class Variant(StrEnum):
    """What is done. The first three are pictures, in each of which the face is found anew."""

    CLEAN = "clean"
    PX_40 = "px_40"
    """Made so small that the part of it that is aligned, with the face from temple to temple, is
    40 pixels wide; the detector's box is about 28."""
    GREY = "grey"
    """Without colour."""
    PX_24 = "px_24"
    """The aligned crop brought down to 24 x 24 pixels and back, as training's hard probes."""
    COVERED = "covered"
    """The aligned crop from the tip of the nose down grey, likewise."""


@dataclass(frozen=True, eq=False)
class Templates:
    """n pictures, in all variants."""

    rows: dict[Path, int]
    """Of the pictures in all variants of which a face was found."""
    templates: Floats
    """(n, V, d) unit rows, in the order of `Variant`."""
    quality: Floats
    """(n, V) in [0, 1]."""

    def of(self, pictures: Sequence[Path], variant: Variant) -> tuple[Floats, Floats]:
        """(p, d) templates and (p,) quality of some pictures."""
        rows = [self.rows[picture] for picture in pictures]
        place = list(Variant).index(variant)
        return self.templates[rows, place], self.quality[rows, place]


def read_templates(pictures: Sequence[Path], kept: Path | None) -> Templates:
    """Make the templates of the face nearest to the centre of each picture, in all variants.

    Args:
        pictures: files. Those without a face are missing in what is given back.
        kept: a file where they are kept for the next time; None: they aren't.
    """
    if kept is not None and kept.exists():
        with np.load(kept, allow_pickle=False) as arrays:
            rows = {Path(name): row for row, name in enumerate(arrays["pictures"].tolist())}
            found = Templates(rows, arrays["templates"], arrays["quality"])
        if all(picture in found.rows for picture in pictures):
            return found
    path = QueryPath.open()

    with ThreadPoolExecutor(2) as pool:
        made = pool.map(lambda picture: _all_variants(path, picture), pictures)
        every = list(track(made, total=len(pictures), description="templates"))
    with_face = [(picture, each) for picture, each in zip(pictures, every, strict=True) if each]
    found = Templates(
        {picture: row for row, (picture, _) in enumerate(with_face)},
        np.stack([templates for _, (templates, _) in with_face]),
        np.stack([quality for _, (_, quality) in with_face]),
    )
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        names = np.array([str(picture) for picture in found.rows])
        np.savez(kept, pictures=names, templates=found.templates, quality=found.quality)
    return found


def smaller(picture: Picture, crop_width_px: float) -> Picture:
    """Shrink a picture whose face has a crop so wide to where it is `FACE_WIDTH_PX`."""
    times = FACE_WIDTH_PX / crop_width_px
    shrunk = cv2.resize(picture, None, fx=times, fy=times, interpolation=cv2.INTER_AREA)
    return np.asarray(shrunk, np.uint8)


def grey(picture: Picture) -> Picture:
    """Take the colour from an (H, W, 3) picture, which keeps its three channels."""
    levels = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
    return np.repeat(levels[:, :, None], 3, axis=2)


def _all_variants(path: QueryPath, file: Path) -> tuple[Floats, Floats] | None:
    """(V, d) templates and (V,) quality of a picture; None: some variant shows no face."""
    manifest = path.embedder.manifest
    data = file.read_bytes()
    clean = _centre_face(path, data)
    if clean is None:
        return None
    seen, crop = clean
    picture = decode(data, path.limits)
    [to_crop] = similarities(seen.landmarks, manifest.template)
    crop_width_px = manifest.side_px / float(np.hypot(to_crop[0, 0], to_crop[1, 0]))
    anew = [
        _centre_face(path, _png(changed))
        for changed in (smaller(picture, crop_width_px), grey(picture))
    ]
    nose_y_px = float(manifest.template[2, 1])
    faces = [
        clean,
        *anew,
        *(
            (seen, hard_probe(crop, kind, nose_y_px=nose_y_px))
            for kind in (Kind.HARD_RESOLUTION, Kind.HARD_COVER)
        ),
    ]
    found = [face for face in faces if face is not None]
    if len(found) < len(Variant):
        return None
    detections = Detections(
        *(np.concatenate([getattr(one, field.name) for one, _ in found]) for field in fields(seen))
    )
    crops = np.stack([each for _, each in found])
    quality = [each.score for each in assess(detections, crops)]
    return embed(path.embedder, crops), np.array(quality, np.float32)


def _centre_face(path: QueryPath, data: bytes) -> tuple[Detections, NDArray[np.uint8]] | None:
    """The face nearest to the centre of a picture, alone, and its crop."""
    found = find_faces(path, data)
    if not len(found):
        return None
    centre = found.nearest_to_centre()
    only = slice(centre, centre + 1)
    every = found.detections
    alone = Detections(every.boxes[only], every.landmarks[only], every.scores[only])
    return alone, found.crops[centre]


def _png(picture: Picture) -> bytes:
    """Nothing is lost in a PNG file. OpenCV takes BGR."""
    _, file = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return bytes(file)
