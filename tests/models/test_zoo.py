import dataclasses
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.weights import DEFAULT_EMBEDDER, WEIGHTS
from models.zoo import EmbedderManifest, ManifestInvalid, read_manifest
from tests.models.nets import TEMPLATE, manifest_fields, write_manifest


def test_the_default_manifest_is_read_and_its_net_is_the_one_described() -> None:
    manifest = read_manifest(DEFAULT_EMBEDDER)
    assert (manifest.name, manifest.side_px, manifest.dimension) == ("mobilefacenet-192", 112, 192)
    assert (manifest.colour_order, manifest.mean, manifest.scale) == ("RGB", 127.5, 128.0)
    assert manifest.template.shape == (5, 2)
    assert manifest.template.dtype == np.float32
    assert manifest.file.parent == WEIGHTS / "mobilefacenet-192"
    assert manifest.calibration == manifest.file.parent / "calibration.json"


def test_every_field_of_another_manifest_is_read(tmp_path: Path) -> None:
    fields = manifest_fields(tmp_path)
    (tmp_path / "scores.json").write_text("{}")
    manifest = read_manifest(write_manifest(tmp_path, fields | {"calibration": "scores.json"}))
    np.testing.assert_array_equal(manifest.template, np.array(TEMPLATE, np.float32))
    assert manifest.file == tmp_path / "linear.onnx"
    assert manifest.calibration == tmp_path / "scores.json"
    assert manifest.mean == 100.0
    for field in ("name", "sha256", "input_name", "side_px", "scale", "dimension", "licence"):
        assert getattr(manifest, field) == fields[field]


def test_a_manifest_without_calibration_is_taken(tmp_path: Path) -> None:
    manifest = read_manifest(write_manifest(tmp_path, manifest_fields(tmp_path)))
    assert manifest.calibration is None


def test_the_checksum_may_be_in_capitals(tmp_path: Path) -> None:
    fields = manifest_fields(tmp_path)
    capitals = fields | {"sha256": fields["sha256"].upper()}
    assert read_manifest(write_manifest(tmp_path, capitals)).sha256 == fields["sha256"]


REQUIRED = (
    "name",
    "file",
    "sha256",
    "input_name",
    "side_px",
    "template",
    "colour_order",
    "mean",
    "scale",
    "dimension",
    "licence",
    "source",
)


@pytest.mark.parametrize("field", REQUIRED)
def test_a_missing_field_is_named(tmp_path: Path, field: str) -> None:
    fields = manifest_fields(tmp_path)
    del fields[field]
    path = write_manifest(tmp_path, fields)
    with pytest.raises(ManifestInvalid, match=f"manifest.toml: field '{field}' is missing"):
        read_manifest(path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", 3, "'name' must be a string, not 3"),
        ("name", "  ", "'name' is empty"),
        ("file", "absent.onnx", "'file' names .*absent.onnx, which is not there"),
        ("sha256", "0" * 64, "'sha256' is 0000.*the net was changed"),
        ("side_px", 112.5, "'side_px' must be an integer, not 112.5"),
        ("side_px", True, "'side_px' must be an integer, not True"),
        ("side_px", 0, "'side_px' must be at least 1, not 0"),
        ("dimension", -1, "'dimension' must be at least 1, not -1"),
        ("template", "middle", "'template' must be an array"),
        ("template", TEMPLATE[:4], "'template' must be five .x, y. points"),
        ("template", [[1, 2, 3]] * 5, "'template' must be five"),
        ("template", [["a", "b"]] * 5, "'template' must be five"),
        ("template", [[1, 2], [3]] * 2 + [[1, 2]], "'template' must be five"),
        ("template", [[0.5, 25.0]] * 5, "'template' must lie within the crop of 24 px"),
        ("template", [[0.5, -1.0]] * 5, "'template' must lie within the crop"),
        ("colour_order", "GBR", "'colour_order' must be RGB or BGR, not 'GBR'"),
        ("mean", "127.5", "'mean' must be an integer or a float"),
        ("scale", 0, "'scale' must be above 0"),
        ("scale", -128.0, "'scale' must be above 0"),
        ("calibration", "absent.json", "'calibration' names .*absent.json, which is not there"),
        ("colour", "RGB", "unknown field 'colour'"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, field: str, value: Any, message: str) -> None:
    path = write_manifest(tmp_path, manifest_fields(tmp_path) | {field: value})
    with pytest.raises(ManifestInvalid, match=message) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("value", ["inf", "nan"])
def test_numbers_must_be_finite(tmp_path: Path, value: str) -> None:
    fields = manifest_fields(tmp_path)
    del fields["mean"]
    path = write_manifest(tmp_path, fields)
    path.write_text(path.read_text() + f"mean = {value}\n")
    with pytest.raises(ManifestInvalid, match="'mean' must be finite"):
        read_manifest(path)


def test_a_manifest_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestInvalid, match=r"absent\.toml: cannot be read"):
        read_manifest(tmp_path / "absent.toml")


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b"<xml/>"])
def test_a_file_that_is_not_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "manifest.toml"
    path.write_bytes(content)
    with pytest.raises(ManifestInvalid, match="is not a TOML file"):
        read_manifest(path)


def test_the_guide_shows_and_explains_every_field() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "embedders.md").read_text("utf-8")
    example = tomllib.loads(guide.split("```toml\n")[1].split("```")[0])
    assert set(example) == {field.name for field in dataclasses.fields(EmbedderManifest)}
    for field in example:
        assert any(f"`{field}`" in line for line in guide.splitlines() if line.startswith("|"))
