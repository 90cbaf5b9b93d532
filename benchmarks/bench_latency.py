"""How much a request costs over its nets, and against facenet-pytorch's detector.

    make bench-latency LFW=<folder of people> PROTOCOL=<folder with lfw-same-person.tsv>

All that is compared runs in turn, picture by picture, in one run, on one thread each: these are
ratios of medians. The service is a process of its own, reached over HTTP.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime as ort
import psutil
from rich.progress import track

from benchmarks.lfw import open_set
from benchmarks.report import write_results
from benchmarks.searches import enrol_all
from benchmarks.service import Service, running_service
from models.align import align
from models.arrays import Picture
from models.decode import DecodeLimits, decode
from models.detect import DetectorNets, DetectorSettings, detect
from models.embed import Embedder, embed
from models.identifier import QueryPath, find_faces
from models.runtime import configure_threads

PICTURES = 200
ROUNDS = 3
CLIENTS = 8
LOAD_S = 20.0
SEED = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lfw", type=Path, required=True, help="folder with one folder a person")
    parser.add_argument("--protocol", type=Path, required=True, help="folder with the label errors")
    parser.add_argument("--service-python", default=sys.executable, help="interpreter that serves")
    arguments = parser.parse_args()
    protocol = open_set(arguments.lfw, arguments.protocol)
    probes = [picture for _, picture in protocol.mated] + protocol.non_mated
    chosen = np.random.default_rng(SEED).choice(len(probes), PICTURES, replace=False)
    pictures = [probes[number] for number in sorted(chosen)]
    configure_threads(1)
    # Variants are for the trainer: making them would only lengthen the preparation.
    with running_service(arguments.service_python, {"COHORT_ENROLL_VARIANTS": "0"}) as service:
        figures = {"gallery_subjects": float(len(enrol_all(service, protocol.gallery)))}
        figures |= in_turn(service, pictures)
        figures |= under_load(service, pictures)
    write_results("latency", figures)


def in_turn(service: Service, pictures: Sequence[Path]) -> dict[str, float]:
    """Time everything that is compared, picture by picture."""
    path = QueryPath.open()
    client = service.client()
    uploads = [picture.read_bytes() for picture in pictures]
    decoded = {data: decode(data, path.limits) for data in uploads}
    works: dict[str, Callable[[bytes], object]] = {
        "request": client.identify,
        "nets": bare_nets(path, uploads),
        "query_path": lambda data: embed(path.embedder, find_faces(path, data).crops),
    }
    for smallest in (20, 40):
        works[f"detector_{smallest}"] = our_detector(path.nets, smallest, decoded)
    works |= facenet_works(path.embedder, decoded)
    seconds: dict[str, list[float]] = defaultdict(list)
    for number in track(range(-1, ROUNDS), description="one client, in turn"):
        for data in uploads[: 20 if number < 0 else None]:
            for name, work in works.items():
                start = time.perf_counter()
                work(data)
                if number >= 0:  # the first round only warms up
                    seconds[name].append(time.perf_counter() - start)
    medians = {name: float(np.median(values)) * 1e3 for name, values in seconds.items()}
    figures = {f"{name}_ms": value for name, value in medians.items()}
    figures["request_over_nets"] = medians["request"] / medians["nets"]
    if "facenet_pipeline" in medians:
        for smallest in (20, 40):
            figures[f"detector_speedup_{smallest}"] = (
                medians[f"facenet_detector_{smallest}"] / medians[f"detector_{smallest}"]
            )
        figures["pipeline_speedup"] = medians["facenet_pipeline"] / medians["request"]
    return figures


class Recorder:
    """An ONNX Runtime session that keeps what it is fed."""

    def __init__(self, session: ort.InferenceSession) -> None:
        self._session = session
        self.calls: list[Callable[[], object]] = []

    def run(self, outputs: list[str] | None, feeds: dict[str, Any]) -> Any:
        kept = {name: value.copy() for name, value in feeds.items()}
        self.calls.append(lambda: self._session.run(outputs, kept))
        return self._session.run(outputs, feeds)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def bare_nets(path: QueryPath, pictures: Sequence[bytes]) -> Callable[[bytes], object]:
    """Make a function that runs only the nets, on the very inputs that each picture led to."""
    nets = [
        Recorder(session)
        for session in (path.nets.proposal, path.nets.refinement, path.nets.output)
    ]
    embedder_session = Recorder(path.embedder.session)
    recorded_path = QueryPath(
        nets=DetectorNets(*cast("list[ort.InferenceSession]", nets)),
        detector_settings=path.detector_settings,
        embedder=Embedder(
            path.embedder.manifest,
            cast("ort.InferenceSession", embedder_session),
            path.embedder.flip,
        ),
        limits=path.limits,
    )
    calls: dict[bytes, list[Callable[[], object]]] = {}
    for data in pictures:
        embed(recorded_path.embedder, find_faces(recorded_path, data).crops)
        calls[data] = [call for net in (*nets, embedder_session) for call in net.calls]
        for net in (*nets, embedder_session):
            net.calls.clear()

    def run_all(data: bytes) -> None:
        for call in calls[data]:
            call()

    return run_all


def our_detector(
    nets: DetectorNets, smallest_face_px: int, decoded: Mapping[bytes, Picture]
) -> Callable[[bytes], object]:
    settings = DetectorSettings(smallest_face_px=smallest_face_px)
    return lambda data: detect(nets, decoded[data], settings)


def facenet_works(
    embedder: Embedder, decoded: Mapping[bytes, Picture]
) -> dict[str, Callable[[bytes], object]]:
    """facenet-pytorch's detector, alone and followed by the same embedder; empty without it."""
    try:
        import torch

        from training.export.facenet import facenet_mtcnn
    except ImportError:
        return {}
    torch.set_num_threads(1)
    limits = DecodeLimits()
    detectors = {smallest: facenet_mtcnn(smallest_face_px=smallest) for smallest in (20, 40)}
    smallest_face_px = DetectorSettings().smallest_face_px

    def detector(smallest: int) -> Callable[[bytes], object]:
        return lambda data: detectors[smallest].detect(decoded[data], landmarks=True)

    def pipeline(data: bytes) -> object:
        picture = decode(data, limits)
        _, _, landmarks = detectors[smallest_face_px].detect(picture, landmarks=True)
        if landmarks is None:
            return None
        manifest = embedder.manifest
        crops = align(
            picture, np.asarray(landmarks, np.float32), manifest.template, manifest.side_px
        )
        return embed(embedder, crops)

    return {
        "facenet_detector_20": detector(20),
        "facenet_detector_40": detector(40),
        "facenet_pipeline": pipeline,
    }


def under_load(service: Service, pictures: Sequence[Path]) -> dict[str, float]:
    """What eight clients get, against what the cores allow by the cost of one request."""
    process = psutil.Process(service.pid)

    def processor_seconds() -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    client = service.client()
    used = processor_seconds()
    for picture in pictures:
        client.identify(picture.read_bytes())
    cpu_s_per_request = (processor_seconds() - used) / len(pictures)

    used = processor_seconds()
    output = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.load"),
            *("--port", str(service.port), "--key", service.key),
            *("--clients", str(CLIENTS), "--seconds", str(LOAD_S)),
            *map(str, pictures),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    load = json.loads(output)
    rate = load["requests"] / load["wall_s"]
    cores = len(os.sched_getaffinity(0)) - load["cpu_s"] / load["wall_s"]
    return {
        "cpu_ms_per_request": cpu_s_per_request * 1e3,
        "cpu_ms_per_request_under_load": (processor_seconds() - used) / load["requests"] * 1e3,
        "clients": CLIENTS,
        "requests_per_s": rate,
        "load_generator_cores": load["cpu_s"] / load["wall_s"],
        "throughput_share": rate * cpu_s_per_request / cores,
    }


if __name__ == "__main__":
    main()
