from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from training.heads import ArcFace
from training.subnets import export as subnet_export
from training.subnets.export import ExportFailed, export_subnet, with_weights_beside

pytestmark = [pytest.mark.torch, pytest.mark.usefixtures("one_thread")]

RNG = np.random.default_rng(5)
WEIGHT = (RNG.uniform(0.1, 5, (7, 1)) * RNG.standard_normal((7, 16))).astype(np.float32)


def test_the_net_gives_what_the_head_gives() -> None:
    head = ArcFace(7, 16)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(WEIGHT))
    templates = (10 * RNG.standard_normal((9, 16))).astype(np.float32)
    templates[4] = 0
    session = ort.InferenceSession(export_subnet(WEIGHT), providers=["CPUExecutionProvider"])
    for count in (1, 9, 0):
        (cosines,) = session.run(["cosines"], {"template": templates[:count]})
        assert cosines.shape == (count, 7)
        wanted = head.cosines(torch.from_numpy(templates[:count])).detach().numpy()
        np.testing.assert_allclose(cosines, wanted, atol=1e-5)


def test_it_holds_unit_rows() -> None:
    model = onnx.load_from_string(export_subnet(WEIGHT))
    (rows,) = [each for each in model.graph.initializer if each.name == "rows"]
    np.testing.assert_allclose(
        np.linalg.norm(onnx.numpy_helper.to_array(rows), axis=1), 1, atol=1e-6
    )


def test_a_row_of_zeros_matches_nobody() -> None:
    weight = WEIGHT.copy()
    weight[2] = 0
    session = ort.InferenceSession(export_subnet(weight), providers=["CPUExecutionProvider"])
    (cosines,) = session.run(None, {"template": WEIGHT})
    assert (cosines[:, 2] == 0).all()


def test_the_same_weight_gives_the_same_bytes() -> None:
    assert export_subnet(WEIGHT) == export_subnet(WEIGHT.copy())


def test_a_net_that_is_off_is_not_given_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExportFailed, match="nan"):
        export_subnet(np.full((2, 4), np.nan, np.float32))
    monkeypatch.setattr(subnet_export, "LARGEST_DIFFERENCE", -1.0)
    with pytest.raises(ExportFailed, match="off by"):
        export_subnet(WEIGHT)


def test_weights_may_lie_beside_the_net(tmp_path: Path) -> None:
    whole = export_subnet(WEIGHT)
    net, weights = with_weights_beside(whole, "net.weights")
    assert (net, weights) == with_weights_beside(whole, "net.weights")
    assert len(net) < 500
    unit = WEIGHT / np.linalg.norm(WEIGHT, axis=1, keepdims=True)
    np.testing.assert_allclose(np.frombuffer(weights, "<f4").reshape(7, 16), unit, atol=1e-6)
    (tmp_path / "net.onnx").write_bytes(net)
    (tmp_path / "net.weights").write_bytes(weights)
    answers = [
        ort.InferenceSession(form, providers=["CPUExecutionProvider"]).run(
            None, {"template": WEIGHT}
        )[0]
        for form in (whole, tmp_path / "net.onnx")
    ]
    np.testing.assert_allclose(answers[1], answers[0], atol=1e-6)


def test_a_net_without_such_weights_has_none_to_take_out() -> None:
    net, _ = with_weights_beside(export_subnet(WEIGHT), "net.weights")
    for other in (b"", b"no net", net):
        with pytest.raises(ValueError, match="it is no subnet's net"):
            with_weights_beside(other, "net.weights")
