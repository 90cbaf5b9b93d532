"""The master key: it is never in the database, and seals the data keys that are."""

import base64
import binascii
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.vault import KEY_BYTES

KEY_VARIABLE = "COHORT_ENCRYPTION_KEY"
FILE_VARIABLE = "COHORT_ENCRYPTION_KEY_FILE"

_NONCE_BYTES = 12


class MasterKeyInvalid(ValueError):
    """The master key is not one, or is not the one that the data keys were sealed with."""


def read_master_key(text: str) -> bytes:
    """Read a master key: 32 bytes in base64.

    Raises:
        MasterKeyInvalid: it is something else; the message does not quote it.
    """
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise MasterKeyInvalid("the encryption key should be 32 bytes in base64")
    return key


def read_key_file(path: Path) -> bytes:
    """Read a master key from its file.

    Raises:
        MasterKeyInvalid: it can't be read, or holds something else.
    """
    try:
        return read_master_key(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise MasterKeyInvalid(f"the encryption key can't be read from {path}: {reason}") from None


def key_of_environment(environment: Mapping[str, str]) -> bytes:
    """Read the master key that COHORT_ENCRYPTION_KEY holds, or the file COHORT_ENCRYPTION_KEY_FILE.

    Raises:
        MasterKeyInvalid: neither is set, or it is no key.
    """
    if text := environment.get(KEY_VARIABLE):
        return read_master_key(text)
    if path := environment.get(FILE_VARIABLE):
        return read_key_file(Path(path))
    raise MasterKeyInvalid(
        f"templates are stored encrypted: set {FILE_VARIABLE} to the service's key file, which is "
        f"encryption.key in its data directory unless it was told otherwise, or {KEY_VARIABLE}"
    )


def write_master_key(key: bytes) -> str:
    """Write a master key as `read_master_key` reads it."""
    return base64.b64encode(key).decode()


def wrap(master: bytes, key_id: int, data_key: bytes) -> bytes:
    """Seal a data key: nonce, ciphertext and tag."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(master).encrypt(nonce, data_key, _bound_to(key_id))


def unwrap(master: bytes, key_id: int, wrapped: bytes) -> bytes:
    """Open a data key.

    Raises:
        MasterKeyInvalid: it was sealed with another master key.
    """
    nonce, ciphertext = wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:]
    try:
        return AESGCM(master).decrypt(nonce, ciphertext, _bound_to(key_id))
    except InvalidTag:
        raise MasterKeyInvalid(
            "the encryption key is not the one that the database's data keys were sealed with"
        ) from None


def unwrap_all(master: bytes, wrapped: Iterable[tuple[int, bytes]]) -> dict[int, bytes]:
    """Open data keys, given as pairs of id and what `wrap` made.

    Raises:
        MasterKeyInvalid: one was sealed with another master key.
    """
    return {key_id: unwrap(master, key_id, content) for key_id, content in wrapped}


def _bound_to(key_id: int) -> bytes:
    return f"data key {key_id}".encode()
