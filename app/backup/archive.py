"""The tar of a backup: written front to back, and checked whole before anything of it is used."""

import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Self
from uuid import UUID

from pydantic import BaseModel, ValidationError

from app.backup.manifest import (
    FORMAT,
    KEY_ID,
    MANIFEST,
    MANIFEST_SEALED,
    MANIFEST_SHA256,
    Manifest,
    Part,
)
from vault.master import MasterKeyInvalid, unwrap, wrap
from vault.vault import KEY_BYTES, SealBroken, UnknownDataKey, Vault

BLOCK_BYTES = 2**20
MAX_MANIFEST_BYTES = 2**28
NOBODY = UUID(int=0)
"""Whose a file of a backup is: it is bound to its name and to the backup's key."""


class BackupDamaged(ValueError):
    """The file is no backup, or not as it was written; the message says what is wrong."""


class BackupTooNew(ValueError):
    """A newer version of Cohort has made the backup."""


class OtherMasterKey(Exception):
    """The backup was made with another master key than the one at hand."""


class _Versioned(BaseModel):
    """What every manifest has, whatever its format."""

    format: int
    version: str


class ArchiveWriter:
    """Writes the files of a backup, sealed, and remembers their checksums."""

    def __init__(self, file: IO[bytes], master_key: bytes) -> None:
        """Begin a backup with a key of its own.

        Args:
            file: to write to, from where it stands.
            master_key: without which nobody can open the backup.
        """
        # Closed by `finish`; one that is not finished is of no use, and its file is removed.
        self._tar = tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        key = os.urandom(KEY_BYTES)
        self._vault = Vault({KEY_ID: key})
        self.wrapped_key = wrap(master_key, KEY_ID, key)
        self.parts: dict[str, Part] = {}

    def add(self, name: str, content: bytes) -> None:
        """Add a file, sealed."""
        self._add(name, self._vault.seal(content, purpose=name, owner=NOBODY))

    def finish(self, manifest: Manifest) -> None:
        """Add the manifest; nothing can be added after it."""
        self._add(MANIFEST, manifest.model_dump_json(indent=1).encode())
        digest = self.parts[MANIFEST].sha256.encode()
        self._add(MANIFEST_SHA256, digest)
        self.add(MANIFEST_SEALED, digest)
        self._tar.close()

    def _add(self, name: str, content: bytes) -> None:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        entry.mode = 0o600
        self._tar.addfile(entry, io.BytesIO(content))
        self.parts[name] = Part(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


class Archive:
    """A backup whose every byte is as it was written."""

    def __init__(self, tar: tarfile.TarFile, manifest: Manifest, vault: Vault) -> None:
        self._tar = tar
        self._vault = vault
        self.manifest = manifest

    @classmethod
    @contextmanager
    def opened(cls, path: Path, master_key: bytes) -> Iterator[Self]:
        """Check a backup, which reads all of it, and open it for the block.

        Raises:
            BackupDamaged: it is none, or is not as it was written.
            BackupTooNew: a newer version has made it.
            OtherMasterKey: it was made with another master key.
            OSError: it can't be read.
        """
        try:
            with tarfile.open(path, "r:") as tar:
                found = {entry.name: _hashed(tar, entry) for entry in tar}
                manifest = _checked(tar, found)
                archive = cls(tar, manifest, _opened_vault(manifest, master_key))
                if archive.read(MANIFEST_SEALED) != _read(tar, MANIFEST_SHA256):
                    raise BackupDamaged("its manifest is another backup's")
                yield archive
        except (tarfile.TarError, EOFError) as error:
            raise BackupDamaged(f"it is no whole tar file: {error}") from error

    def read(self, name: str) -> bytes:
        """Read a file.

        Raises:
            BackupDamaged: it is another backup's, or another file of this one.
        """
        try:
            return self._vault.open(_read(self._tar, name), purpose=name, owner=NOBODY)
        except (KeyError, SealBroken, UnknownDataKey) as error:
            raise BackupDamaged(f"{name} is not of this backup") from error


def _opened_vault(manifest: Manifest, master_key: bytes) -> Vault:
    try:
        return Vault({KEY_ID: unwrap(master_key, KEY_ID, manifest.wrapped_key)})
    except MasterKeyInvalid as error:
        raise OtherMasterKey from error


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    assert file is not None  # noqa: S101  (`_hashed` has seen that it is a plain file)
    with file:
        return file.read()


def _hashed(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> Part:
    if not entry.isreg():
        raise BackupDamaged(f"{entry.name} is not a plain file")
    file = tar.extractfile(entry)
    assert file is not None  # noqa: S101  (it is a plain file)
    digest, size = hashlib.sha256(), 0
    while block := file.read(BLOCK_BYTES):
        digest.update(block)
        size += len(block)
    if size != entry.size:
        raise BackupDamaged(f"{entry.name} is cut off")
    return Part(bytes=size, sha256=digest.hexdigest())


def _checked(tar: tarfile.TarFile, found: dict[str, Part]) -> Manifest:
    manifest_part = found.pop(MANIFEST, None)
    ends = [found.pop(name, None) for name in (MANIFEST_SHA256, MANIFEST_SEALED)]
    if manifest_part is None or None in ends:
        raise BackupDamaged("it has no manifest: it is cut off, or no backup at all")
    if manifest_part.bytes > MAX_MANIFEST_BYTES:
        raise BackupDamaged("its manifest is larger than any")
    content, digest = _read(tar, MANIFEST), _read(tar, MANIFEST_SHA256)
    if digest.decode(errors="replace") != manifest_part.sha256:
        raise BackupDamaged("its manifest was changed")
    try:
        version = _Versioned.model_validate_json(content)
        if version.format > FORMAT:
            raise BackupTooNew(f"it was made by Cohort {version.version}")
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        raise BackupDamaged("its manifest is not one") from error
    for name in sorted(manifest.parts.keys() | found.keys()):
        if manifest.parts.get(name) != found.get(name):
            raise BackupDamaged(f"{name} is missing, changed or none of it")
    return manifest
