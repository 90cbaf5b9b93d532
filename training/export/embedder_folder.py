"""An embedder on disk: the net and the manifest that describes it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

from models.arrays import Floats

LARGEST_DIFFERENCE = 1e-4
"""Between the templates of a converted net and those of the net that it was made from."""


class ConversionFailed(RuntimeError):
    """A converted net does not give what the original gives, so nothing was written."""


@dataclass(frozen=True)
class EmbedderDescription:
    """What a manifest says apart from the file's own name and checksum: see models/zoo.py."""

    name: str
    input_name: str
    side_px: int
    template: tuple[tuple[float, float], ...]
    """Left eye, right eye, nose, mouth left, mouth right; (x, y) in pixels of the crop."""
    mean: float
    scale: float
    dimension: int
    licence: str
    source: str


def write_embedder(folder: Path, net: onnx.ModelProto, description: EmbedderDescription) -> str:
    """Write NAME.onnx and manifest.toml.

    Args:
        folder: made if it is not there. A calibration.json in it is named by the manifest.
        net: takes RGB.
        description: of that net.

    Returns:
        The net's SHA-256 in lower-case hexadecimal.
    """
    folder.mkdir(parents=True, exist_ok=True)
    data = net.SerializeToString(deterministic=True)
    digest = hashlib.sha256(data).hexdigest()
    (folder / f"{description.name}.onnx").write_bytes(data)
    calibrated = (folder / "calibration.json").is_file()
    manifest = manifest_text(description, digest, calibrated=calibrated)
    (folder / "manifest.toml").write_text(manifest, "utf-8")
    return digest


def manifest_text(description: EmbedderDescription, sha256: str, *, calibrated: bool) -> str:
    """The manifest as TOML, with the comments that a reader of the file wants."""
    # A JSON string is a TOML string too.
    text = {
        field: json.dumps(value, ensure_ascii=False)
        for field, value in vars(description).items()
        if isinstance(value, str)
    }
    points = [f"[{x}, {y}]" for x, y in description.template]
    return f"""\
# docs/guides/embedders.md explains the fields.
name = {text["name"]}
file = "{description.name}.onnx"
sha256 = "{sha256}"
input_name = {text["input_name"]}
side_px = {description.side_px}
# Where the landmarks lie in the crop, (x, y) in pixels.
template = [
  {points[0]}, # left eye: the one with the smaller x
  {points[1]}, # right eye
  {points[2]}, # tip of the nose
  {points[3]}, # left corner of the mouth
  {points[4]}, # right corner of the mouth
]
colour_order = "RGB"
mean = {description.mean} # the net is given (value - mean) / scale
scale = {description.scale}
dimension = {description.dimension}
licence = {text["licence"]}
source = {text["source"]}
{'calibration = "calibration.json"' if calibrated else "# calibration: not measured yet"}
"""


def run_onnx(net: onnx.ModelProto, faces: Floats) -> Floats:
    """Run a net with one input and one output in memory.

    Args:
        net: the model.
        faces: (n, 3, side, side), as the net takes them.

    Returns:
        (n, d) what it gives.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 3
    session = ort.InferenceSession(
        net.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (templates,) = session.run(None, {session.get_inputs()[0].name: faces})
    result: Floats = templates
    return result


def check_same(converted: Floats, original: Floats) -> float:
    """Compare the templates of both nets, each brought to unit length.

    Args:
        converted: (n, d), of any length.
        original: (n, d), likewise.

    Returns:
        The largest difference of two values.

    Raises:
        ConversionFailed: it is above `LARGEST_DIFFERENCE`.
    """
    difference = float(np.abs(_unit(converted) - _unit(original)).max())
    if not difference <= LARGEST_DIFFERENCE:
        raise ConversionFailed(
            f"templates differ by up to {difference:.1e}, and at most "
            f"{LARGEST_DIFFERENCE:.0e} is taken for rounding"
        )
    return difference


def _unit(rows: Floats) -> Floats:
    lengths: Floats = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / lengths


def random_faces(side_px: int, *, count: int = 8) -> Floats:
    """Crops of noise of several coarsenesses, scaled to about [-1, 1], to compare two nets on.

    Returns:
        (count, 3, side_px, side_px).
    """
    rng = np.random.default_rng(0)
    faces = np.empty((count, 3, side_px, side_px), np.float32)
    for index, face in enumerate(faces):
        step = 2 ** (index % 5)  # pixels of one colour beside each other
        blocks = rng.uniform(-1, 1, (3, -(-side_px // step), -(-side_px // step)))
        face[:] = blocks.repeat(step, axis=1).repeat(step, axis=2)[:, :side_px, :side_px]
    return faces
