"""The exported nets against facenet-pytorch's own, and the committed files against both."""

import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from models.runtime import open_session
from models.weights import MTCNN_FOLDER

NETS = ("pnet", "rnet", "onet")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from training.export.mtcnn import export_mtcnn

    folder = tmp_path_factory.mktemp("mtcnn")
    export_mtcnn(folder)
    return folder


@pytest.mark.torch
@pytest.mark.parametrize("source", ["exported", "committed"])
@pytest.mark.parametrize("name", NETS)
def test_net_answers_as_the_original(
    request: pytest.FixtureRequest, name: str, source: str
) -> None:
    import torch

    from training.export.mtcnn import PLANS, load_net

    folder = request.getfixturevalue("exported") if source == "exported" else MTCNN_FOLDER
    session = open_session(folder / f"{name}.onnx")
    plan = next(p for p in PLANS if p.name == name)
    sizes = [(12, 12), (13, 31), (50, 75)] if name == "pnet" else [(plan.side_px, plan.side_px)]
    rng = np.random.default_rng(4)
    for size in sizes:
        for count in (1, 3):
            pixels = rng.uniform(0, 255, (count, 3, *size)).astype(np.float32)
            got = dict(
                zip(plan.outputs, session.run(list(plan.outputs), {"pixels": pixels}), strict=True)
            )
            with torch.no_grad():
                *others, faces = load_net(plan)((torch.from_numpy(pixels) - 127.5) / 128)
            np.testing.assert_allclose(got.pop("faces"), faces[:, 1:].numpy(), atol=1e-4)
            for output, other in zip(got.values(), others, strict=True):
                np.testing.assert_allclose(output, other.numpy(), atol=1e-4)


@pytest.mark.torch
def test_the_same_weights_give_the_same_bytes(exported: Path, tmp_path: Path) -> None:
    from training.export.mtcnn import export_mtcnn

    digests = export_mtcnn(tmp_path)
    for name in NETS:
        data = (exported / f"{name}.onnx").read_bytes()
        assert data == (tmp_path / f"{name}.onnx").read_bytes()
        assert digests[f"{name}.onnx"] == hashlib.sha256(data).hexdigest()


@pytest.mark.torch
def test_weights_are_those_that_the_readme_names() -> None:
    from training.export.mtcnn import PLANS

    readme = (MTCNN_FOLDER / "README.md").read_text()
    for plan in PLANS:
        assert hashlib.sha256(plan.weights_file.read_bytes()).hexdigest() in readme


def test_committed_files_are_those_that_the_readme_names() -> None:
    readme = (MTCNN_FOLDER / "README.md").read_text()
    digests = dict(re.findall(r"`(\w+\.onnx)` \| `([0-9a-f]{64})`", readme))
    assert sorted(digests) == sorted(f"{name}.onnx" for name in NETS)
    for name, digest in digests.items():
        assert hashlib.sha256((MTCNN_FOLDER / name).read_bytes()).hexdigest() == digest
