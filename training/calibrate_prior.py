"""Measure how alike strangers look to an embedder, once, and write its `calibration.json`."""

import json
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from models.arrays import Floats
from models.calibration import Calibration
from models.identifier import QueryPath
from models.probability import FEATURES, Probability
from models.tails import fit_generalised_pareto
from models.zoo import EmbedderManifest
from training.calibration.drawn_galleries import PictureSet, search_drawn
from training.embedding.faces import (
    NO_FACE,
    Copies,
    PictureRows,
    PictureSkipped,
    rows_of,
    subject_face,
)
from training.embedding.pictures import chosen_pictures

TAIL_SHARE = 1e-3
"""Share of the pairs that the tail is fitted on: far enough out that the fit is of a tail, and
still some thousand pairs of it from a few thousand pictures."""
BODY_POINTS = 64


def calibrate(
    images: Path,
    manifest_path: Path,
    *,
    min_images: int,
    max_images: int,
    left_out: Collection[str],
) -> Path:
    """Measure an embedder on a folder of pictures and write `calibration.json` beside its manifest.

    Args:
        images: holds one folder a subject.
        manifest_path: of the embedder.
        min_images: subjects with fewer pictures are left out.
        max_images: of one subject at most, so that no face outweighs the others.
        left_out: names of subjects that are not to be used.
    """
    path = QueryPath.open(manifest_path)
    pictures = read_pictures(
        path,
        chosen_pictures(images, min_images=min_images, left_out=left_out),
        max_images=max_images,
    )
    document = calibration_document(
        non_mated_scores(pictures.templates[:, 0], pictures.subjects),
        manifest=path.embedder.manifest,
        flip=path.embedder.flip,
        made_from={
            "pictures_of": images.name,
            "subjects": len(np.unique(pictures.subjects)),
            "pictures": len(pictures.subjects),
            "min_images": min_images,
            "max_images": max_images,
            "left_out_names": len(left_out),
        },
    )
    written = manifest_path.with_name("calibration.json")
    write_calibration(document | decision_constants(document, pictures), written)
    return written


def read_pictures(
    path: QueryPath, chosen: Mapping[str, Sequence[Path]], *, max_images: int
) -> PictureSet:
    """Embed the face nearest to the centre of each picture, and a degraded copy of it.

    Args:
        path: the opened nets.
        chosen: pictures of each subject; those without a face are passed over.
        max_images: of one subject at most.

    Raises:
        ValueError: a file can't be decoded; the message names it.
    """
    listed = [
        (number, picture)
        for number, pictures in enumerate(chosen.values())
        for picture in pictures[:max_images]
    ]

    def rows(picture: Path) -> PictureRows | None:
        try:
            face = subject_face(path, picture)
        except PictureSkipped as skipped:
            if skipped.reason == NO_FACE:
                return None
            raise ValueError(f"{picture}: {skipped.reason}") from skipped
        name = f"{picture.parent.name}/{picture.name}"
        return rows_of(path, face, Copies(augmented=0, degraded=1, hard=False), seed=0, name=name)

    with ThreadPoolExecutor(2) as pool:
        made = track(
            pool.map(rows, [picture for _, picture in listed]),
            total=len(listed),
            description="templates",
        )
        found = [
            (number, each)
            for (number, _), each in zip(listed, made, strict=True)
            if each is not None
        ]
    return PictureSet(
        subjects=np.array([number for number, _ in found]),
        templates=np.stack([each.vectors for _, each in found]),
        quality=np.stack([each.quality for _, each in found]),
    )


def decision_constants(document: Mapping[str, Any], pictures: PictureSet) -> dict[str, Any]:
    """Measure the gap and fit the probability that decisions without a bundle go by.

    Args:
        document: from `calibration_document`.
        pictures: that it was made from.

    Returns:
        What the file has beside the document.
    """
    nothing = {"gap": 1.0, "probability": Probability(0.0, (0.0,) * len(FEATURES)).to_json()}
    searches = search_drawn(Calibration.of_json({**document, **nothing}), pictures)
    return {
        "gap": round(searches.gap, 6),
        "probability": searches.probability().to_json(),
        "searches": {"gaps": len(searches.gaps), "probability": len(searches.right)},
    }


def non_mated_scores(templates: Floats, subjects: NDArray[np.int64]) -> Floats:
    """Cosines of all pairs of pictures that are of different subjects.

    Args:
        templates: (S, d) unit rows.
        subjects: (S,) whose picture each is.

    Returns:
        (pairs,) cosines, each pair once.
    """
    # One row of the matrix at a time: whole, with its masks, it would take gigabytes.
    rows = [
        templates[row + 1 :][subjects[row + 1 :] != subjects[row]] @ templates[row]
        for row in range(len(templates) - 1)
    ]
    scores: Floats = np.concatenate(rows)
    return scores


def calibration_document(
    scores: Floats, *, manifest: EmbedderManifest, flip: bool, made_from: dict[str, object]
) -> dict[str, object]:
    """Describe a distribution of non-mated scores as the file that `Calibration.load` reads.

    Args:
        scores: (pairs,) non-mated cosines.
        manifest: the embedder that they come from.
        flip: whether its templates were averaged with the mirrored face's.
        made_from: what a reader should know of the data.
    """
    shares = np.geomspace(0.5, TAIL_SHARE, BODY_POINTS)
    cosines = np.quantile(scores.astype(np.float64), 1 - shares)
    start = cosines[-1]
    excesses = scores[scores > start].astype(np.float64) - start
    shape, scale = fit_generalised_pareto(excesses)
    return {
        "format": 1,
        "what": "non-mated comparison scores (cosines) of an embedder",
        "embedder": {"name": manifest.name, "sha256": manifest.sha256, "flip_averaged": flip},
        "made_by": "python -m training calibrate-prior",
        "made_on": datetime.now(UTC).strftime("%Y-%m-%d"),
        "made_from": made_from | {"pairs": len(scores), "tail_pairs": len(excesses)},
        "body": {
            "cosines": [round(float(value), 6) for value in cosines],
            "fmr": [float(f"{share:.6g}") for share in shares],
        },
        "tail": {"shape": round(shape, 6), "scale": round(scale, 6)},
    }


def write_calibration(document: dict[str, object], path: Path) -> None:
    """Write the file whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(document, indent=1) + "\n")
    partial.replace(path)
