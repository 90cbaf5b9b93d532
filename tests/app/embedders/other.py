"""A second embedder as good as the default one: its templates, turned in space and shortened.

It knows faces, so that services can be asked who somebody is; and nothing of one embedder's
templates is of use to the other.
"""

import hashlib
import json
import tomllib
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from models.weights import DEFAULT_EMBEDDER

NAME = "turned-160"
DIMENSION = 160


def make_other_embedder(folder: Path, *, name: str = NAME, dimension: int = DIMENSION) -> Path:
    """Write net, calibration and manifest into a folder; gives the manifest's path."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = tomllib.loads(DEFAULT_EMBEDDER.read_text())
    net = onnx.load(DEFAULT_EMBEDDER.parent / fields["file"])
    (output,) = net.graph.output
    width = output.type.tensor_type.shape.dim[1].dim_value
    axes, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(width, width)))
    turn = axes[:, :dimension].astype(np.float32)
    net.graph.initializer.append(numpy_helper.from_array(turn, "turn"))
    net.graph.node.append(helper.make_node("MatMul", [output.name, "turn"], ["turned"]))
    output.name = "turned"
    output.type.tensor_type.shape.dim[1].dim_value = dimension
    content = net.SerializeToString()
    (folder / "net.onnx").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    calibration = json.loads((DEFAULT_EMBEDDER.parent / fields["calibration"]).read_text())
    calibration["embedder"] |= {"name": name, "sha256": digest}
    (folder / "calibration.json").write_text(json.dumps(calibration))
    fields |= {"name": name, "file": "net.onnx", "sha256": digest, "dimension": dimension}
    manifest = folder / "manifest.toml"
    manifest.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items()))
    return manifest
