"""The master key: it is never in the database, and seals the data keys that are."""

import base64
import binascii
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.vault import KEY_BYTES

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


def _bound_to(key_id: int) -> bytes:
    return f"data key {key_id}".encode()
