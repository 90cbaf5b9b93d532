from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from models.embed import Embedder, embed
from models.weights import DEFAULT_EMBEDDER
from models.zoo import read_manifest
from training.cli import app
from training.export.embedder_folder import random_faces, run_onnx
from training.export.mobilefacenet import MOBILEFACENET, export_mobilefacenet, fast_form


def plain_net() -> onnx.ModelProto:
    """A small net of the default embedder's ends and kinds of operators, PRelu as such."""
    rng = np.random.default_rng(2)
    constants = {
        "w1": rng.standard_normal((8, 3, 7, 7)),
        "w2": rng.standard_normal((8, 1, 7, 7)),
        "w3": rng.standard_normal((12, 8, 1, 1)),
        "w4": rng.standard_normal((192, 12, 4, 4)),
        "s1": rng.uniform(-3, 3, (8, 1, 1)),
        "s2": rng.uniform(-3, 3, (8, 1, 1)),
        "s3": rng.uniform(-3, 3, (12, 1, 1)),
    }
    nodes = [
        helper.make_node("Conv", ["face", "w1"], ["a"], strides=[5, 5]),
        helper.make_node("PRelu", ["a", "s1"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], strides=[4, 4], group=8),
        helper.make_node("PRelu", ["c", "s2"], ["d"]),
        helper.make_node("Conv", ["d", "w3"], ["e"]),
        helper.make_node("PRelu", ["e", "s3"], ["f"]),
        helper.make_node("Conv", ["f", "w4"], ["g"]),
        helper.make_node("PRelu", ["g", "s4"], ["h"]),
        helper.make_node("Flatten", ["h"], ["template"], axis=1),
    ]
    constants["s4"] = rng.uniform(-3, 3, (192, 1, 1))
    graph = helper.make_graph(
        nodes,
        "plain",
        [helper.make_tensor_value_info("face", TensorProto.FLOAT, ["n", 3, 112, 112])],
        [helper.make_tensor_value_info("template", TensorProto.FLOAT, ["n", 192])],
        [numpy_helper.from_array(v.astype(np.float32), k) for k, v in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_the_fast_form_has_no_prelu_and_gives_the_same() -> None:
    plain = plain_net()
    fast = fast_form(plain)
    assert "PRelu" not in {node.op_type for node in fast.graph.node}
    faces = random_faces(112)
    slow, quick = run_onnx(plain, faces), run_onnx(fast, faces)
    np.testing.assert_allclose(quick, slow, atol=1e-5 * np.abs(slow).max())


def test_what_is_exported_is_an_embedder(tmp_path: Path) -> None:
    source = tmp_path / "plain.onnx"
    onnx.save(plain_net(), source)
    digest, difference = export_mobilefacenet(source, tmp_path / "out")
    assert difference < 1e-5
    manifest = read_manifest(tmp_path / "out" / "manifest.toml")
    assert manifest.sha256 == digest
    crops = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3)).astype(np.uint8)
    assert embed(Embedder.open(manifest), crops).shape == (2, 192)


def test_the_command_writes_the_folder(tmp_path: Path) -> None:
    source = tmp_path / "plain.onnx"
    onnx.save(plain_net(), source)
    result = CliRunner().invoke(
        app, ["export-mobilefacenet", str(source), "--out", str(tmp_path / "out")]
    )
    assert result.exit_code == 0, result.output
    assert read_manifest(tmp_path / "out" / "manifest.toml").sha256 in result.output


def test_the_description_is_that_of_the_shipped_manifest() -> None:
    shipped = read_manifest(DEFAULT_EMBEDDER)
    np.testing.assert_array_equal(shipped.template, np.array(MOBILEFACENET.template, np.float32))
    for field in ("name", "input_name", "side_px", "mean", "scale", "dimension", "licence"):
        assert getattr(shipped, field) == getattr(MOBILEFACENET, field)


@pytest.mark.parametrize("operator", ["Relu", "Mul", "Add"])
def test_the_shipped_net_has_every_slope_absorbed(operator: str) -> None:
    net = onnx.load(DEFAULT_EMBEDDER.parent / "mobilefacenet-192.onnx")
    counts = [node.op_type for node in net.graph.node]
    # 33 activations of three operators each, and twelve additions that were there before.
    assert counts.count(operator) == (33 + 12 if operator == "Add" else 33)
    assert counts.count("Conv") == 50
