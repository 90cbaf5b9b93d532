"""What a bundle's manifest says, and how it vouches for itself and for every other file."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, Self

FORMAT = 2
MANIFEST, CLASS_MEANS, SUBJECT_IDS = "manifest.json", "class_means.f16", "subject_ids.npy"
SUBNET_ROWS, SUBNET_OFFSETS = "subnet_rows.npy", "subnet_offsets.npy"
IMPRINTED, INDEX, CALIBRATION = "imprinted.npy", "index.faiss", "calibration.json"
SUBNETS = "subnets"
WEIGHTS = ".weights"
"""How the file with a subnet's weights ends: beside its net, so that it can be memory-mapped."""


class BundleInvalid(ValueError):
    """A bundle can't be used; the message names the file and says why."""


class Identity(Protocol):
    """Which embedder: vectors of two never meet. A manifest of an embedder is one."""

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...


@dataclass(frozen=True)
class FileEntry:
    """One file as it was written."""

    sha256: str
    """Lower-case hexadecimal."""
    size: int
    """Bytes."""

    @classmethod
    def of(cls, path: Path) -> Self:
        with path.open("rb") as file:
            return cls(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


@dataclass(frozen=True)
class BundleManifest:
    """What a bundle says of itself."""

    embedder: Mapping[str, str]
    """Its `name` and the `sha256` of its net."""
    dimension: int
    seed: int
    synthetic: bool
    """Made from drawn vectors rather than from pictures."""
    watermark: int | None
    """Revision of the gallery's feed up to which it knows the subjects; None: from no gallery."""
    collection: str | None
    """Id of the collection that it was made from, to which the watermark belongs; None likewise."""
    counts: Mapping[str, int]
    """`classes` (N) and `subnets` (m)."""
    index: Mapping[str, Any]
    """Of the index over the class means: its `kind` (`models/router.py`), how many `candidates` it
    reranks, and its `rank1_loss` against an exact scan, as a share of probes."""
    evaluation: Mapping[str, Any]
    """The evaluation's summary, in JSON's types."""
    files: Mapping[str, FileEntry]
    """Every other file, by its path in the bundle with forward slashes."""
    format: int = FORMAT

    @property
    def id(self) -> str:
        """The bundle's id: SHA-256 of the manifest, and so of all that the manifest vouches for."""
        return hashlib.sha256(_canonical(asdict(self))).hexdigest()

    def to_bytes(self) -> bytes:
        """Write it out in its only spelling, with its id, so that every changed byte shows.

        Raises:
            ValueError: the evaluation holds NaN or an infinity, which JSON has no words for.
        """
        return _canonical(asdict(self) | {"id": self.id})

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read and check a manifest; the files that it names are not looked at.

        Raises:
            BundleInvalid: it is missing, was changed, or its fields do not fit together.
        """
        fields = read_object(path)
        stated_format = fields.get("format")
        if stated_format == 1:
            raise BundleInvalid(
                f"{path}: is of format 1, which is no longer read: publish the bundle anew"
            )
        if stated_format != FORMAT:
            raise BundleInvalid(f"{path}: is not the manifest of a bundle of format {FORMAT}")
        if wrong := set(fields) ^ {*cls.__dataclass_fields__, "id"}:
            raise BundleInvalid(f"{path}: field {min(wrong)!r} is missing or unknown")
        stated = fields.pop("id")
        for name, sound in _checks(fields).items():
            if not sound:
                raise BundleInvalid(f"{path}: {name!r} has a value that can't be")
        entries = {name: FileEntry(**entry) for name, entry in fields["files"].items()}
        manifest = cls(**fields | {"files": entries})
        if manifest.id != stated or manifest.to_bytes() != path.read_bytes():
            raise BundleInvalid(f"{path}: was changed: its id is not that of its contents")
        if set(entries) != set(file_names(manifest.counts["subnets"])):
            raise BundleInvalid(f"{path}: 'files' does not name each file of such a bundle")
        return manifest


def subnet_name(number: int) -> str:
    """Path in the bundle of a subnet's net."""
    return f"{SUBNETS}/{number:03}.onnx"


def file_names(subnets: int) -> list[str]:
    """Paths of all files of a bundle of so many subnets, but the manifest."""
    numbered = [subnet_name(number) for number in range(subnets)]
    weights = [weights_of(Path(name)).as_posix() for name in numbered]
    arrays = [CLASS_MEANS, SUBJECT_IDS, SUBNET_ROWS, SUBNET_OFFSETS, IMPRINTED]
    return [*arrays, INDEX, CALIBRATION, *numbered, *weights]


def weights_of(net: Path) -> Path:
    """File of the weights of a subnet's net: (k, d) float32 rows, little-endian."""
    return net.with_suffix(WEIGHTS)


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        BundleInvalid: it is missing, can't be read or is no such file.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise BundleInvalid(f"{path}: is missing") from error
    except OSError as error:
        raise BundleInvalid(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # ValueError: also that of broken UTF-8
        raise BundleInvalid(f"{path}: is not a JSON file ({error})") from error
    if not isinstance(value, dict):
        raise BundleInvalid(f"{path}: is not a JSON object")
    return value


def _canonical(fields: Mapping[str, Any]) -> bytes:
    text = json.dumps(fields, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def _checks(fields: Mapping[str, Any]) -> dict[str, bool]:
    """Whether each field has the type and range that the class says."""
    embedder, counts, files = fields["embedder"], fields["counts"], fields["files"]
    return {
        "embedder": _is_record(embedder, name=str, sha256=str),
        "dimension": type(fields["dimension"]) is int and fields["dimension"] > 0,
        "seed": type(fields["seed"]) is int,
        "synthetic": type(fields["synthetic"]) is bool,
        "watermark": fields["watermark"] is None or type(fields["watermark"]) is int,
        "collection": fields["collection"] is None or type(fields["collection"]) is str,
        "counts": _is_record(counts, classes=int, subnets=int) and min(counts.values()) > 0,
        "index": _is_record(fields["index"], kind=str, candidates=int, rank1_loss=float)
        and fields["index"]["candidates"] > 0,
        "evaluation": isinstance(fields["evaluation"], dict),
        "files": isinstance(files, dict)
        and all(_is_record(entry, sha256=str, size=int) for entry in files.values()),
    }


def _is_record(value: object, **kinds: type) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == set(kinds)
        and all(type(value[name]) is kind for name, kind in kinds.items())
    )
