"""A second embedder, made on the spot: another size, dimension and colour order than the default.

It is linear, so that a few lines of numpy are its slow twin.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.arrays import Floats

SIDE_PX = 24
DIMENSION = 7
TEMPLATE = [[8.0, 9.5], [16.0, 9.5], [12.0, 13.5], [9.0, 18.0], [15.0, 18.0]]


def weights(*, side_px: int = SIDE_PX, dimension: int = DIMENSION) -> Floats:
    """(3 * side_px * side_px, dimension): what each value of a face adds to the template."""
    rng = np.random.default_rng(5)
    return rng.standard_normal((3 * side_px * side_px, dimension)).astype(np.float32)


def linear_net(
    *,
    side_px: int | str = SIDE_PX,
    dimension: int = DIMENSION,
    batch: int | str = "n",
    element: int = TensorProto.FLOAT,
    input_name: str = "picture",
    outputs: int = 1,
) -> onnx.ModelProto:
    """Flatten, then a matrix product; a side given as a name is left open."""
    nodes = [
        helper.make_node("Cast", [input_name], ["values"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["values"], ["row"], axis=1),
        helper.make_node("MatMul", ["row", "weights"], ["template"]),
        helper.make_node("Neg", ["template"], ["other"]),
    ]
    matrix = weights(side_px=side_px if isinstance(side_px, int) else SIDE_PX, dimension=dimension)
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info(input_name, element, [batch, 3, side_px, side_px])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, dimension])
            for name in ("template", "other")[:outputs]
        ],
        [numpy_helper.from_array(matrix, "weights")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def manifest_fields(folder: Path, net: onnx.ModelProto | None = None) -> dict[str, Any]:
    """Write the net into the folder, and give the fields of the manifest that describes it."""
    data = (net or linear_net()).SerializeToString()
    (folder / "linear.onnx").write_bytes(data)
    return {
        "name": "linear-7",
        "file": "linear.onnx",
        "sha256": hashlib.sha256(data).hexdigest(),
        "input_name": "picture",
        "side_px": SIDE_PX,
        "template": TEMPLATE,
        "colour_order": "BGR",
        "mean": 100,
        "scale": 50.0,
        "dimension": DIMENSION,
        "licence": "Apache-2.0",
        "source": "made by a test",
    }


def write_manifest(folder: Path, fields: dict[str, Any]) -> Path:
    """Write manifest.toml; a JSON value of these kinds is a TOML value too."""
    path = folder / "manifest.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in fields.items()))
    return path
