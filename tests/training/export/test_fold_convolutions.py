"""Rewritten nets against the plain ones, run by ONNX Runtime."""

from collections import Counter

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from training.export.embedder_folder import run_onnx
from training.export.fold_convolutions import absorb_slopes, merge_pointwise

CHANNELS = 6
# Around 1, where one of the two forms divides by nearly nothing, and on both sides of 0.
SLOPES = np.array([0.25, -3.0, 0.999, 1.001, 7.0, 0.0], np.float32)


def conv(
    name: str, source: str, weights: NDArray[np.float32], *, bias: bool = True, **settings: object
) -> tuple[NodeProto, list[TensorProto]]:
    """A convolution node and its constants, NAME_w and NAME_b."""
    rng = np.random.default_rng(len(name))
    inputs = [source, f"{name}_w", *([f"{name}_b"] if bias else [])]
    constants = [numpy_helper.from_array(weights, f"{name}_w")]
    if bias:
        values = rng.standard_normal(len(weights)).astype(np.float32)
        constants.append(numpy_helper.from_array(values, f"{name}_b"))
    return helper.make_node("Conv", inputs, [name], name=name, **settings), constants


def kernel(*shape: int) -> NDArray[np.float32]:
    rng = np.random.default_rng(sum(shape))
    return rng.standard_normal(shape).astype(np.float32)


def model(
    nodes: list[NodeProto | tuple[NodeProto, list[TensorProto]]], outputs: tuple[str, ...]
) -> onnx.ModelProto:
    """A model of these nodes, from x (n, 3, 9, 9) to the named values of any shape."""
    slope = numpy_helper.from_array(SLOPES.reshape(-1, 1, 1), "slope")
    constants, plain = [slope], []
    for node in nodes:
        if isinstance(node, tuple):
            constants += node[1]
        plain.append(node[0] if isinstance(node, tuple) else node)
    graph = helper.make_graph(
        plain,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 9, 9])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in outputs],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def prelu(source: str, name: str) -> NodeProto:
    return helper.make_node("PRelu", [source, "slope"], [name])


def operators(net: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in net.graph.node)


def assert_same(rewritten: onnx.ModelProto, plain: onnx.ModelProto) -> None:
    x = np.random.default_rng(0).standard_normal((3, 3, 9, 9)).astype(np.float32)
    np.testing.assert_allclose(run_onnx(rewritten, x), run_onnx(plain, x), rtol=1e-4, atol=1e-4)


FIRST = conv("first", "x", kernel(CHANNELS, 3, 3, 3), pads=[1, 1, 1, 1])


def depthwise(name: str, source: str) -> tuple[NodeProto, list[TensorProto]]:
    return conv(name, source, kernel(CHANNELS, 1, 3, 3), group=CHANNELS, pads=[0, 1, 2, 1])


def pointwise(
    name: str, source: str, *, out: int = CHANNELS, bias: bool = True, **settings: object
) -> tuple[NodeProto, list[TensorProto]]:
    return conv(name, source, kernel(out, CHANNELS, 1, 1), bias=bias, **settings)


@pytest.mark.parametrize("bias", [True, False])
def test_slopes_are_absorbed_between_every_kind_of_convolution(bias: bool) -> None:
    plain = model(
        [
            FIRST,
            prelu("first", "a"),
            depthwise("second", "a"),
            prelu("second", "b"),
            pointwise("third", "b", bias=bias),
            prelu("third", "c"),
            pointwise("y", "c", out=4, bias=bias),
        ],
        ("y",),
    )
    rewritten = absorb_slopes(plain)
    assert operators(rewritten) == {"Conv": 4, "Relu": 3, "Mul": 3, "Add": 3}
    assert_same(rewritten, plain)


def test_factors_stay_small_whatever_the_slope() -> None:
    plain = model([FIRST, prelu("first", "a"), pointwise("y", "a")], ("y",))
    rewritten = absorb_slopes(plain)
    constants = {t.name: numpy_helper.to_array(t) for t in rewritten.graph.initializer}
    (scaled,) = (node for node in rewritten.graph.node if node.op_type == "Mul")
    factors = np.abs(constants[scaled.input[1]].reshape(-1))
    far_from_one = np.abs(SLOPES - 1) > 0.5
    assert factors[far_from_one].max() <= 1


