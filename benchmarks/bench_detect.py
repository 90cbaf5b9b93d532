"""The face detector against facenet-pytorch's MTCNN: the same faces, in how much less time.

    make bench-detect LFW=<folder of people>

The two run in turn on each picture, on one thread each and then on every core, so that a busy
moment of the machine meets both. A face of facenet-pytorch's with a score of at least 0.9 counts as
found where ours has one with intersection over union >= 0.9 and landmarks within 3 % of its width.
"""

import argparse
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from rich.progress import track

from benchmarks.report import write_results
from models.arrays import Floats, Picture
from models.detect import Detections, DetectorNets, DetectorSettings, detect
from models.weights import MTCNN_FOLDER
from training.export.facenet import facenet_mtcnn

PICTURES = 1000
SMALLEST_FACES_PX = (20, 40)
SURE = 0.9
SEED = 0

Detector = Callable[[Picture], Detections]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lfw", type=Path, required=True, help="folder with one folder a person")
    files = sorted(parser.parse_args().lfw.glob("*/*.jpg"))
    chosen = np.random.default_rng(SEED).choice(len(files), PICTURES, replace=False)
    pictures = [np.asarray(Image.open(files[n]).convert("RGB")) for n in sorted(chosen)]

    figures: dict[str, float] = {"pictures": len(pictures)}
    for threads, name in ((1, "one_thread"), (len(os.sched_getaffinity(0)), "all_cores")):
        for smallest_face_px in SMALLEST_FACES_PX:
            found, medians = in_turn(pictures, smallest_face_px, threads)
            case = f"{smallest_face_px}_{name}"
            figures[f"detector_ms_{case}"] = medians["ours"]
            figures[f"facenet_ms_{case}"] = medians["theirs"]
            figures[f"detector_speedup_{case}"] = medians["theirs"] / medians["ours"]
            if threads == 1:
                parity = compared(found["theirs"], found["ours"])
                figures |= {f"{key}_{smallest_face_px}": n for key, n in parity.items()}
    write_results("detect", figures)


def in_turn(
    pictures: Sequence[Picture], smallest_face_px: int, threads: int
) -> tuple[dict[str, list[Detections]], dict[str, float]]:
    """What each detector finds in every picture, and its median time a picture in milliseconds."""
    cv2.setNumThreads(threads)
    torch.set_num_threads(threads)
    detectors = {
        "ours": our_detector(smallest_face_px, threads),
        "theirs": their_detector(smallest_face_px),
    }
    found: dict[str, list[Detections]] = defaultdict(list)
    seconds: dict[str, list[float]] = defaultdict(list)
    for picture in pictures[:10]:
        for run in detectors.values():
            run(picture)
    description = f"smallest face {smallest_face_px} px, threads {threads}"
    for picture in track(pictures, description=description):
        for name, run in detectors.items():
            start = time.perf_counter()
            found[name].append(run(picture))
            seconds[name].append(time.perf_counter() - start)
    return found, {name: float(np.median(values)) * 1e3 for name, values in seconds.items()}


def our_detector(smallest_face_px: int, threads: int) -> Detector:
    nets = DetectorNets.open(MTCNN_FOLDER, threads=threads)
    settings = DetectorSettings(smallest_face_px=smallest_face_px)
    return lambda picture: detect(nets, picture, settings)


def their_detector(smallest_face_px: int) -> Detector:
    mtcnn = facenet_mtcnn(smallest_face_px=smallest_face_px)

    def run(picture: Picture) -> Detections:
        boxes, scores, landmarks = mtcnn.detect(picture, landmarks=True)
        if boxes is None:
            boxes, landmarks, scores = np.empty((0, 4)), np.empty((0, 5, 2)), np.empty(0)
        return Detections(*(np.asarray(a, np.float32) for a in (boxes, landmarks, scores)))

    return run


def compared(theirs: Sequence[Detections], ours: Sequence[Detections]) -> dict[str, float]:
    """Share of their sure faces that ours finds, and the other way round."""
    counts: Counter[str] = Counter()
    for their, our in zip(theirs, ours, strict=True):
        counts["theirs"] += int((their.scores >= SURE).sum())
        counts["ours"] += int((our.scores >= SURE).sum())
        counts["found"] += sum(same_faces(their, our))
        counts["found_by_them"] += sum(same_faces(our, their))
    return {
        "faces": counts["theirs"],
        "parity": counts["found"] / counts["theirs"],
        "parity_reverse": counts["found_by_them"] / counts["ours"],
    }


def same_faces(wanted: Detections, found: Detections) -> list[bool]:
    """For each sure face wanted, whether it is among those found."""
    return [
        any(
            overlap(box, other) >= 0.9 and np.abs(points - marks).max() <= 0.03 * (box[2] - box[0])
            for other, marks in zip(found.boxes, found.landmarks, strict=True)
        )
        for box, points, score in zip(wanted.boxes, wanted.landmarks, wanted.scores, strict=True)
        if score >= SURE
    ]


def overlap(box: Floats, other: Floats) -> float:
    """Intersection over union."""
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])
    common = float(np.prod(sides.clip(min=0)))
    return common / (float(np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2])) - common)


if __name__ == "__main__":
    main()
