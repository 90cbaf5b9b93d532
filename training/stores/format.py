"""What an embedding store consists of on disk, and what its contents must be.

A store is a folder: one raw little-endian column a file, the subjects' ids, and a manifest.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

VECTORS, LABELS, KINDS = "vectors.f16", "labels.i32", "kinds.u8"
SOURCES, QUALITY = "sources.i32", "quality.f32"
SUBJECTS, MANIFEST = "subjects.json", "manifest.json"
COLUMNS = {VECTORS: "<f2", LABELS: "<i4", KINDS: "|u1", SOURCES: "<i4", QUALITY: "<f4"}
"""Type of each column's values; every one has one value a row, and `VECTORS` d."""
FORMAT = 1
LENGTH_TOLERANCE = 0.01
"""Of unit length: float16 costs at most 0.0005 of it, so more is another mistake."""


class StoreInvalid(ValueError):
    """A store, or what was to become one, can't be used; the message names the file."""


class Kind(IntEnum):
    """Where a row's picture comes from."""

    ORIGINAL = 0
    AUGMENTED = 1
    """The paper's copies for subjects with few pictures: flip, rotation, brightness, contrast."""
    DEGRADED = 2
    """A copy made worse on purpose; for training and calibration, never for testing."""
    HARD_RESOLUTION = 3
    """Hard probes from here on, for testing alone: this one as if the face were 24 px wide."""
    HARD_BLUR = 4
    HARD_BRIGHTNESS = 5
    HARD_JPEG = 6
    HARD_COVER = 7
    """Everything below the nose is covered."""


TRAINABLE = (Kind.ORIGINAL, Kind.AUGMENTED, Kind.DEGRADED)
"""What may be trained on; rows of all other kinds are hard probes."""
HARD_KINDS = tuple(kind for kind in Kind if kind not in TRAINABLE)


@dataclass(frozen=True)
class EmbedderIdentity:
    """Which net made the vectors: those of two nets never meet."""

    name: str
    sha256: str
    """Of the net's file, lower-case hexadecimal."""


@dataclass(frozen=True)
class Manifest:
    """What a store says of itself."""

    embedder: EmbedderIdentity
    dimension: int
    synthetic: bool
    rows: int
    subjects: int
    kinds: dict[str, int]
    """Rows of each kind, by its name in lower case."""
    sha256: dict[str, str]
    """Of every other file, by its name."""
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        text = json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False)
        (folder / MANIFEST).write_text(text + "\n", "utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read and check the fields.

        Raises:
            StoreInvalid: it is missing, not JSON, or a field is missing or of another type.
        """
        path = folder / MANIFEST
        fields = read_json(path)
        expected = cls.__dataclass_fields__
        if not isinstance(fields, dict) or fields.get("format") != FORMAT:
            raise StoreInvalid(f"{path}: is not the manifest of a store of format {FORMAT}")
        if set(fields) != set(expected):
            wrong = min(set(fields) ^ set(expected))
            raise StoreInvalid(f"{path}: field {wrong!r} is missing or unknown")
        for name in ("dimension", "rows", "subjects"):
            if type(fields[name]) is not int:
                raise StoreInvalid(f"{path}: {name!r} must be a count")
        if min(fields["rows"], fields["subjects"], fields["dimension"]) < 1:
            raise StoreInvalid(f"{path}: there are no subjects")
        if not isinstance(fields["synthetic"], bool):
            raise StoreInvalid(f"{path}: 'synthetic' must be true or false")
        embedder = fields["embedder"]
        if not isinstance(embedder, dict) or not all(
            isinstance(embedder.get(name), str) for name in ("name", "sha256")
        ):
            raise StoreInvalid(f"{path}: 'embedder' must be a name and a sha256")
        if not isinstance(fields["sha256"], dict) or set(fields["sha256"]) != {*COLUMNS, SUBJECTS}:
            raise StoreInvalid(f"{path}: 'sha256' must name each file of the store")
        identity = EmbedderIdentity(embedder["name"], embedder["sha256"])
        return cls(**fields | {"embedder": identity})

    def values_a_row(self, column: str) -> int:
        return self.dimension if column == VECTORS else 1


def read_json(path: Path) -> Any:
    """Read one JSON file.

    Raises:
        StoreInvalid: it is missing, can't be read or is not JSON.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise StoreInvalid(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # also that of broken UTF-8
        raise StoreInvalid(f"{path}: is not a JSON file ({error})") from error


def file_sha256(path: Path) -> str:
    """SHA-256 of a file in lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_vectors(
    where: Path | str, vectors: NDArray[np.floating[Any]], first_row: int = 0
) -> None:
    """Refuse what is no template.

    Args:
        where: to be named in the message.
        vectors: (n, d), should be of unit length.
        first_row: the number of the first of them in the file.

    Raises:
        StoreInvalid: one is not finite, is zero, or is of another length.
    """
    # Products of an infinity and of a zero are what is looked for: no warnings on the way.
    with np.errstate(invalid="ignore", over="ignore"):
        lengths = np.linalg.norm(vectors.astype(np.float32), axis=1)
    wrong = np.flatnonzero(~(np.abs(lengths - 1) <= LENGTH_TOLERANCE))
    if not len(wrong):
        return
    length = lengths[wrong[0]]
    what = (
        "is not finite"
        if not np.isfinite(length)
        else "is zero"
        if length == 0
        else f"is of length {length:.3g}, not 1"
    )
    raise StoreInvalid(f"{where}: the vector of row {first_row + wrong[0]} {what}")


def check_range(where: Path | str, values: NDArray[Any], lowest: float, highest: float) -> None:
    """Refuse a column with a value outside [lowest, highest], or with NaN.

    Raises:
        StoreInvalid: naming the file (`where`) and the row.
    """
    wrong = np.flatnonzero(~((values >= lowest) & (values <= highest)))
    if len(wrong):
        raise StoreInvalid(
            f"{where}: row {wrong[0]} is {values[wrong[0]]}, not within {lowest} and {highest}"
        )


def check_every_subject_has_an_original(
    file: Path, subject_ids: tuple[str, ...], labels: NDArray[np.int32], kinds: NDArray[np.uint8]
) -> None:
    """Refuse a subject whose class mean could not be made.

    Args:
        file: to be named in the message.
        subject_ids: N.
        labels: (n,) index into them of each row.
        kinds: (n,) `Kind` of each row.

    Raises:
        StoreInvalid: naming the first such subject, or saying that there is no subject at all.
    """
    if not subject_ids:
        raise StoreInvalid(f"{file}: there are no subjects")
    originals = np.bincount(labels[kinds == Kind.ORIGINAL], minlength=len(subject_ids))
    if not originals.all():
        first = subject_ids[int(originals.argmin())]
        raise StoreInvalid(f"{file}: subject {first!r} has no original picture")
