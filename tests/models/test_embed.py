from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from models.align import align
from models.arrays import Floats
from models.embed import BATCH_IMAGES, Embedder, embed
from models.weights import DEFAULT_EMBEDDER
from models.zoo import EmbedderManifest, ManifestInvalid, read_manifest
from tests.models.files import pattern
from tests.models.nets import (
    DIMENSION,
    SIDE_PX,
    linear_net,
    manifest_fields,
    weights,
    write_manifest,
)


@pytest.fixture(scope="module")
def default_manifest() -> EmbedderManifest:
    return read_manifest(DEFAULT_EMBEDDER)


@pytest.fixture
def linear_manifest(tmp_path: Path) -> EmbedderManifest:
    return read_manifest(write_manifest(tmp_path, manifest_fields(tmp_path)))


def noise(count: int, side_px: int) -> NDArray[np.uint8]:
    """(count, side, side, 3) crops, each with a colour and a grain of its own."""
    rng = np.random.default_rng(11)
    base = rng.integers(0, 200, (count, 1, 1, 3))
    grain = rng.integers(0, 56, (count, side_px, side_px, 3))
    return (base + grain).astype(np.uint8)


def slowly(crop: NDArray[np.uint8], *, flip: bool) -> Floats:
    """The template of one crop by the linear net, straight from its manifest's numbers."""
    total = np.zeros(DIMENSION)
    for face in (crop, crop[:, ::-1]) if flip else (crop,):
        value = (face.astype(np.float64) - 100) / 50
        blue_first = np.stack([value[..., 2], value[..., 1], value[..., 0]])
        total += blue_first.reshape(-1) @ weights()
    return (total / np.linalg.norm(total)).astype(np.float32)


@pytest.mark.parametrize("flip", [False, True])
def test_a_second_embedder_is_fed_as_its_manifest_says(
    linear_manifest: EmbedderManifest, flip: bool
) -> None:
    embedder = Embedder.open(linear_manifest, flip=flip)
    crops = noise(3, SIDE_PX)
    slow = np.stack([slowly(crop, flip=flip) for crop in crops])
    np.testing.assert_allclose(embed(embedder, crops), slow, atol=1e-5)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("count", [1, BATCH_IMAGES - 1, BATCH_IMAGES, 2 * BATCH_IMAGES + 3])
def test_batches_give_what_one_at_a_time_gives(
    linear_manifest: EmbedderManifest, count: int, flip: bool
) -> None:
    embedder = Embedder.open(linear_manifest, flip=flip)
    crops = noise(count, SIDE_PX)
    single = np.concatenate([embed(embedder, crop[None]) for crop in crops])
    np.testing.assert_allclose(embed(embedder, crops), single, atol=1e-6)


@pytest.mark.parametrize("flip", [False, True])
def test_default_embedder_gives_unit_rows_in_batches_as_alone(
    default_manifest: EmbedderManifest, flip: bool
) -> None:
    embedder = Embedder.open(default_manifest, flip=flip)
    crops = noise(BATCH_IMAGES + 1, 112)
    templates = embed(embedder, crops)
    assert templates.shape == (BATCH_IMAGES + 1, 192)
    assert templates.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(templates, axis=1), 1, atol=1e-6)
    single = np.concatenate([embed(embedder, crop[None]) for crop in crops])
    np.testing.assert_allclose(templates, single, atol=1e-5)


def test_flip_averaging_makes_a_face_and_its_mirror_image_equal(
    default_manifest: EmbedderManifest,
) -> None:
    crop = pattern(112, 112)[None]
    mirrored = np.ascontiguousarray(crop[:, :, ::-1])
    averaged = Embedder.open(default_manifest, flip=True)
    np.testing.assert_allclose(embed(averaged, crop), embed(averaged, mirrored), atol=1e-5)
    plain = Embedder.open(default_manifest, flip=False)
    assert float((embed(plain, crop) * embed(plain, mirrored)).sum()) < 0.999


def test_flip_averaging_is_the_direction_of_the_mean(default_manifest: EmbedderManifest) -> None:
    crop = pattern(112, 112)[None]
    session = Embedder.open(default_manifest).session
    faces = np.concatenate((crop, crop[:, :, ::-1])).transpose(0, 3, 1, 2)
    (outputs,) = session.run(None, {"face": (faces.astype(np.float32) - 127.5) / 128})
    mean = outputs.mean(axis=0)
    template = embed(Embedder.open(default_manifest, flip=True), crop)[0]
    np.testing.assert_allclose(template, mean / np.linalg.norm(mean), atol=1e-6)


