import os
from uuid import uuid4

import pytest

from vault.vault import (
    KEY_BYTES,
    MOST_KEY_ID,
    OVERHEAD_BYTES,
    SealBroken,
    UnknownDataKey,
    Vault,
    prefix_of,
)

CONTENT = b"a template"
OWNER = uuid4()


def seal(vault: Vault) -> bytes:
    return vault.seal(CONTENT, purpose="sample", owner=OWNER)


def opened(vault: Vault, sealed: bytes) -> bytes:
    return vault.open(sealed, purpose="sample", owner=OWNER)


def test_what_is_sealed_is_found_again_and_never_the_same() -> None:
    vault = Vault({1: os.urandom(KEY_BYTES)})
    one, other = seal(vault), seal(vault)
    assert one != other
    assert CONTENT not in one
    assert len(one) == len(CONTENT) + OVERHEAD_BYTES
    assert one.startswith(prefix_of(1))
    assert opened(vault, one) == opened(vault, other) == CONTENT
    assert vault.open(vault.seal(b"", purpose="p", owner=OWNER), purpose="p", owner=OWNER) == b""


def test_it_opens_for_its_own_purpose_and_owner_alone() -> None:
    vault = Vault({1: os.urandom(KEY_BYTES)})
    sealed = seal(vault)
    for purpose, owner in (("variant", OWNER), ("sample", uuid4())):
        with pytest.raises(SealBroken):
            vault.open(sealed, purpose=purpose, owner=owner)


def test_a_changed_byte_anywhere_is_noticed() -> None:
    vault = Vault({1: os.urandom(KEY_BYTES)})
    sealed = seal(vault)
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises((SealBroken, UnknownDataKey)):
            opened(vault, bytes(changed))
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            opened(vault, sealed[:length])


def test_the_newest_key_seals_and_older_ones_still_open() -> None:
    keys = {1: os.urandom(KEY_BYTES), 2: os.urandom(KEY_BYTES)}
    before, after = Vault({1: keys[1]}), Vault(keys)
    assert opened(after, seal(before)) == CONTENT
    assert seal(after).startswith(prefix_of(2))
    assert after.current == 2
    with pytest.raises(UnknownDataKey):
        opened(before, seal(after))


def test_a_newer_key_is_looked_for_and_others_are_not() -> None:
    keys = {2: os.urandom(KEY_BYTES)}
    looked: list[int] = []

    def read_again() -> dict[int, bytes]:
        looked.append(max(keys))
        return keys

    vault = Vault(keys, read_again)
    keys = {**keys, 3: os.urandom(KEY_BYTES)}
    sealed = seal(Vault(keys))
    assert opened(vault, sealed) == CONTENT
    assert opened(vault, sealed) == CONTENT
    assert looked == [3]
    assert seal(vault).startswith(prefix_of(3))
    # One that is gone, and one that never was.
    for key_id in (1, MOST_KEY_ID + 1):
        with pytest.raises(UnknownDataKey):
            opened(vault, prefix_of(key_id) + sealed[len(prefix_of(key_id)) :])
    assert looked == [3]


def test_a_key_that_others_have_deleted_still_opens_and_seals_no_more() -> None:
    keys = {1: os.urandom(KEY_BYTES)}
    vault = Vault(keys, lambda: keys)
    sealed = seal(vault)
    keys = {2: os.urandom(KEY_BYTES)}
    vault.learn()
    assert opened(vault, sealed) == CONTENT
    assert seal(vault).startswith(prefix_of(2))


def test_what_looking_raises_comes_out_and_the_keys_stay() -> None:
    def away() -> dict[int, bytes]:
        raise ConnectionError

    vault = Vault({1: os.urandom(KEY_BYTES)}, away)
    sealed = seal(Vault({2: os.urandom(KEY_BYTES)}))
    with pytest.raises(ConnectionError):
        opened(vault, sealed)
    assert opened(vault, seal(vault)) == CONTENT


@pytest.mark.parametrize("keys", [{}, {1: b"short"}])
def test_keys_that_are_none_are_refused(keys: dict[int, bytes]) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Vault(keys)
