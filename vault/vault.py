"""Seals what nobody may read who has the database alone: templates, pictures, answers.

    sealed = 0xC0 | data key's id, 4 bytes | nonce, 12 bytes | ciphertext | tag, 16 bytes

AES-256-GCM with random nonces, which is safe for up to 2^32 contents a key (NIST SP 800-38D,
8.3). What a content is for, and whose it is, are authenticated with it: a row that somebody copies
over another can't be opened there.
"""

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
MOST_KEY_ID = 0x0FFF
"""Ids so small that no template that is not sealed begins like one that is: the fourth byte of
0xC0000000 to 0xC000000F would belong to a component below 2^-94."""

_FORMAT = b"\xc0"
_ID_BYTES = 4
_NONCE_BYTES = 12
_TAG_BYTES = 16
OVERHEAD_BYTES = len(_FORMAT) + _ID_BYTES + _NONCE_BYTES + _TAG_BYTES
"""By so much what is sealed is longer than its content."""


class SealBroken(ValueError):
    """What was to be opened is not what was sealed, or was sealed for another purpose."""


class UnknownDataKey(LookupError):
    """It was sealed with a data key that is not held here: a newer one, or one that is gone."""


class _Held(NamedTuple):
    """What is held at one moment; replaced as a whole."""

    ciphers: Mapping[int, AESGCM]
    current: int


class Vault:
    """Holds the data keys. Safe in threads."""

    def __init__(
        self,
        keys: Mapping[int, bytes],
        read_again: Callable[[], Mapping[int, bytes]] | None = None,
    ) -> None:
        """Take the data keys, `KEY_BYTES` each, by their ids; the largest id seals.

        Args:
            keys: that there are.
            read_again: gives those that there are now; asked when something was sealed with a key
                that came after them, as others may have made one. It may block, and whatever it
                raises comes out of `open`.

        Raises:
            ValueError: there is none, or one of another length.
        """
        self._read_again = read_again
        self._held = _Held({}, 0)
        self.take(keys)

    def learn(self) -> None:
        """Hold the data keys that there are now, too; raises what reading them raises."""
        if self._read_again is not None:
            self.take(self._read_again())

    def take(self, keys: Mapping[int, bytes]) -> None:
        """Hold these data keys, too; the largest id of them seals from now on.

        Those that were held before still open: a view of the database from before the end of a
        rotation shows what is sealed with a key that is deleted by now. They go with the process.

        Raises:
            ValueError: as for the first ones.
        """
        if not keys or any(len(key) != KEY_BYTES for key in keys.values()):
            raise ValueError(f"data keys have {KEY_BYTES} bytes, and there is one at least")
        ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._held = _Held({**self._held.ciphers, **ciphers}, max(keys))

    @property
    def current(self) -> int:
        """Id of the data key that seals."""
        return self._held.current

    def seal(self, content: bytes, *, purpose: str, owner: UUID) -> bytes:
        """Seal a content.

        Args:
            content: any bytes.
            purpose: what it is, such as `sample`.
            owner: whose it is, such as the sample's subject.

        Returns:
            `OVERHEAD_BYTES` more than the content.
        """
        ciphers, current = self._held
        nonce = os.urandom(_NONCE_BYTES)
        bound = _bound_to(purpose, owner)
        return prefix_of(current) + nonce + ciphers[current].encrypt(nonce, content, bound)

    def open(self, sealed: bytes, *, purpose: str, owner: UUID) -> bytes:
        """Open what was sealed for the same purpose and owner.

        Raises:
            SealBroken: it was not, or it was changed since.
            UnknownDataKey: its key is not held.
        """
        if len(sealed) < OVERHEAD_BYTES or sealed[:1] != _FORMAT:
            raise SealBroken("it is not sealed")
        key_id = int.from_bytes(sealed[1 : 1 + _ID_BYTES], "big")
        cipher = self._cipher(key_id)
        start = len(_FORMAT) + _ID_BYTES
        nonce, ciphertext = sealed[start : start + _NONCE_BYTES], sealed[start + _NONCE_BYTES :]
        try:
            return cipher.decrypt(nonce, ciphertext, _bound_to(purpose, owner))
        except InvalidTag:
            raise SealBroken("it was changed, or sealed for something else") from None

    def _cipher(self, key_id: int) -> AESGCM:
        # One below the largest was gone before we began, and one above all limits never was.
        if self.current < key_id <= MOST_KEY_ID:
            self.learn()
        cipher = self._held.ciphers.get(key_id)
        if cipher is None:
            raise UnknownDataKey(f"data key {key_id} is not held")
        return cipher


def prefix_of(key_id: int) -> bytes:
    """Give the first bytes of all that is sealed with a data key."""
    return _FORMAT + key_id.to_bytes(_ID_BYTES, "big")


def _bound_to(purpose: str, owner: UUID) -> bytes:
    return f"{purpose}/{owner}".encode()
