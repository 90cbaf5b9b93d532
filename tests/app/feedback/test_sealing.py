import base64
import os
from uuid import UUID, uuid4

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from app.feedback.sealing import KEY_BYTES, Sealer
from app.problems import InvalidIdentification
from models.arrays import Floats

KEY = bytes(range(KEY_BYTES))
EMBEDDER = "0f3a" * 16
COLLECTION = UUID("a4c1d2f6-0f53-4e0c-b7a4-6a1f3c0d9e21")


def template(seed: int = 1, dimension: int = 192) -> Floats:
    row = np.random.default_rng(seed).normal(size=dimension).astype(np.float32)
    unit: Floats = row / np.linalg.norm(row)
    return unit


@pytest.mark.parametrize("dimension", [1, 2, 3, 128, 192, 512])
def test_what_was_sealed_is_opened(dimension: int) -> None:
    sealed = template(dimension=dimension)
    probe = Sealer(KEY).open(Sealer(KEY).seal(COLLECTION, sealed, EMBEDDER), [EMBEDDER])
    assert probe.collection_id == COLLECTION
    assert probe.template.dtype == np.float32
    assert np.linalg.norm(probe.template) == pytest.approx(1, abs=1e-6)
    assert float(probe.template @ sealed) == pytest.approx(1, abs=1e-6)


def test_an_id_fits_into_a_url_and_says_nothing_twice() -> None:
    sealer = Sealer(KEY)
    one, other = (sealer.seal(COLLECTION, template(), EMBEDDER) for _ in range(2))
    assert one != other
    assert len(one) == 572
    assert set(one) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_no_byte_can_be_changed_or_be_missing() -> None:
    sealer = Sealer(KEY)
    sealed = base64.urlsafe_b64decode(
        sealer.seal(COLLECTION, template(dimension=3), EMBEDDER) + "=="
    )
    wrong = [sealed[:length] for length in range(len(sealed))]
    wrong += [
        sealed[:place] + bytes([sealed[place] ^ bit]) + sealed[place + 1 :]
        for place in range(len(sealed))
        for bit in (1, 128)
    ]
    for each in [*wrong, sealed + b"\0"]:
        with pytest.raises(InvalidIdentification):
            sealer.open(base64.urlsafe_b64encode(each).rstrip(b"=").decode(), [EMBEDDER])


def test_the_ids_of_one_template_are_of_one_face() -> None:
    sealer = Sealer(KEY)
    faces = [
        sealer.open(sealer.seal(collection_id, template(seed), EMBEDDER), [EMBEDDER]).sha256
        for collection_id, seed in ((COLLECTION, 1), (COLLECTION, 1), (COLLECTION, 2), (uuid4(), 1))
    ]
    assert faces[0] == faces[1]
    assert len(set(faces)) == 3


@pytest.mark.parametrize("text", ["", "A", "AAAA", "AQ", "é" * 40, "\x00" * 40, "A" * 16_384])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidIdentification):
        Sealer(KEY).open(text, [EMBEDDER])


def test_another_key_opens_nothing() -> None:
    sealed = Sealer(os.urandom(KEY_BYTES)).seal(COLLECTION, template(), EMBEDDER)
    with pytest.raises(InvalidIdentification):
        Sealer(KEY).open(sealed, [EMBEDDER])


def test_the_layout_is_as_documented() -> None:
    collection_id, row = uuid4(), template()
    nonce = os.urandom(12)
    content = collection_id.bytes + b"".join(np.float16(each).tobytes() for each in row)
    beside = b"\x01" + bytes.fromhex(EMBEDDER)
    sealed = b"\x01" + nonce + AESGCMSIV(KEY).encrypt(nonce, content, beside)
    probe = Sealer(KEY).open(base64.urlsafe_b64encode(sealed).rstrip(b"=").decode(), [EMBEDDER])
    assert (probe.collection_id, probe.embedder_sha256) == (collection_id, EMBEDDER)
    np.testing.assert_allclose(probe.template, row, atol=1e-4)


def test_an_id_tells_which_embedder_made_its_template() -> None:
    other = "a1b2" * 16
    sealed = Sealer(KEY).seal(COLLECTION, template(), EMBEDDER)
    assert Sealer(KEY).open(sealed, [other, EMBEDDER]).embedder_sha256 == EMBEDDER
    with pytest.raises(InvalidIdentification):
        Sealer(KEY).open(sealed, [other])
