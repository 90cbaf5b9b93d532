"""Make, list, revoke and check API keys.

A token is `cohort_<id>_<secret>`: 8 hexadecimal digits that find the row, and 43 characters of
base64url that hold 256 random bits. Only the token's SHA-256 is stored; with that much randomness
a slow hash would add nothing but its time.
"""

import hashlib
import hmac
import re
import secrets
import sys
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Literal, get_args

from app.database import Database
from app.keys import repository
from app.private_files import write_private
from app.problems import InvalidKey, MissingKey, MissingScope
from app.tables import ApiKeyRow

Scope = Literal["identify", "enroll", "admin"]
"""identify: search and read. enroll: change subjects. admin: everything."""

SCOPES: tuple[Scope, ...] = get_args(Scope)
MAX_CACHED_KEYS = 10_000
"""Ids that were looked up, existing or not: an attacker's guesses must not fill the memory."""

_TOKEN = re.compile(r"cohort_([0-9a-f]{8})_[A-Za-z0-9_-]{43}")
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="cohort"'}


class KeyNotFound(LookupError):
    """There is no key of this id."""


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key; the token itself is not."""

    key_id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True)
class Caller:
    """Who makes a request."""

    key_id: str
    scopes: frozenset[str]

    def require(self, scope: Scope) -> None:
        """Raise `MissingScope` unless the caller may do what `scope` stands for."""
        if scope not in self.scopes and "admin" not in self.scopes:
            raise MissingScope(f"This needs a key with the scope `{scope}`.", required_scope=scope)


class KeyRing:
    """Checks tokens, remembering for a while what the database said of them."""

    def __init__(self, database: Database, *, cache_s: float) -> None:
        self._database = database
        self._cache_s = cache_s
        self._cache: dict[str, tuple[float, ApiKeyRow | None]] = {}

    async def authenticate(self, authorization: str | None) -> Caller:
        """Tell who sends this Authorization header.

        Raises:
            MissingKey: there is none, or it is of another kind.
            InvalidKey: the token is no key, or a revoked one.
        """
        kind, _, token = (authorization or "").partition(" ")
        if kind.lower() != "bearer":
            raise MissingKey("Send `Authorization: Bearer <key>`.", headers=_CHALLENGE)
        match = _TOKEN.fullmatch(token.strip())
        row = await self._look_up(match[1]) if match else None
        if (
            match is None
            or row is None
            or row.revoked_at is not None
            or not hmac.compare_digest(row.token_sha256, _digest(match[0]))
        ):
            # One answer for all four, so that it tells a guesser nothing.
            raise InvalidKey(
                "The key is unknown or revoked.",
                headers={
                    "WWW-Authenticate": f'{_CHALLENGE["WWW-Authenticate"]}, error="invalid_token"'
                },
            )
        return Caller(row.id, frozenset(row.scopes))

    async def _look_up(self, key_id: str) -> ApiKeyRow | None:
        known = self._cache.get(key_id)
        if known is not None and monotonic() - known[0] < self._cache_s:
            return known[1]
        asked_at = monotonic()
        async with self._database.transaction() as session:
            row = await repository.find(session, key_id)
        if len(self._cache) >= MAX_CACHED_KEYS:
            self._cache.clear()
        self._cache[key_id] = (asked_at, row)
        return row


async def create_key(
    database: Database, *, name: str, scopes: Collection[Scope]
) -> tuple[str, ApiKey]:
    """Make a key, called `name` by people, with at least one scope.

    The token is in nobody's hands but the caller's: it can't be shown again.

    Raises:
        ValueError: there are no scopes, or unknown ones.
    """
    token, row = _new_key(name, scopes)
    async with database.transaction() as session:
        await repository.insert(session, row)
    return token, _of(row)


async def list_keys(database: Database) -> list[ApiKey]:
    """List all keys, the revoked ones too, oldest first."""
    async with database.transaction() as session:
        return [_of(row) for row in await repository.list_all(session)]


async def revoke_key(database: Database, *, key_id: str) -> None:
    """Revoke a key; running services take it until their cache forgets (COHORT_KEY_CACHE_S).

    Raises:
        KeyNotFound: there is no such key.
    """
    async with database.transaction() as session:
        if not await repository.revoke(session, key_id):
            raise KeyNotFound(key_id)


async def ensure_admin_key(database: Database, *, data_dir: Path) -> None:
    """Make the first admin key if there was never a key; show it once and write it to a file."""
    path = data_dir / "admin.key"
    async with database.transaction() as session:
        await repository.lock_start(session)
        if await repository.exists_any(session):
            return
        token, row = _new_key("first admin key", ["admin"])
        await repository.insert(session, row)
        # On the disk before the commit: a crash or a power cut between the two leaves a file that
        # the next start replaces, the other way round a key that nobody has.
        write_private(path, token)
    sys.stdout.write(f"Admin key, shown this once and kept in {path}: {token}\n")
    sys.stdout.flush()


def _new_key(name: str, scopes: Collection[Scope]) -> tuple[str, ApiKeyRow]:
    if not scopes or not set(scopes) <= set(SCOPES):
        raise ValueError(f"scopes must be some of {', '.join(SCOPES)}, not {list(scopes)}")
    key_id = secrets.token_hex(4)
    token = f"cohort_{key_id}_{secrets.token_urlsafe(32)}"
    row = ApiKeyRow(id=key_id, name=name, token_sha256=_digest(token), scopes=sorted(set(scopes)))
    return token, row


def _of(row: ApiKeyRow) -> ApiKey:
    return ApiKey(row.id, row.name, tuple(row.scopes), row.created_at, row.revoked_at)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
