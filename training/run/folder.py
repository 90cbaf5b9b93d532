"""A run directory: where everything lies, and what each finished stage was made from."""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Self

from training.run.refused import RunRefused
from training.stores.format import file_sha256
from training.stores.shards import write_whole


@dataclass(frozen=True)
class StageRecord:
    """What is known of a finished stage; written after its outputs, for which it vouches."""

    made_from: str
    """SHA-256 of its settings and of the outputs of the stages before it."""
    outputs: dict[str, str]
    """SHA-256 of each file that it made, by its path in the run directory."""
    note: str
    """What came out, in a sentence."""

    @property
    def digest(self) -> str:
        """SHA-256 of all that later stages take over from it."""
        return digest_of(self.outputs)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Read one, or None where there is none or it can't be read."""
        try:
            return cls(**json.loads(path.read_text("utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None


@dataclass(frozen=True)
class RunFolder:
    """One training's directory."""

    path: Path

    @property
    def settings(self) -> Path:
        return self.path / "settings.json"

    @property
    def store(self) -> Path:
        return self.path / "store"

    @property
    def negatives(self) -> Path:
        """Beside the store, where there are any."""
        return self.path / "negatives.npz"

    @property
    def class_means(self) -> Path:
        return self.path / "class_means.npy"

    @property
    def clusters(self) -> Path:
        return self.path / "clusters.npz"

    @property
    def clusters_summary(self) -> Path:
        return self.path / "clusters.json"

    @property
    def subnets(self) -> Path:
        return self.path / "subnets"

    @property
    def calibration(self) -> Path:
        return self.path / "calibration.json"

    @property
    def evaluation_parts(self) -> Path:
        """Unfinished and partial results of `evaluate`."""
        return self.path / "evaluation"

    @property
    def evaluation(self) -> Path:
        return self.path / "evaluation.json"

    @property
    def epochs(self) -> Path:
        """Seconds an epoch, flat against subnets."""
        return self.path / "epochs.json"

    @property
    def bundle(self) -> Path:
        return self.path / "bundle"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def tables(self) -> Path:
        """The report's figures as CSV files."""
        return self.path / "report"

    def record(self, stage: str) -> StageRecord | None:
        """What is known of a stage, if it was finished and its outputs are whole."""
        record = StageRecord.read(self._record_file(stage))
        return record if record is not None and self._is_whole(record) else None

    def kept(self, stage: str, made_from: str) -> StageRecord | None:
        """The record of a stage that need not be done again, or None.

        Args:
            stage: its name.
            made_from: digest of what it would be made from now.
        """
        record = self.record(stage)
        return record if record is not None and record.made_from == made_from else None

    def keep(
        self, stage: str, made_from: str, outputs: Iterable[Path], *, note: str
    ) -> StageRecord:
        """Record a stage as finished; its outputs are on the disk.

        Raises:
            OSError: the record can't be written.
        """
        record = StageRecord(
            made_from=made_from,
            outputs={
                path.relative_to(self.path).as_posix(): file_sha256(path)
                for path in sorted(outputs)
            },
            note=note,
        )
        file = self._record_file(stage)
        file.parent.mkdir(exist_ok=True)
        write_whole(file, as_json(asdict(record)))
        return record

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the directory and let nobody else work in it; the kernel frees a dead one's lock.

        Raises:
            RunRefused: another process is at work there.
            OSError: the directory can't be made.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("wb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunRefused(
                    f"{self.path}: another training is at work there; wait for its end, or take "
                    "another directory"
                ) from error
            yield

    def _record_file(self, stage: str) -> Path:
        return self.path / "stages" / f"{stage}.json"

    def _is_whole(self, record: StageRecord) -> bool:
        return all(
            (self.path / name).is_file() and _sha256(self.path / name) == digest
            for name, digest in record.outputs.items()
        )


def digest_of(value: Any) -> str:
    """SHA-256 of a value in JSON's types; the order of keys does not count."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def as_json(value: Any) -> bytes:
    """Spell a value in JSON's types the same way every time.

    Raises:
        ValueError: it holds NaN or an infinity, which JSON has no words for.
    """
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Open a file aside, and put it in its place once the block is left without an error."""
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _sha256(path: Path) -> str:
    # Each stage asks for those before it: a file that has not been touched is read once.
    status = path.stat()
    return _sha256_of_state(path, status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=10_000)
def _sha256_of_state(path: Path, _inode: int, _size: int, _mtime_ns: int) -> str:
    return file_sha256(path)
