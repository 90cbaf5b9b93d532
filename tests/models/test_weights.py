"""What is shipped: the nets are those that the texts beside them describe, in the fast form."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from models.embed import Embedder, embed
from models.weights import DEFAULT_EMBEDDER, MTCNN_FOLDER, WEIGHTS
from models.zoo import read_manifest
from tests.models.files import pattern

NETS = sorted(WEIGHTS.rglob("*.onnx"))


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_the_nets_are_the_detectors_three_and_the_default_embedder() -> None:
    expected = {MTCNN_FOLDER / f"{name}.onnx" for name in ("pnet", "rnet", "onet")}
    assert set(NETS) == expected | {read_manifest(DEFAULT_EMBEDDER).file}


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_every_net_is_in_the_fast_form(net: Path) -> None:
    model = onnx.load(net)
    onnx.checker.check_model(model, full_check=True)
    assert "PRelu" not in {node.op_type for node in model.graph.node}


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.name)
def test_every_net_has_its_checksum_in_the_readme_beside_it(net: Path) -> None:
    assert digest(net) in (net.parent / "README.md").read_text("utf-8")


def test_the_embedder_is_the_one_its_manifest_and_its_calibration_are_of() -> None:
    manifest = read_manifest(DEFAULT_EMBEDDER)
    assert digest(manifest.file) == manifest.sha256
    assert manifest.calibration is not None
    calibration = json.loads(manifest.calibration.read_text("utf-8"))
    assert calibration["embedder"]["name"] == manifest.name
    assert calibration["embedder"]["sha256"] == manifest.sha256


def test_the_default_embedder_still_gives_the_templates_it_gave() -> None:
    # Guards stored galleries: other values here mean that everybody must be enrolled again.
    picture = pattern(112, 112)
    crops = np.stack([picture, 255 - picture, np.ascontiguousarray(picture[::-1])])
    templates = embed(Embedder.open(read_manifest(DEFAULT_EMBEDDER)), crops)
    expected = [
        [0.00134, 0.02515, 0.00912, -0.00363],
        [-0.00181, 0.03637, 0.01351, -0.00609],
        [-0.00246, 0.02563, 0.00865, -0.01169],
    ]
    np.testing.assert_allclose(templates[:, :4], expected, atol=1e-4)
