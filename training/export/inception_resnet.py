"""The second embedder of the zoo: facenet-pytorch's InceptionResnetV1, trained on VGGFace2."""

import hashlib
import importlib
import io
import warnings
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import onnx
import torch

from training.export.embedder_folder import (
    EmbedderDescription,
    check_same,
    random_faces,
    run_onnx,
    write_embedder,
)
from training.export.facenet import facenet_pytorch

# As for the detector: the newest opset of which every operator here has a fast kernel.
OPSET = 17

CHECKPOINT = "20180402-114759-vggface2.pt"
CHECKPOINT_SHA256 = "281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b"

INCEPTION_RESNET = EmbedderDescription(
    name="inception-resnet-v1-vggface2",
    input_name="face",
    side_px=160,
    # The net was trained on MTCNN boxes with a margin of 32 px in 160, stretched to a square and
    # not turned. A similarity transform can't stretch, so this is the mean place of the landmarks
    # in the boxes of LFW, made symmetric, with the box's area scaled to 128 x 128 px.
    template=(
        (54.3, 63.37),
        (105.7, 63.37),
        (80.0, 92.88),
        (57.21, 118.13),
        (102.79, 118.13),
    ),
    mean=127.5,
    scale=128.0,
    dimension=512,
    licence="MIT (weights and the package facenet-pytorch); trained on VGGFace2",
    source=f"{CHECKPOINT} of facenet-pytorch 2.6; README.md tells more",
)

README = """\
# InceptionResnetV1, VGGFace2

Written by `python -m training export-backbone inception-resnet-v1`.

* Origin: `{checkpoint}` (SHA-256 `{checkpoint_sha256}`), the weights that facenet-pytorch (MIT)
  fetches, converted by its author from David Sandberg's TensorFlow FaceNet (MIT).
* Conversion: `torch.onnx.export`; the largest difference of a unit template to torch's was
  {difference:.1e}. SHA-256 of the ONNX file: `{sha256}`.
* Training pictures: VGGFace2, collected from the web for research. Check your own right to use a
  model made from them, or bring another.
* Faces: 160 x 160 px, RGB, (value - 127.5) / 128. The net was trained on boxes that were stretched
  to a square, while Cohort turns and scales faces without stretching; the landmarks' places in
  `manifest.toml` are the nearest that such a transform comes.
* Thresholds: run `python -m training calibrate-prior --embedder {folder}/manifest.toml --images
  FOLDER` and add the line `calibration = "calibration.json"` to the manifest.
"""


class FetchFailed(RuntimeError):
    """The weights could not be had; the message is a sentence that says why and what to do."""


def export_inception_resnet(folder: Path) -> tuple[str, float]:
    """Fetch the weights if need be, convert, check against torch, and write the embedder's folder.

    Args:
        folder: made if it is not there; files of the same names in it are replaced.

    Returns:
        The SHA-256 of the net written, and the largest difference of its unit templates to those
        of torch.

    Raises:
        FetchFailed: there is no internet, or the file that came is not the known one.
        ConversionFailed: the difference is more than rounding.
    """
    torch_net = fetch()
    net, difference = convert(torch_net)
    digest = write_embedder(folder, net, INCEPTION_RESNET)
    readme = README.format(
        checkpoint=CHECKPOINT,
        checkpoint_sha256=CHECKPOINT_SHA256,
        difference=difference,
        sha256=digest,
        folder=folder,
    )
    (folder / "README.md").write_text(readme, "utf-8")
    return digest, difference


def fetch() -> Any:
    """The net with its VGGFace2 weights, from torch's cache or, through facenet-pytorch, the net.

    Raises:
        FetchFailed: as `export_inception_resnet`.
    """
    package = facenet_pytorch()
    module = importlib.import_module(f"{package.__name__}.models.inception_resnet_v1")
    checkpoint = Path(module.get_torch_home()) / "checkpoints" / CHECKPOINT
    if checkpoint.exists():
        _check_digest(checkpoint)
    try:
        net = package.InceptionResnetV1(pretrained="vggface2")
    except OSError as error:
        raise FetchFailed(
            f"The VGGFace2 weights could not be fetched: {_reason(error)} ({error}). "
            f"Run this where they can be, or put {CHECKPOINT} into {checkpoint.parent}."
        ) from error
    except RuntimeError:
        # A download that breaks off leaves a file which torch can't read.
        _check_digest(checkpoint)
        raise
    _check_digest(checkpoint)
    return net.eval()


def _reason(error: OSError) -> str:
    """Only what never reached a server says that there is no internet; a full disk does not."""
    reached = isinstance(error, HTTPError) or not isinstance(error, URLError | TimeoutError)
    return "the download failed" if reached else "there is no way to the internet from here"


def _check_digest(checkpoint: Path) -> None:
    with checkpoint.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != CHECKPOINT_SHA256:
        raise FetchFailed(
            f"{checkpoint} is not the known file (SHA-256 {found} instead of {CHECKPOINT_SHA256}): "
            "delete it and try again."
        )


def convert(torch_net: Any) -> tuple[onnx.ModelProto, float]:
    """Convert an InceptionResnetV1 and compare both on the same faces.

    Args:
        torch_net: in evaluation mode.

    Returns:
        The ONNX model, `face` (n, 3, 160, 160) to `template` (n, 512) of unit length; and the
        largest difference of its templates to torch's.

    Raises:
        ConversionFailed: that difference is more than rounding.
    """
    faces = random_faces(INCEPTION_RESNET.side_px)
    buffer = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The exporter that is not deprecated needs onnxscript, and gives this net no better form.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            torch_net,
            (torch.from_numpy(faces[:1]),),
            buffer,
            dynamo=False,
            opset_version=OPSET,
            input_names=["face"],
            output_names=["template"],
            dynamic_axes={"face": {0: "n"}, "template": {0: "n"}},
        )
        original = torch_net(torch.from_numpy(faces)).numpy()
    net = onnx.load_from_string(buffer.getvalue())
    onnx.checker.check_model(net, full_check=True)
    return net, check_same(run_onnx(net, faces), original)
