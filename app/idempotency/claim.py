"""The claim that a request holds on its write while it is answered."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from uuid import UUID, uuid4

from pydantic import BaseModel
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from app.database import Database, before_commit
from app.idempotency import repository
from app.idempotency.answers import Answer, seal_answer
from app.idempotency.repository import KeptAnswer, Key
from app.logs import describe_error, get_logger
from app.problems import RequestInProgress
from app.revisions import REVISION
from vault.vault import Vault

LEASE_S = 15.0
"""Whoever works on a write says so again within this time, or another may take it over."""
RENEW_EVERY_S = 5.0
RETRY_AFTER_S = 2

log = get_logger()


def in_progress() -> RequestInProgress:
    """Say that somebody else works on the same write."""
    return RequestInProgress(
        "A request with this Idempotency-Key is being worked on; ask again shortly.",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


class Claim:
    """Held from before the route is called until its answer is kept."""

    def __init__(self, key: Key, database: Database, vault: Vault) -> None:
        self.key = key
        self.token = uuid4()
        self._database = database
        self._vault = vault
        self._answer: KeptAnswer | None = None
        self._subject_id: UUID | None = None
        self._over = asyncio.Event()

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Hold the claim for the block, whose transactions note what they write.

        Raises:
            RequestInProgress: out of the block's transaction, which is rolled back: the claim had
                lapsed, and another request has it now.
        """
        renewing = asyncio.create_task(self._renew())
        claim, hook = _claim.set(self), before_commit.set(self._note_written)
        try:
            yield
        finally:
            before_commit.reset(hook)
            _claim.reset(claim)
            self._over.set()
            await renewing

    def will_answer(self, answer: Answer, subject_id: UUID | None) -> None:
        """Take the answer that goes into the transaction of the write."""
        self._answer = seal_answer(answer, self.key, self._vault)
        self._subject_id = subject_id

    async def finish(self, answer: Answer) -> None:
        """Keep the answer; without the database, what the transaction has noted must do."""
        with _database_may_be_away():
            async with self._database.transaction() as session:
                await repository.finish(
                    session, self.key, self.token, seal_answer(answer, self.key, self._vault)
                )

    async def give_up(self) -> None:
        """Have no answer: the same request may be sent again."""
        with _database_may_be_away():
            async with self._database.transaction() as session:
                await repository.give_up(session, self.key, self.token)

    async def _renew(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), RENEW_EVERY_S)
                return
            with _database_may_be_away():
                async with self._database.transaction() as session:
                    await repository.renew(session, self.key, self.token, lease_s=LEASE_S)

    async def _note_written(self, session: AsyncSession) -> None:
        # Jobs that the request has begun go on with its context after it.
        if self._over.is_set() or not await repository.has_written(session):
            return
        if not await repository.note_written(
            session, self.key, self.token, answer=self._answer, subject_id=self._subject_id
        ):
            raise in_progress()


_claim: ContextVar[Claim | None] = ContextVar("claim", default=None)


def keep_answer(
    body: BaseModel | None,
    *,
    status: int,
    revision: int,
    subject_id: UUID | None = None,
    headers: Mapping[str, str] | None = None,
) -> None:
    """Have the answer of a write committed with it, if the write can be sent again.

    Called within its transaction. A process that ends before the answer has left could otherwise
    only say later that the write was carried out, not how.

    Args:
        body: what is answered; None: nothing.
        status: with which status.
        revision: of the collection, that the answer names.
        subject_id: whom the answer tells of, and with whom it is deleted.
        headers: others that the route adds.
    """
    claim = _claim.get()
    if claim is not None:
        named = {REVISION: str(revision), **(headers or {})}
        claim.will_answer(Answer.of(body, status=status, headers=named), subject_id)


@contextmanager
def _database_may_be_away() -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        log.warning("idempotency_not_kept", **describe_error(error))
