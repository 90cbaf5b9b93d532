"""Carry a write out once, however often it is sent."""

import asyncio
from time import monotonic

from app.database import Database
from app.idempotency import repository
from app.idempotency.answers import Answer, open_answer
from app.idempotency.claim import LEASE_S, Claim, in_progress
from app.idempotency.repository import KeptAnswer, Key, Stored
from app.logs import get_logger
from app.problems import AnswerLost, IdempotencyKeyReused
from vault.vault import SealBroken, UnknownDataKey, Vault

WAIT_S = 2.0
"""How long a request waits for the answer to one that came before it with the same key."""
LOOK_EVERY_S = 0.1

log = get_logger()


async def claim_or_answer(
    key: Key, request_sha256: bytes, *, database: Database, vault: Vault
) -> Claim | Answer:
    """Claim a write, or give the answer that it had when it came before.

    Args:
        key: which write.
        request_sha256: of the whole request.
        database: that knows the writes of all replicas.
        vault: that answers are sealed with.

    Raises:
        IdempotencyKeyReused: the key came with another request.
        RequestInProgress: it is being worked on, and takes longer than can be waited for.
        AnswerLost: it was carried out, and nobody knows any more what was answered.
    """
    claim = Claim(key, database, vault)
    wait_until = monotonic() + WAIT_S
    while True:
        async with database.transaction() as session:
            # Looked for first: an insert would wait for whoever is about to commit the row.
            stored = await repository.find(session, key)
            if stored is None and await repository.claim(
                session, key, claim.token, request_sha256=request_sha256, lease_s=LEASE_S
            ):
                return claim
            if stored is not None:
                _refuse_another(stored, request_sha256)
                if _is_left(stored) and await repository.take_over(
                    session, key, claim.token, lease_s=LEASE_S
                ):
                    log.warning("request_taken_over")
                    return claim
        if stored is not None and _is_over(stored):
            return await _answer_of(stored, key, vault)
        if monotonic() > wait_until:
            raise in_progress()
        await asyncio.sleep(LOOK_EVERY_S)


async def purge_answers(database: Database, *, hours: int) -> None:
    """Forget the writes that are older than some hours."""
    async with database.transaction() as session:
        await repository.purge(session, hours=hours)


def _refuse_another(stored: Stored, request_sha256: bytes) -> None:
    # What told of a deleted subject has lost its digest, too.
    if stored.row.request_sha256 and stored.row.request_sha256 != request_sha256:
        raise IdempotencyKeyReused(
            "This Idempotency-Key was sent with another request; make a new key for each write."
        )


def _is_over(stored: Stored) -> bool:
    return stored.row.claim is None or (stored.lapsed and stored.row.written)


def _is_left(stored: Stored) -> bool:
    """Whether whoever worked on it has ended, and has written nothing."""
    return stored.row.claim is not None and stored.lapsed and not stored.row.written


async def _answer_of(stored: Stored, key: Key, vault: Vault) -> Answer:
    row = stored.row
    if row.status is not None and row.answer is not None:
        kept = KeptAnswer(row.status, row.answer)
        try:
            return await asyncio.to_thread(open_answer, kept, key, vault)
        except (SealBroken, UnknownDataKey):
            log.warning("kept_answer_unreadable")
    raise AnswerLost(
        "A request with this Idempotency-Key was carried out, but its answer is gone: look at "
        "what is there, and send a new key to do it once more."
    )
