"""Batches of arrays on disk, each there whole or not at all, in a fixed order.

Long work writes one shard a batch; after a kill the shards tell with which batch to go on.
"""

import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIGEST_BYTES = 32
"""A shard begins with the SHA-256 of what follows, an npz file."""


class OtherPlan(ValueError):
    """The shards that are there belong to other inputs or settings."""


class Shards:
    """The shards of one folder, numbered from 0 without a gap."""

    def __init__(self, folder: Path, plan: Mapping[str, Any]) -> None:
        """Begin, or take over what is whole, up to the first gap; the rest is removed.

        Args:
            folder: for nothing else; made if it is not there.
            plan: what decides the batches, in JSON's types.

        Raises:
            OtherPlan: the shards there were begun with another plan.
        """
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        plan_file = folder / "plan.json"
        begun = json.dumps(plan, sort_keys=True).encode()
        if not plan_file.exists():
            write_whole(plan_file, begun)
        elif plan_file.read_bytes() != begun:
            raise OtherPlan(
                f"{plan_file}: what was begun there has other inputs or settings; "
                f"remove {folder} to begin anew"
            )
        self._count = 0
        while _read(self._path(self._count)) is not None:
            self._count += 1
        kept = {self._path(number) for number in range(self._count)} | {plan_file}
        for path in folder.iterdir():
            if path.is_file() and path not in kept:
                path.unlink()

    def __len__(self) -> int:
        """Count the shards."""
        return self._count

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        """Read one shard after the other.

        Raises:
            ValueError: one was damaged since this was opened; opening anew goes on before it.
        """
        for number in range(self._count):
            arrays = _read(self._path(number))
            if arrays is None:
                raise ValueError(f"{self._path(number)}: is damaged or gone; run this again")
            yield arrays

    def append(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write the next shard; when this returns, it outlasts a kill."""
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **arrays)
        data = file.getvalue()
        write_whole(self._path(self._count), hashlib.sha256(data).digest() + data)
        self._count += 1

    def _path(self, number: int) -> Path:
        return self.folder / f"{number:06}.shard"


def _read(path: Path) -> dict[str, NDArray[Any]] | None:
    """Read one shard, or None where it is not there or damaged."""
    if not path.is_file():
        return None
    content = path.read_bytes()
    data = content[DIGEST_BYTES:]
    if hashlib.sha256(data).digest() != content[:DIGEST_BYTES]:
        return None
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return dict(arrays)


def write_whole(path: Path, data: bytes) -> None:
    """Write aside, then rename: a kill leaves the old state, and perhaps a file named .part.

    Args:
        path: the file; one that is there is replaced.
        data: its bytes, which outlast a power cut once this returns.
    """
    part = path.with_name(f"{path.name}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
