"""Checks tokens, remembering for a while what the database said of them.

A guesser learns nothing from how long it takes to be refused. A wrong token is one that the
database has no valid row for, whatever is wrong with it: the id is unknown, the secret is another,
the key is revoked or has expired; all are the same query without an answer. It is remembered by
the whole token, so that an id which somebody just used is not known any faster than others.
"""

import asyncio
import hmac
from datetime import UTC, datetime
from time import monotonic

from sqlalchemy import exc

from app.database import Database
from app.keys import repository
from app.keys.caller import Caller
from app.keys.tokens import digest, id_in
from app.problems import InvalidKey, MissingKey
from app.tables import ApiKeyRow

MAX_CACHED_KEYS = 10_000
"""Tokens that were looked up, valid or not: an attacker's guesses must not fill the memory."""
LOOKUPS_AT_ONCE = 2
"""Of tokens that are not known: guesses must not take the connections that others need."""
PATIENCE_S = 1.0
"""For a database that does not answer, before a key is taken that was valid a moment ago."""
AWAY_S = 3600.0
"""For so long after it was last checked a key is taken while the database is away."""

_DATABASE_AWAY = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError, TimeoutError)
_NO_KEY = bytes(32)
_UNKNOWN = (0.0, 0.0, None)
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="cohort"'}


class KeyRing:
    """The keys that callers come with."""

    def __init__(self, database: Database, *, cache_s: float) -> None:
        self._database = database
        self._cache_s = cache_s
        self._cache: dict[bytes, tuple[float, float, ApiKeyRow | None]] = {}
        """By the token's hash: when to look again, when it was looked, and what was found."""
        self._lookups = asyncio.Semaphore(LOOKUPS_AT_ONCE)
        self._used: dict[str, datetime] = {}
        self._renewals: set[asyncio.Task[ApiKeyRow | None]] = set()

    def knows(self, authorization: str | None) -> bool:
        """Tell whether this header's token was valid when it was last looked up here."""
        token = _token_in(authorization)
        return token is not None and self._cache.get(digest(token), _UNKNOWN)[2] is not None

    async def authenticate(self, authorization: str | None) -> Caller:
        """Tell who sends this Authorization header.

        Raises:
            MissingKey: there is none, or it is of another kind.
            InvalidKey: the token is no key, or one that is revoked or has expired.
        """
        token = _token_in(authorization)
        if token is None:
            raise MissingKey("Send `Authorization: Bearer <key>`.", headers=_CHALLENGE)
        sent = digest(token)
        key_id = id_in(token)
        row = None if key_id is None else await self._find(key_id, sent)
        matches = hmac.compare_digest(_NO_KEY if row is None else row.token_sha256, sent)
        if row is None or not matches:
            # One answer for all, so that it tells a guesser nothing.
            raise InvalidKey(
                "The key is unknown, revoked or expired.",
                headers={
                    "WWW-Authenticate": f'{_CHALLENGE["WWW-Authenticate"]}, error="invalid_token"'
                },
            )
        self._used[row.id] = datetime.now(UTC)
        collections = None if row.collections is None else frozenset(row.collections)
        return Caller(row.id, frozenset(row.scopes), collections, row.rate_limit)

    async def _find(self, key_id: str, sent: bytes) -> ApiKeyRow | None:
        look_again_at, looked_at, row = self._cache.get(sent, _UNKNOWN)
        now = monotonic()
        if now < look_again_at and not _has_expired(row):
            return row
        if row is None:
            async with self._lookups:
                return await self._renew(key_id, sent)
        # Not given up but left alone when it takes too long: what it finds counts from then on.
        renewal = asyncio.create_task(self._renew(key_id, sent))
        self._renewals.add(renewal)
        renewal.add_done_callback(self._over)
        await asyncio.wait({renewal}, timeout=PATIENCE_S)
        error = renewal.exception() if renewal.done() else TimeoutError()
        if error is None:
            return renewal.result()
        if not isinstance(error, _DATABASE_AWAY) or now - looked_at > AWAY_S or _has_expired(row):
            raise error
        self._remember(sent, now, looked_at, row)
        return row

    async def _renew(self, key_id: str, sent: bytes) -> ApiKeyRow | None:
        now = monotonic()
        row = await self._look_up(key_id, sent)
        self._remember(sent, now, now, row)
        return row

    async def _look_up(self, key_id: str, sent: bytes) -> ApiKeyRow | None:
        async with self._database.transaction() as session:
            return await repository.find_valid(session, key_id, token_sha256=sent)

    def _over(self, renewal: asyncio.Task[ApiKeyRow | None]) -> None:
        self._renewals.discard(renewal)
        if not renewal.cancelled():
            renewal.exception()  # seen by whoever still waits

    async def close(self) -> None:
        """Wait for what is still looked up."""
        await asyncio.gather(*self._renewals, return_exceptions=True)

    def _remember(self, sent: bytes, now: float, looked_at: float, row: ApiKeyRow | None) -> None:
        if len(self._cache) >= MAX_CACHED_KEYS:
            # Guesses go first: a valid key must be there when the database is away.
            self._cache = {key: known for key, known in self._cache.items() if known[2]}
        if len(self._cache) >= MAX_CACHED_KEYS:
            self._cache.clear()
        self._cache[sent] = (now + self._cache_s, looked_at, row)

    async def write_last_uses(self) -> None:
        """Write down when each key was used last, of those used since this was last called.

        What can't be written is lost: it is of use to nobody who would wait for it.
        """
        used, self._used = self._used, {}
        if used:
            async with self._database.transaction() as session:
                await repository.note_uses(session, used)


def _token_in(authorization: str | None) -> str | None:
    kind, _, token = (authorization or "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else None


def _has_expired(row: ApiKeyRow | None) -> bool:
    return row is not None and row.expires_at is not None and row.expires_at <= datetime.now(UTC)
