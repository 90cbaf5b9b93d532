"""Identification ids: a probe's template, sealed, in the hands of whoever asked.

A verdict may come days after the answer, and to any replica. Keeping every probe until then would
keep the faces of strangers; so the template travels in the id, which only the service can open.

    id = base64url(version, 1 byte | nonce, 12 bytes | ciphertext | tag, 16 bytes)
    plaintext = collection id, 16 bytes | template, d float16, little-endian
    authenticated beside = version | SHA-256 of the embedder, 32 bytes

AES-GCM-SIV (RFC 8452) and not AES-GCM: one key seals every face that is ever asked for, far more
than 2^32, and up to there random nonces of 12 bytes are safe with AES-GCM. Here a nonce that comes
twice tells no more than whether the two faces were the same.
"""

import base64
import hashlib
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from app.problems import InvalidIdentification
from models.arrays import Floats

KEY_BYTES = 32

_VERSION = b"\x01"
_NONCE_BYTES = 12
_UUID_BYTES = 16
_HALF = np.dtype("<f2")
"""Rounds a component by 1/2048 of itself at most: nothing beside two pictures of one face."""


@dataclass(frozen=True)
class Probe:
    """What an identification id holds."""

    collection_id: UUID
    template: Floats
    """(d,) unit length."""
    embedder_sha256: str
    """Of the net that made it, in hexadecimal."""
    sha256: bytes
    """The same for all ids of one template, which differ in their nonces: a picture that is asked
    for again is the same face."""


class Sealer:
    """Makes and opens identification ids; all replicas on a database share the key."""

    def __init__(self, key: bytes) -> None:
        """Take the key, `KEY_BYTES` random bytes."""
        self._cipher = AESGCMSIV(key)

    def seal(self, collection_id: UUID, template: Floats, embedder_sha256: str) -> str:
        """Make the id of a face that was searched in a collection.

        `template` is (d,) of unit length; the id has 572 characters at d = 192. `embedder_sha256`
        is that of the net that made it, in hexadecimal.
        """
        nonce = os.urandom(_NONCE_BYTES)
        content = collection_id.bytes + template.astype(_HALF).tobytes()
        sealed = _VERSION + nonce + self._cipher.encrypt(nonce, content, _beside(embedder_sha256))
        return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()

    def open(self, identification_id: str, embedders: Iterable[str]) -> Probe:
        """Open an id; its template is the one that was sealed but for float16's rounding.

        Args:
            identification_id: as an answer had it.
            embedders: SHA-256 of the nets that may have made its template, in hexadecimal.

        Raises:
            InvalidIdentification: it was not made with this key and one of these nets, or not left
                as it was.
        """
        try:
            content, embedder_sha256 = self._decrypt(identification_id, embedders)
        except (ValueError, InvalidTag):
            # One answer for all ways to be wrong, so that it tells a guesser nothing.
            raise InvalidIdentification(
                "Send `identification_id` of an answer of `/identify` as it was."
            ) from None
        template = np.frombuffer(content[_UUID_BYTES:], _HALF).astype(np.float32)
        return Probe(
            collection_id=UUID(bytes=content[:_UUID_BYTES]),
            template=template / np.linalg.norm(template),
            embedder_sha256=embedder_sha256,
            sha256=hashlib.sha256(content).digest(),
        )

    def _decrypt(self, identification_id: str, embedders: Iterable[str]) -> tuple[bytes, str]:
        padding = "=" * (-len(identification_id) % 4)
        sealed = base64.b64decode(identification_id + padding, b"-_", validate=True)
        version, nonce = sealed[:1], sealed[1 : 1 + _NONCE_BYTES]
        if version != _VERSION:
            raise ValueError("another version")
        # Its version is authenticated, too; a short nonce or ciphertext is a ValueError or no tag.
        for embedder_sha256 in embedders:
            with suppress(InvalidTag):
                beside = _beside(embedder_sha256)
                return self._cipher.decrypt(
                    nonce, sealed[1 + _NONCE_BYTES :], beside
                ), embedder_sha256
        raise ValueError("of another key, or of a net that does not run")


def _beside(embedder_sha256: str) -> bytes:
    return _VERSION + bytes.fromhex(embedder_sha256)
