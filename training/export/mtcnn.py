"""MTCNN's three nets from facenet-pytorch's weights to ONNX, in the form the detector runs.

Each net takes RGB pixels as they are, (n, 3, h, w) float32 in 0-255. P-Net takes any picture of at
least 12x12 pixels and answers for each of its cells, h' by w'; R-Net takes 24x24, O-Net 48x48.
Outputs, by name:

    faces      P-Net (n, 1, h', w'), others (n, 1): probability of a face
    offsets    P-Net (n, 4, h', w'), others (n, 4): box corrections in units of the box's sides
    landmarks  O-Net only (n, 10): five x, then five y, in units of the box's sides
"""

import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch

from training.export.facenet import facenet_pytorch
from training.export.fast_mtcnn import one_chain
from training.export.fast_prelu import with_fast_prelu

OPSET = 17  # old enough for ONNX Runtime 1.20, new enough for every operator used here


@dataclass(frozen=True)
class NetPlan:
    """How one net is read and what its ONNX file is to look like."""

    name: str
    class_name: str
    side_px: int
    outputs: tuple[str, ...]

    @property
    def weights_file(self) -> Path:
        """The packaged state dict."""
        return Path(str(facenet_pytorch().__file__)).parent / "data" / f"{self.name}.pt"


PLANS = (
    NetPlan("pnet", "PNet", 12, ("faces", "offsets")),
    NetPlan("rnet", "RNet", 24, ("faces", "offsets")),
    NetPlan("onet", "ONet", 48, ("faces", "offsets", "landmarks")),
)


def export_mtcnn(folder: Path) -> dict[str, str]:
    """Write pnet.onnx, rnet.onnx and onet.onnx; the same weights always give the same bytes.

    Args:
        folder: made if it is not there; files of these names in it are replaced.

    Returns:
        SHA-256 in hexadecimal by file name, of the three files read and of the three written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digests = {}
    for plan in PLANS:
        data = convert(plan, load_net(plan)).SerializeToString(deterministic=True)
        target = folder / f"{plan.name}.onnx"
        target.write_bytes(data)
        for file in (plan.weights_file, target):
            digests[file.name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return digests


def load_net(plan: NetPlan) -> Any:
    """facenet-pytorch's own net with its packaged weights; it takes (pixel - 127.5) / 128."""
    net = getattr(facenet_pytorch(), plan.class_name)(pretrained=False)
    net.load_state_dict(torch.load(plan.weights_file, weights_only=True))
    return net.eval()


def convert(plan: NetPlan, net: Any) -> onnx.ModelProto:
    """One of facenet-pytorch's nets as an ONNX model; `net` is not changed."""
    axes = {name: {0: "n"} for name in ("pixels", *plan.outputs)}
    if plan.name == "pnet":
        axes = {name: {0: "n", 2: "rows", 3: "columns"} for name in plan.outputs}
        axes["pixels"] = {0: "n", 2: "height", 3: "width"}
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter that is not deprecated needs onnxscript, and gives these nets no better form.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            one_chain(net),
            (torch.zeros(1, 3, plan.side_px, plan.side_px),),
            buffer,
            dynamo=False,
            opset_version=OPSET,
            input_names=["pixels"],
            output_names=list(plan.outputs),
            dynamic_axes=axes,
        )
    model = with_fast_prelu(onnx.load_from_string(buffer.getvalue()))
    onnx.checker.check_model(model, full_check=True)
    return model
