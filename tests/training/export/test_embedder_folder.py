import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.embed import Embedder
from models.zoo import read_manifest
from tests.models.nets import DIMENSION, SIDE_PX, TEMPLATE, linear_net, weights
from training.export.embedder_folder import (
    ConversionFailed,
    EmbedderDescription,
    check_same,
    random_faces,
    run_onnx,
    write_embedder,
)

DESCRIPTION = EmbedderDescription(
    name="linear-7",
    input_name="picture",
    side_px=SIDE_PX,
    template=tuple((x, y) for x, y in TEMPLATE),
    mean=127.5,
    scale=64.0,
    dimension=DIMENSION,
    licence='"free" as in \\ é',
    source="made by a test",
)


def test_a_written_embedder_can_be_read_and_opened(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "linear-7"
    digest = write_embedder(folder, linear_net(), DESCRIPTION)
    manifest = read_manifest(folder / "manifest.toml")
    assert manifest.sha256 == digest
    for field in ("name", "input_name", "side_px", "mean", "scale", "dimension", "licence"):
        assert getattr(manifest, field) == getattr(DESCRIPTION, field)
    np.testing.assert_array_equal(manifest.template, np.array(TEMPLATE, np.float32))
    assert manifest.calibration is None
    Embedder.open(manifest)


def test_a_calibration_beside_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "calibration.json").write_text(json.dumps({}))
    write_embedder(tmp_path, linear_net(), DESCRIPTION)
    assert read_manifest(tmp_path / "manifest.toml").calibration == tmp_path / "calibration.json"


def test_the_same_net_is_written_as_the_same_bytes(tmp_path: Path) -> None:
    first = write_embedder(tmp_path / "a", linear_net(), DESCRIPTION)
    assert write_embedder(tmp_path / "b", linear_net(), DESCRIPTION) == first
    renamed = replace(DESCRIPTION, name="other")
    assert write_embedder(tmp_path / "c", linear_net(), renamed) == first


def test_a_net_is_run_in_memory() -> None:
    faces = random_faces(SIDE_PX)
    expected = faces.reshape(len(faces), -1) @ weights()
    np.testing.assert_allclose(run_onnx(linear_net(), faces), expected, rtol=1e-4, atol=1e-4)


def test_templates_are_compared_by_direction() -> None:
    rows = np.random.default_rng(0).standard_normal((5, 9)).astype(np.float32)
    assert check_same(rows * 30, rows) < 1e-6


@pytest.mark.parametrize("wrong", [1e-3, float("nan")])
def test_templates_that_differ_are_refused(wrong: float) -> None:
    rows = np.eye(4, dtype=np.float32)
    other = rows.copy()
    other[2, 3] += np.float32(wrong)
    with pytest.raises(ConversionFailed, match="differ"):
        check_same(other, rows)


@pytest.mark.parametrize("side_px", [24, 112, 160])
def test_random_faces_are_in_range_and_all_different(side_px: int) -> None:
    faces = random_faces(side_px)
    assert faces.shape == (8, 3, side_px, side_px)
    assert faces.dtype == np.float32
    assert np.abs(faces).max() <= 1
    assert len(np.unique(faces.reshape(8, -1), axis=0)) == 8