@pytest.mark.parametrize("flip", [False, True])
def test_no_faces_give_no_templates(default_manifest: EmbedderManifest, flip: bool) -> None:
    embedder = Embedder.open(default_manifest, flip=flip)
    templates = embed(embedder, np.empty((0, 112, 112, 3), np.uint8))
    assert templates.shape == (0, 192)
    assert templates.dtype == np.float32


def test_crops_are_left_alone(default_manifest: EmbedderManifest) -> None:
    crops = noise(2, 112)
    crops.setflags(write=False)
    embed(Embedder.open(default_manifest), crops)
    np.testing.assert_array_equal(crops, noise(2, 112))


def test_crops_of_another_size_are_refused(default_manifest: EmbedderManifest) -> None:
    with pytest.raises(ValueError, match=r"crops must be \(n, 112, 112, 3\)"):
        embed(Embedder.open(default_manifest), noise(1, 96))


def test_a_net_that_answers_with_zeros_gives_no_nan(tmp_path: Path) -> None:
    net = linear_net()
    net.graph.initializer[0].CopyFrom(
        onnx.numpy_helper.from_array(np.zeros_like(weights()), "weights")
    )
    manifest = read_manifest(write_manifest(tmp_path, manifest_fields(tmp_path, net)))
    assert (embed(Embedder.open(manifest), noise(1, SIDE_PX)) == 0).all()


def test_a_second_embedder_works_from_aligned_faces_on(linear_manifest: EmbedderManifest) -> None:
    landmarks = (linear_manifest.template * 2 + 5)[None]
    crops = align(pattern(80, 80), landmarks, linear_manifest.template, linear_manifest.side_px)
    assert embed(Embedder.open(linear_manifest), crops).shape == (1, DIMENSION)


@pytest.mark.parametrize("side", ["side", None])
def test_an_axis_that_the_net_leaves_open_fits(tmp_path: Path, side: str | None) -> None:
    net = linear_net(side_px=side or "side")
    if side is None:
        for axis in net.graph.input[0].type.tensor_type.shape.dim[2:]:
            axis.Clear()
    manifest = read_manifest(write_manifest(tmp_path, manifest_fields(tmp_path, net)))
    assert embed(Embedder.open(manifest), noise(2, SIDE_PX)).shape == (2, DIMENSION)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        pytest.param(linear_net(side_px=20), r"'side_px'.*\['n', 3, 20, 20\]", id="side"),
        pytest.param(linear_net(dimension=9), r"'dimension'.*\['n', 9\]", id="dimension"),
        pytest.param(linear_net(batch=1), "any number of faces", id="one-face-only"),
        pytest.param(linear_net(element=TensorProto.FLOAT16), "must be float32", id="float16"),
        pytest.param(linear_net(input_name="x"), r"'picture'.*inputs \['x'\]", id="input"),
        pytest.param(linear_net(outputs=2), "one output", id="two-outputs"),
    ],
)
def test_a_net_that_is_not_as_its_manifest_says_is_refused(
    tmp_path: Path, net: onnx.ModelProto, message: str
) -> None:
    manifest = read_manifest(write_manifest(tmp_path, manifest_fields(tmp_path, net)))
    with pytest.raises(ManifestInvalid, match=message) as caught:
        Embedder.open(manifest)
    assert str(manifest.file) in str(caught.value)


def test_templates_are_the_same_whoever_shares_the_run(
    default_manifest: EmbedderManifest,
) -> None:
    alone = Embedder.open(default_manifest)
    sharing = Embedder.open(default_manifest, batch_limit=8)
    crops = noise(24, default_manifest.side_px)
    # Calls of one to three faces, from eight threads.
    ends = np.cumsum([1, 2, 3] * 4)
    calls = np.split(crops, ends[:-1])
    with ThreadPoolExecutor(8) as pool:
        shared = np.concatenate(list(pool.map(partial(embed, sharing), calls)))
    cosines = (shared * embed(alone, crops)).sum(axis=1)
    np.testing.assert_allclose(cosines, 1, atol=1e-5)
