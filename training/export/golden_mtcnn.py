"""Golden fixtures for the detector: what facenet-pytorch's own MTCNN finds in derived pictures."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from training.export.facenet import facenet_mtcnn
from training.export.golden_pictures import derived_pictures

# What DetectorSettings calls so. The last lets through what the other two hardly ever see: faces
# within faces, and levels so close that their boxes overlap.
SETTINGS: tuple[dict[str, Any], ...] = (
    {"smallest_face_px": 20, "thresholds": (0.6, 0.7, 0.7), "pyramid_factor": 0.709},
    {"smallest_face_px": 40, "thresholds": (0.6, 0.7, 0.7), "pyramid_factor": 0.709},
    {"smallest_face_px": 30, "thresholds": (0.4, 0.3, 0.2), "pyramid_factor": 0.87},
)


def write_golden(sources: Path, out: Path) -> list[int]:
    """Write the derived pictures as JPEG files, and golden.json with the faces found in each.

    The faces are looked for in the written files, so that what is compared later depends on no
    library's drawing or resizing.

    Args:
        sources: tests/data.
        out: made if it is not there; its *.jpg are replaced.

    Returns:
        How many faces were found with each of SETTINGS.
    """
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.jpg"):
        old.unlink()
    for name, picture in derived_pictures(sources):
        picture.save(out / f"{name}.jpg", quality=85, optimize=True)

    torch.set_num_threads(1)  # more would give other last digits
    files = sorted(out.glob("*.jpg"))
    runs = [{"settings": settings, "faces": _faces(files, settings)} for settings in SETTINGS]
    made_with = {name: version(name) for name in ("facenet-pytorch", "torch", "pillow")}
    (out / "golden.json").write_text(_compact(made_with, runs))
    return [sum(len(faces) for faces in run["faces"].values()) for run in runs]


def _faces(files: list[Path], settings: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Box, landmarks and score of each face, by file name."""
    detector = facenet_mtcnn(**settings)
    found: dict[str, list[dict[str, Any]]] = {}
    for file in files:
        picture = np.asarray(Image.open(file).convert("RGB"))
        found[file.name] = []
        if min(picture.shape[:2]) < settings["smallest_face_px"]:
            continue  # it fails there, on an empty list of levels, rather than find nothing
        boxes, scores, landmarks = detector.detect(picture, landmarks=True)
        if boxes is None:
            continue
        for box, score, points in zip(boxes, scores, landmarks, strict=True):
            found[file.name].append(
                {
                    "box": np.round(box.astype(float), 3).tolist(),
                    "landmarks": np.round(points.astype(float), 3).tolist(),
                    "score": round(float(score), 5),
                }
            )
    return found


def _compact(made_with: dict[str, str], runs: list[dict[str, Any]]) -> str:
    """JSON with one line a picture, so that a change can be read."""
    parts = []
    for run in runs:
        rows = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in run["faces"].items())
        parts.append(f'{{"settings": {json.dumps(run["settings"])}, "faces": {{\n{rows}\n}}}}')
    return f'{{"made_with": {json.dumps(made_with)}, "runs": [\n' + ",\n".join(parts) + "\n]}\n"
