"""The rewritten graph against the plain one, run by ONNX Runtime."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from training.export.fast_prelu import with_fast_prelu

SLOPES = np.random.default_rng(3).uniform(-0.5, 1.5, 7).astype(np.float32)


def net(slope: NDArray[np.float32], shape: list[int | str], *, stored_as: str) -> onnx.ModelProto:
    """Two PRelu around a sign change, with one slope between them, stored as asked."""
    nodes = [
        helper.make_node("PRelu", ["x", "slope"], ["a"]),
        helper.make_node("Neg", ["a"], ["b"]),
        helper.make_node("PRelu", ["b", "slope"], ["y"]),
    ]
    tensor = numpy_helper.from_array(slope, "slope")
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)]
    initialisers = []
    match stored_as:
        case "initialiser":
            initialisers = [tensor]
        case "constant":
            nodes.insert(0, helper.make_node("Constant", [], ["slope"], value=tensor))
        case "input":
            inputs.append(
                helper.make_tensor_value_info("slope", onnx.TensorProto.FLOAT, slope.shape)
            )
    outputs = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)]
    graph = helper.make_graph(nodes, "net", inputs, outputs, initialisers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def output(model: onnx.ModelProto, feeds: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    result: NDArray[np.float32] = session.run(None, feeds)[0]
    return result


def count(model: onnx.ModelProto, operator: str) -> int:
    return sum(node.op_type == operator for node in model.graph.node)


@pytest.mark.parametrize("stored_as", ["initialiser", "constant"])
@pytest.mark.parametrize(
    ("slope", "shape"),
    [
        pytest.param(SLOPES.reshape(7, 1, 1), (2, 7, 5, 3), id="per-channel"),
        pytest.param(SLOPES, (4, 7), id="per-feature"),
        pytest.param(SLOPES[:1], (4, 7), id="one-slope"),
    ],
)
def test_result_is_the_plain_one(
    slope: NDArray[np.float32], shape: tuple[int, ...], stored_as: str
) -> None:
    plain = net(slope, ["n", *shape[1:]], stored_as=stored_as)
    fast = with_fast_prelu(plain)
    onnx.checker.check_model(fast, full_check=True)
    assert count(fast, "PRelu") == 0
    x = np.random.default_rng(5).normal(0, 4, shape).astype(np.float32)
    np.testing.assert_allclose(output(fast, {"x": x}), output(plain, {"x": x}), atol=1e-5)


def test_the_model_handed_in_is_not_changed() -> None:
    plain = net(SLOPES, ["n", 7], stored_as="initialiser")
    before = plain.SerializeToString()
    with_fast_prelu(plain)
    assert plain.SerializeToString() == before


def test_a_slope_that_is_no_constant_is_left_alone() -> None:
    plain = net(SLOPES, ["n", 7], stored_as="input")
    assert with_fast_prelu(plain) == plain


def test_same_model_gives_the_same_bytes() -> None:
    plain = net(SLOPES, ["n", 7], stored_as="initialiser")
    first, second = with_fast_prelu(plain), with_fast_prelu(plain)
    assert first.SerializeToString() == second.SerializeToString()