def test_a_value_read_by_several_convolutions_is_scaled_in_each() -> None:
    plain = model(
        [
            FIRST,
            prelu("first", "a"),
            depthwise("left", "a"),
            pointwise("right", "a", bias=False),
            helper.make_node("Add", ["left", "right"], ["y"]),
        ],
        ("y",),
    )
    rewritten = absorb_slopes(plain)
    assert "PRelu" not in operators(rewritten)
    assert_same(rewritten, plain)


def test_weights_shared_by_two_convolutions_are_not_scaled_for_both() -> None:
    first, constants = pointwise("left", "a")
    second = helper.make_node("Conv", ["first", "left_w", "left_b"], ["right"])
    plain = model(
        [
            FIRST,
            helper.make_node("Identity", ["first"], ["copy"]),
            conv("before", "copy", kernel(CHANNELS, CHANNELS, 1, 1)),
            prelu("before", "a"),
            (first, constants),
            second,
            helper.make_node("Add", ["left", "right"], ["y"]),
        ],
        ("y",),
    )
    rewritten = absorb_slopes(plain)
    assert "PRelu" not in operators(rewritten)
    assert_same(rewritten, plain)


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        pytest.param(
            [helper.make_node("Neg", ["first"], ["b"]), prelu("b", "a"), pointwise("y", "a")],
            ("y",),
            id="after-no-convolution",
        ),
        pytest.param(
            [prelu("first", "a"), helper.make_node("MaxPool", ["a"], ["y"], kernel_shape=[2, 2])],
            ("y",),
            id="before-no-convolution",
        ),
        pytest.param([prelu("first", "y")], ("y",), id="at-the-end"),
        pytest.param([prelu("first", "y"), pointwise("z", "y")], ("y", "z"), id="an-output"),
        pytest.param(
            [
                prelu("first", "a"),
                pointwise("b", "a"),
                helper.make_node("Add", ["b", "first"], ["y"]),
            ],
            ("y",),
            id="read-before-it-too",
        ),
    ],
)
def test_a_prelu_elsewhere_is_left_as_it_is(
    nodes: list[NodeProto | tuple[NodeProto, list[TensorProto]]], outputs: tuple[str, ...]
) -> None:
    plain = model([FIRST, *nodes], outputs)
    assert operators(absorb_slopes(plain)) == operators(plain)


def test_a_slope_of_exactly_one_is_left_as_it_is() -> None:
    plain = model([FIRST, prelu("first", "a"), pointwise("y", "a")], ("y",))
    slope = next(t for t in plain.graph.initializer if t.name == "slope")
    slope.CopyFrom(numpy_helper.from_array(np.ones((CHANNELS, 1, 1), np.float32), "slope"))
    assert operators(absorb_slopes(plain)) == operators(plain)


@pytest.mark.parametrize("bias", [True, False])
def test_pointwise_convolutions_in_a_row_become_one(bias: bool) -> None:
    plain = model(
        [
            FIRST,
            pointwise("a", "first", bias=bias),
            pointwise("b", "a", bias=bias),
            pointwise("y", "b", out=2),
        ],
        ("y",),
    )
    rewritten = merge_pointwise(plain)
    assert operators(rewritten) == {"Conv": 2}
    assert_same(rewritten, plain)


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(pointwise("y", "a", strides=[2, 2]), id="strides"),
        pytest.param(pointwise("y", "a", pads=[1, 1, 1, 1]), id="padding"),
        pytest.param(depthwise("y", "a"), id="depthwise"),
        pytest.param(conv("y", "a", kernel(CHANNELS, 1, 1, 1), group=CHANNELS), id="groups"),
    ],
)
def test_other_convolutions_are_not_merged(second: tuple[NodeProto, list[TensorProto]]) -> None:
    plain = model([FIRST, pointwise("a", "first"), second], ("y",))
    assert operators(merge_pointwise(plain)) == operators(plain)


def test_a_value_that_is_read_elsewhere_or_an_output_is_kept() -> None:
    added = [
        FIRST,
        pointwise("a", "first"),
        pointwise("b", "a"),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    for plain in (model(added, ("y",)), model(added[:3], ("a", "b"))):
        assert operators(merge_pointwise(plain)) == operators(plain)


def test_the_model_given_is_left_alone() -> None:
    plain = model([FIRST, prelu("first", "a"), pointwise("y", "a")], ("y",))
    before = plain.SerializeToString(deterministic=True)
    absorb_slopes(plain)
    merge_pointwise(plain)
    assert plain.SerializeToString(deterministic=True) == before
