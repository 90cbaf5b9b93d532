"""Embedders as data: a manifest says which file, and how a face is to be handed to it.

docs/guides/embedders.md shows how to bring another embedder.
"""

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from models.arrays import Floats

ColourOrder = Literal["RGB", "BGR"]


class ManifestInvalid(ValueError):
    """The manifest, or a file that it names, can't be used; the message names file and field."""


class EmbedderId(NamedTuple):
    """Which embedder: templates of two never meet."""

    name: str
    sha256: str
    """Of the net's file, lower-case hexadecimal."""


@dataclass(frozen=True)
class EmbedderManifest:
    """One embedder, as its manifest describes it.

    A gallery is pinned to `name` and `sha256` together: templates of two embedders never meet.
    """

    name: str
    file: Path
    """The ONNX net: input (n, 3, side_px, side_px) float32, output (n, dimension)."""
    sha256: str
    """Of `file`, lower-case hexadecimal."""
    input_name: str
    side_px: int
    template: Floats
    """(5, 2) as (x, y) in pixels of the crop: left eye, right eye, nose, mouth left, right."""
    colour_order: ColourOrder
    mean: float
    scale: float
    """The net is given (value - mean) / scale of values in 0-255."""
    dimension: int
    licence: str
    source: str
    calibration: Path | None
    """The scores of strangers, from which thresholds follow; None if they were not measured."""

    @property
    def id(self) -> EmbedderId:
        return EmbedderId(self.name, self.sha256)


def read_manifest(path: Path) -> EmbedderManifest:
    """Read a manifest and check it, and the net's SHA-256; the net is not opened.

    Args:
        path: a TOML file. The files that it names are relative to its folder.

    Raises:
        ManifestInvalid: a file is missing, a field is missing, unknown or out of range, or the
            net is not the one that the manifest was written for.
    """
    fields = _Fields(path, _load(path))
    template = fields.take("template", list)
    manifest = EmbedderManifest(
        name=fields.text("name"),
        file=fields.existing_file("file"),
        sha256=fields.text("sha256").lower(),
        input_name=fields.text("input_name"),
        side_px=fields.positive_integer("side_px"),
        template=_points(fields, template),
        colour_order=_colour_order(fields),
        mean=fields.number("mean"),
        scale=fields.number("scale"),
        dimension=fields.positive_integer("dimension"),
        licence=fields.text("licence"),
        source=fields.text("source"),
        calibration=fields.existing_file("calibration") if "calibration" in fields.left else None,
    )
    if fields.left:
        raise fields.invalid(f"unknown field {min(fields.left)!r}")
    if manifest.scale <= 0:
        raise fields.invalid("'scale' must be above 0")
    if manifest.template.min() < 0 or manifest.template.max() > manifest.side_px:
        raise fields.invalid(f"'template' must lie within the crop of {manifest.side_px} px")
    _check_digest(fields, manifest)
    return manifest


def _load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ManifestInvalid(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # tomllib's own error and that of broken UTF-8
        raise ManifestInvalid(f"{path}: is not a TOML file ({error})") from error


class _Fields:
    """The fields of one manifest, each taken once, so that what is left is unknown."""

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self.path = path
        self.left = values

    def invalid(self, what: str) -> ManifestInvalid:
        return ManifestInvalid(f"{self.path}: {what}")

    def take(self, field: str, *kinds: type) -> Any:
        if field not in self.left:
            raise self.invalid(f"field {field!r} is missing")
        value = self.left.pop(field)
        # bool is an int to Python, but `side_px = true` is a mistake.
        if not isinstance(value, kinds) or isinstance(value, bool):
            names = " or ".join(_TOML_NAMES[kind] for kind in kinds)
            raise self.invalid(f"{field!r} must be {names}, not {value!r}")
        return value

    def text(self, field: str) -> str:
        value: str = self.take(field, str).strip()
        if not value:
            raise self.invalid(f"{field!r} is empty")
        return value

    def number(self, field: str) -> float:
        value = float(self.take(field, int, float))
        if not np.isfinite(value):
            raise self.invalid(f"{field!r} must be finite")
        return value

    def positive_integer(self, field: str) -> int:
        value: int = self.take(field, int)
        if value < 1:
            raise self.invalid(f"{field!r} must be at least 1, not {value}")
        return value

    def existing_file(self, field: str) -> Path:
        file = self.path.parent / self.text(field)
        if not file.is_file():
            raise self.invalid(f"{field!r} names {file}, which is not there")
        return file


_TOML_NAMES = {str: "a string", int: "an integer", float: "a float", list: "an array"}


def _points(fields: _Fields, value: list[Any]) -> Floats:
    problem = fields.invalid(
        "'template' must be five [x, y] points: left eye, right eye, nose, mouth left, mouth right"
    )
    try:
        points = np.array(value, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise problem from error
    if points.shape != (5, 2) or not np.isfinite(points).all():
        raise problem
    return points


def _colour_order(fields: _Fields) -> ColourOrder:
    value = fields.text("colour_order")
    for order in get_args(ColourOrder):
        if value == order:
            chosen: ColourOrder = order
            return chosen
    raise fields.invalid(f"'colour_order' must be RGB or BGR, not {value!r}")


def _check_digest(fields: _Fields, manifest: EmbedderManifest) -> None:
    with manifest.file.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != manifest.sha256:
        raise fields.invalid(
            f"'sha256' is {manifest.sha256}, but {manifest.file.name} has {found}: "
            "the net was changed, or is not the one that this manifest describes"
        )
