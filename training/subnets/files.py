"""A finished subnet on disk: its net, and beside it a record that vouches for it."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from training.stores.format import file_sha256
from training.stores.shards import write_whole
from training.subnets.training import Epoch


@dataclass(frozen=True)
class SubnetDone:
    """What a task gives back."""

    net: bytes
    """ONNX, as `export_subnet` makes it."""
    epochs: tuple[Epoch, ...]
    best: int
    device: str


@dataclass(frozen=True)
class SubnetRecord:
    """What is known of a finished subnet; written after its net, which it vouches for."""

    number: int
    """Of its cluster."""
    file: str
    """Name of the ONNX file beside the record."""
    sha256: str
    """Of that file."""
    made_from: str
    """SHA-256 of rows, settings and seed: another one means that it is to be made anew."""
    epochs: tuple[Epoch, ...]
    best: int
    """Number of the epoch that the net is from."""
    device: str

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read one, or None where there is none or it can't be read."""
        try:
            fields = json.loads(path.read_text("utf-8"))
            epochs = tuple(Epoch(**epoch) for epoch in fields.pop("epochs"))
            return cls(**fields, epochs=epochs)
        except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def write(self, path: Path) -> None:
        write_whole(path, (json.dumps(asdict(self), indent=2, sort_keys=True) + "\n").encode())


def _paths(folder: Path, number: int) -> tuple[Path, Path]:
    """Of the net and of its record."""
    return folder / f"subnet-{number:06}.onnx", folder / f"subnet-{number:06}.json"


def finished_subnet(folder: Path, number: int, made_from: str) -> SubnetRecord | None:
    """The record of a subnet that is there whole and made from the same, or None."""
    net, record_file = _paths(folder, number)
    record = SubnetRecord.read(record_file)
    if record is None or record.made_from != made_from or not net.is_file():
        return None
    return record if file_sha256(net) == record.sha256 else None


def write_subnet(folder: Path, number: int, made_from: str, done: SubnetDone) -> SubnetRecord:
    """Write a net, then its record; a kill between the two leaves the subnet unfinished.

    Raises:
        OSError: a file can't be written.
    """
    net, record_file = _paths(folder, number)
    write_whole(net, done.net)
    record = SubnetRecord(
        number=number,
        file=net.name,
        sha256=hashlib.sha256(done.net).hexdigest(),
        made_from=made_from,
        epochs=done.epochs,
        best=done.best,
        device=done.device,
    )
    record.write(record_file)
    return record
