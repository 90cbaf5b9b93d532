"""Aligned faces -> templates: unit vectors whose cosine says how alike two faces are."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Self

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models.arrays import Floats
from models.batching import Batcher
from models.runtime import Provider, open_session
from models.zoo import EmbedderManifest, ManifestInvalid

BATCH_IMAGES = 8
"""Images given to the net at once, mirrored ones counted. It bounds the memory of a call: 6 MB
an image with MobileFaceNet. On a CPU eight cost as much an image as one, but 16 cost 15 % more."""


@dataclass(frozen=True)
class Embedder:
    """An opened embedder; may be used by several threads at once."""

    manifest: EmbedderManifest
    session: ort.InferenceSession
    flip: bool
    """Whether a template is the mean of the face's and of its mirror image's."""
    batcher: Batcher | None = None
    """Through which the faces of several threads share runs; None: they do not."""

    @classmethod
    def open(
        cls,
        manifest: EmbedderManifest,
        *,
        flip: bool = True,
        provider: Provider = "cpu",
        threads: int = 1,
        batch_limit: int = 1,
    ) -> Self:
        """Open the net and check that it takes and gives what the manifest says.

        Args:
            manifest: as `read_manifest` gave it.
            flip: average the template with that of the mirrored face: twice the work, and
                slightly fewer errors.
            provider: where to run.
            threads: threads that share one operator's work, at least 1.
            batch_limit: faces of several calls that may share a run; 1: each call has its own.

        Raises:
            ManifestInvalid: the net's inputs or outputs are others than the manifest says.
            ProviderMissing: `provider` is not in this install.
        """
        session = open_session(manifest.file, provider=provider, threads=threads)
        _check_ends(manifest, session)
        alone = cls(manifest, session, flip)
        if batch_limit == 1:
            return alone
        run = partial(_embed, alone, faces_at_once=batch_limit)
        return replace(alone, batcher=Batcher(run, batch_limit))


def embed(embedder: Embedder, crops: NDArray[np.uint8]) -> Floats:
    """Make the template of each aligned face.

    Args:
        embedder: opened.
        crops: (n, S, S, 3) uint8 RGB as `align` cuts them, S the manifest's `side_px`; n may be 0.

    Returns:
        (n, d) float32 of unit length.

    Raises:
        ValueError: the crops are of another size than the embedder's.
    """
    side_px = embedder.manifest.side_px
    if crops.shape[1:] != (side_px, side_px, 3):
        raise ValueError(f"crops must be (n, {side_px}, {side_px}, 3), not {crops.shape}")
    if embedder.batcher is not None and len(crops):
        return embedder.batcher(crops)
    faces_at_once = BATCH_IMAGES // 2 if embedder.flip else BATCH_IMAGES
    return _embed(embedder, crops, faces_at_once)


def _embed(embedder: Embedder, crops: NDArray[np.uint8], faces_at_once: int) -> Floats:
    templates = np.empty((len(crops), embedder.manifest.dimension), np.float32)
    for start in range(0, len(crops), faces_at_once):
        batch = slice(start, start + faces_at_once)
        templates[batch] = _embed_batch(embedder, crops[batch])
    return templates


def _embed_batch(embedder: Embedder, crops: NDArray[np.uint8]) -> Floats:
    manifest = embedder.manifest
    count, side_px = len(crops), manifest.side_px
    channels = crops if manifest.colour_order == "RGB" else crops[..., ::-1]
    faces = np.empty((2 * count if embedder.flip else count, 3, side_px, side_px), np.float32)
    upright = faces[:count]
    np.subtract(channels.transpose(0, 3, 1, 2), manifest.mean, out=upright, dtype=np.float32)
    upright /= manifest.scale
    if embedder.flip:
        faces[count:] = upright[..., ::-1]
    (outputs,) = embedder.session.run(None, {manifest.input_name: faces})
    if embedder.flip:
        # The mean of both, as far as the direction goes; the length is divided out below.
        outputs = outputs[:count] + outputs[count:]
    # A net that answers with zeros must not answer with NaN.
    lengths = np.maximum(np.linalg.norm(outputs, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    templates: Floats = outputs / lengths
    return templates


def _check_ends(manifest: EmbedderManifest, session: ort.InferenceSession) -> None:
    """Compare the net's declared input and output with the manifest's."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if [end.name for end in inputs] != [manifest.input_name] or len(outputs) != 1:
        raise ManifestInvalid(
            f"{manifest.file}: the net must have one input {manifest.input_name!r} "
            f"('input_name') and one output; it has inputs {[end.name for end in inputs]} "
            f"and outputs {[end.name for end in outputs]}"
        )
    side_px = manifest.side_px
    _check_shape(manifest, "input", inputs[0], [3, side_px, side_px], "'side_px'")
    _check_shape(manifest, "output", outputs[0], [manifest.dimension], "'dimension'")


def _check_shape(
    manifest: EmbedderManifest, end: str, found: ort.NodeArg, wanted: list[int], field: str
) -> None:
    """An axis that the net leaves open has a name, or None, in the place of its length."""
    batch, *rest = found.shape
    open_or_equal = len(rest) == len(wanted) and all(
        length == want or not isinstance(length, int)
        for length, want in zip(rest, wanted, strict=True)
    )
    if not open_or_equal or isinstance(batch, int) or found.type != "tensor(float)":
        raise ManifestInvalid(
            f"{manifest.file}: the net's {end} {found.name!r} must be float32 of shape "
            f"{['n', *wanted]} with any number of faces n ({field} of {manifest.name!r}), "
            f"but it is {found.type} {found.shape}"
        )
