"""The conversion with random weights, and the command where there is no internet."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from models.embed import Embedder, embed
from models.zoo import read_manifest
from training.export.embedder_folder import run_onnx, write_embedder

pytestmark = [pytest.mark.torch, pytest.mark.slow]

COMMAND = [sys.executable, "-m", "training", "export-backbone", "inception-resnet-v1", "--out"]


def random_net() -> Any:
    """InceptionResnetV1 with weights of its initialisation and statistics of some noise."""
    import torch

    from training.export.facenet import facenet_pytorch

    torch.manual_seed(0)
    net = facenet_pytorch().InceptionResnetV1(pretrained=None)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.1, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return net.eval()


@pytest.fixture(scope="module")
def converted() -> tuple[Any, onnx.ModelProto]:
    from training.export.inception_resnet import convert

    torch_net = random_net()
    net, difference = convert(torch_net)
    assert difference <= 1e-4
    return torch_net, net


@pytest.mark.parametrize("count", [1, 3])
def test_onnx_gives_what_torch_gives(converted: tuple[Any, onnx.ModelProto], count: int) -> None:
    import torch

    torch_net, net = converted
    rng = np.random.default_rng(9)
    faces = rng.uniform(-1, 1, (count, 3, 160, 160)).astype(np.float32)
    with torch.no_grad():
        expected = torch_net(torch.from_numpy(faces)).numpy()
    np.testing.assert_allclose(run_onnx(net, faces), expected, atol=1e-4)


def test_what_is_written_is_an_embedder(
    converted: tuple[Any, onnx.ModelProto], tmp_path: Path
) -> None:
    import torch

    from training.export.inception_resnet import INCEPTION_RESNET

    torch_net, net = converted
    write_embedder(tmp_path, net, INCEPTION_RESNET)
    embedder = Embedder.open(read_manifest(tmp_path / "manifest.toml"), flip=False)
    crops = np.random.default_rng(0).integers(0, 256, (2, 160, 160, 3)).astype(np.uint8)
    faces = (crops.transpose(0, 3, 1, 2).astype(np.float32) - 127.5) / 128
    with torch.no_grad():
        expected = torch_net(torch.from_numpy(faces)).numpy()
    np.testing.assert_allclose(embed(embedder, crops), expected, atol=1e-4)


def test_a_converted_net_that_differs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from training.export import inception_resnet as export_inception_resnet
    from training.export.embedder_folder import ConversionFailed

    def shifted(net: onnx.ModelProto, faces: Any) -> Any:
        return run_onnx(net, faces) + np.float32(0.01)

    monkeypatch.setattr(export_inception_resnet, "run_onnx", shifted)
    with pytest.raises(ConversionFailed):
        export_inception_resnet.convert(random_net())


def run_command(out: Path, torch_home: Path) -> subprocess.CompletedProcess[str]:
    # Nothing listens there, so that the download fails on any machine.
    nowhere = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    environment = {**os.environ, **nowhere, "no_proxy": "", "TORCH_HOME": str(torch_home)}
    return subprocess.run(
        [*COMMAND, str(out)], env=environment, capture_output=True, text=True, check=False
    )


def test_without_internet_the_command_says_so(tmp_path: Path) -> None:
    result = run_command(tmp_path / "out", tmp_path / "torch")
    assert result.returncode == 1
    assert "there is no way to the internet from here" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_damaged_file_of_weights_is_named(tmp_path: Path) -> None:
    checkpoint = tmp_path / "torch" / "checkpoints" / "20180402-114759-vggface2.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"cut short")
    result = run_command(tmp_path / "out", tmp_path / "torch")
    assert result.returncode == 1
    assert f"{checkpoint} is not the known file" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_unknown_backbone_is_refused(tmp_path: Path) -> None:
    command = [*COMMAND[:-2], "alexnet", "--out", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 2
    assert "inception-resnet-v1" in result.stderr
