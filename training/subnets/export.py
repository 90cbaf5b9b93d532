"""A trained subnet as ONNX: `template` (n, d) in, `cosines` (n, C) out."""

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.arrays import Floats

INPUT, OUTPUT = "template", "cosines"
WEIGHT = "rows"
"""Name in the net of the classes' weights."""
LARGEST_DIFFERENCE = 1e-5
"""Between the cosines of the net and those computed from the weight in double precision."""
PROBES = 64
SHORTEST = 1e-12
"""Length that shorter vectors are divided by, as torch's `normalize` does: zero stays zero."""
OPSET, IR_VERSION = 18, 10


class ExportFailed(RuntimeError):
    """The net does not give the cosines of its weight."""


def export_subnet(weight: Floats) -> bytes:
    """Write a layer as a net, and run it.

    Args:
        weight: (C, d) rows of any length; the net holds them at unit length.

    Returns:
        An ONNX file. It takes float32 templates of any length above 0 and normalises them; the
        same weight gives the same bytes.

    Raises:
        ExportFailed: a cosine is off by more than `LARGEST_DIFFERENCE`, or is not a number.
    """
    classes, dimension = weight.shape
    rows = _unit(weight.astype(np.float64))
    graph = helper.make_graph(
        [
            helper.make_node("ReduceL2", [INPUT, "last_axis"], ["length"], keepdims=1),
            helper.make_node("Max", ["length", "shortest"], ["divisor"]),
            helper.make_node("Div", [INPUT, "divisor"], ["unit_template"]),
            helper.make_node("Gemm", ["unit_template", WEIGHT], [OUTPUT], transB=1),
        ],
        "subnet",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", dimension])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", classes])],
        [
            numpy_helper.from_array(np.array([-1], np.int64), "last_axis"),
            numpy_helper.from_array(np.array(SHORTEST, np.float32), "shortest"),
            numpy_helper.from_array(rows.astype(np.float32), WEIGHT),
        ],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.checker.check_model(model, full_check=True)
    data: bytes = model.SerializeToString(deterministic=True)
    _check(data, rows)
    return data


def with_weights_beside(net: bytes, weights_name: str) -> tuple[bytes, bytes]:
    """Take the weights out of a subnet, so that they can be memory-mapped.

    Args:
        net: from `export_subnet`.
        weights_name: of the file with the weights, in the net's folder.

    Returns:
        The net that refers to that file, and the file's contents: (C, d) little-endian float32.

    Raises:
        ValueError: it is no such net.
    """
    try:
        model = onnx.load_model_from_string(net)
        (rows,) = (each for each in model.graph.initializer if each.name == WEIGHT)
        if rows.data_location == TensorProto.EXTERNAL:
            raise ValueError("its weights are in another file already")
        weights = numpy_helper.to_array(rows).astype("<f4").tobytes()
    except Exception as error:  # the parser's own errors share no class but this one
        raise ValueError(f"it is no subnet's net ({error})") from error
    rows.ClearField("raw_data")
    rows.data_location = TensorProto.EXTERNAL
    for key, value in (("location", weights_name), ("offset", "0"), ("length", str(len(weights)))):
        rows.external_data.add(key=key, value=value)
    data: bytes = model.SerializeToString(deterministic=True)
    return data, weights


def _check(data: bytes, rows: NDArray[np.float64]) -> None:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    # Of many lengths, because the net is to normalise them.
    lengths = rng.uniform(0.1, 10, (PROBES, 1))
    probes = (lengths * rng.standard_normal((PROBES, rows.shape[1]))).astype(np.float32)
    cosines = session.run([OUTPUT], {INPUT: probes})[0]
    difference = np.abs(cosines - _unit(probes.astype(np.float64)) @ rows.T).max()
    # Written so that NaN fails too.
    if not difference <= LARGEST_DIFFERENCE:
        raise ExportFailed(f"the net's cosines are off by {difference:.2g}")


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = vectors / np.maximum(
        np.linalg.norm(vectors, axis=1, keepdims=True), SHORTEST
    )
    return unit
