"""SQL of the writes that came with an `Idempotency-Key`, and of their answers.

A row is claimed by a token, and whoever works on the write commits nothing after another has taken
the claim: `note_written` is part of the write's own transaction and tells.
"""

from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Insert,
    Select,
    Update,
    and_,
    delete,
    func,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from app.encryption.contents import answer_owner
from app.tables import IdempotencyRow


class Key(NamedTuple):
    """What a client calls one write."""

    key_id: str
    """Of the API key."""
    name_sha256: str
    """Of the `Idempotency-Key`, in hexadecimal."""

    @property
    def owner(self) -> UUID:
        """Whose the sealed answer is."""
        return answer_owner(self.key_id, self.name_sha256)


class Stored(NamedTuple):
    """What is known of a write."""

    row: IdempotencyRow
    lapsed: bool
    """Whether its claim's time is over: whoever had it has ended, or stands still."""


class KeptAnswer(NamedTuple):
    """An answer as it is stored."""

    status: int
    sealed: bytes


async def claim(
    session: AsyncSession, key: Key, token: UUID, *, request_sha256: bytes, lease_s: float
) -> bool:
    """Claim a write that nobody knows yet; False if it is known."""
    return await _has_changed(
        session,
        insert(IdempotencyRow)
        .values(
            key_id=key.key_id,
            idempotency_key=key.name_sha256,
            request_sha256=request_sha256,
            claim=token,
            leased_until=_from_now(lease_s),
            written=False,
        )
        .on_conflict_do_nothing(),
    )


async def find(session: AsyncSession, key: Key) -> Stored | None:
    """Find a write by its key."""
    found = await session.execute(
        select(IdempotencyRow, IdempotencyRow.leased_until < func.clock_timestamp()).where(_is(key))
    )
    row = found.one_or_none()
    return None if row is None else Stored(*row)


async def take_over(session: AsyncSession, key: Key, token: UUID, *, lease_s: float) -> bool:
    """Take a write over whose claim has lapsed with nothing written; False if others were faster.

    A row that is locked is left: it may be about to be written.
    """
    lapsed = (
        select(IdempotencyRow.key_id, IdempotencyRow.idempotency_key)
        .where(
            _is(key),
            IdempotencyRow.claim.is_not(None),
            IdempotencyRow.leased_until < func.clock_timestamp(),
            ~IdempotencyRow.written,
        )
        .with_for_update(skip_locked=True)
    )
    return await _has_changed(
        session,
        update(IdempotencyRow)
        .where(tuple_(IdempotencyRow.key_id, IdempotencyRow.idempotency_key).in_(lapsed))
        .values(claim=token, leased_until=_from_now(lease_s)),
    )


async def renew(session: AsyncSession, key: Key, token: UUID, *, lease_s: float) -> None:
    """Go on holding a claim."""
    await session.execute(
        update(IdempotencyRow)
        .where(_is(key), IdempotencyRow.claim == token)
        .values(leased_until=_from_now(lease_s))
    )


async def has_written(session: AsyncSession) -> bool:
    """Tell whether the transaction has changed, or locked, anything so far."""
    return bool(await session.scalar(select(func.pg_current_xact_id_if_assigned().is_not(None))))


async def note_written(
    session: AsyncSession,
    key: Key,
    token: UUID,
    *,
    answer: KeptAnswer | None,
    subject_id: UUID | None,
) -> bool:
    """Note in a write's own transaction that it is carried out, and its answer if that is known.

    Returns:
        False if the claim is another's by now: the transaction must not be committed.
    """
    values: dict[str, Any] = {"written": True}
    if answer is not None:
        values |= {"status": answer.status, "answer": answer.sealed, "subject_id": subject_id}
    return await _has_changed(
        session,
        update(IdempotencyRow).where(_is(key), IdempotencyRow.claim == token).values(**values),
    )


async def finish(session: AsyncSession, key: Key, token: UUID, answer: KeptAnswer) -> None:
    """Keep the answer of a write; not if the subject that it tells of was deleted meanwhile."""
    await session.execute(
        update(IdempotencyRow)
        .where(_is(key), IdempotencyRow.claim == token)
        .values(claim=None, status=answer.status, answer=answer.sealed)
    )


async def give_up(session: AsyncSession, key: Key, token: UUID) -> None:
    """End a write that has no answer worth keeping; it is forgotten if nothing was written."""
    mine = and_(_is(key), IdempotencyRow.claim == token)
    await session.execute(delete(IdempotencyRow).where(mine, ~IdempotencyRow.written))
    await session.execute(update(IdempotencyRow).where(mine).values(claim=None))


async def forget_answers(session: AsyncSession, subject_ids: Select[UUID]) -> None:
    """Delete the answers that tell of some subjects, who are about to be deleted.

    That they were given stays: a client that sends its enrolment again must not make the subject
    anew.
    """
    await session.execute(
        update(IdempotencyRow)
        .where(IdempotencyRow.subject_id.in_(subject_ids))
        .values(claim=None, status=None, answer=None, subject_id=None, request_sha256=b"")
    )


async def purge(session: AsyncSession, *, hours: int) -> None:
    """Delete what is older than some hours."""
    await session.execute(
        delete(IdempotencyRow).where(
            IdempotencyRow.created_at < func.clock_timestamp() - timedelta(hours=hours)
        )
    )


def _is(key: Key) -> ColumnElement[bool]:
    return and_(
        IdempotencyRow.key_id == key.key_id, IdempotencyRow.idempotency_key == key.name_sha256
    )


def _from_now(seconds: float) -> ColumnElement[Any]:
    return func.clock_timestamp() + timedelta(seconds=seconds)


async def _has_changed(session: AsyncSession, statement: Insert | Update) -> bool:
    return await session.scalar(statement.returning(IdempotencyRow.key_id)) is not None
