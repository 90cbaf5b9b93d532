"""Make, list, rotate and revoke API keys."""

import sys
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from app.database import Database
from app.keys import repository
from app.keys.caller import SCOPES, Scope
from app.keys.rate import check_rate
from app.keys.tokens import digest, new_token
from app.private_files import write_private
from app.tables import ApiKeyRow


class KeyNotFound(LookupError):
    """There is no key of this id."""


class KeyUnusable(LookupError):
    """The key is revoked or has expired."""


class UnknownCollections(LookupError):
    """There are no collections of these names."""


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key; the token itself is not."""

    key_id: str
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    revoked_at: datetime | None
    collections: tuple[str, ...] | None = None
    """None: all."""
    rate_limit: str | None = None
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


async def create_key(
    database: Database,
    *,
    name: str,
    scopes: Collection[Scope],
    collections: Collection[str] | None = None,
    rate_limit: str | None = None,
    expires: timedelta | None = None,
) -> tuple[str, ApiKey]:
    """Make a key, called `name` by people, with at least one scope.

    The token is in nobody's hands but the caller's: it can't be shown again.

    Args:
        database: that keeps it.
        name: what people call it.
        scopes: what it is good for.
        collections: names of those that it is good for; None: all.
        rate_limit: such as `600/minute`; None: the service's.
        expires: after how long; None: never.

    Raises:
        ValueError: there are no scopes, or unknown ones; no collections; or the rate can't be read.
        UnknownCollections: some do not exist.
    """
    if collections is not None and not collections:
        raise ValueError("a key needs a collection that it is good for, or None for all")
    token, row = _new_key(name, scopes)
    row.collections = None if collections is None else sorted(set(collections))
    row.rate_limit = None if rate_limit is None else check_rate(rate_limit)
    async with database.transaction() as session:
        missing = set(row.collections or ()) - await repository.collection_names(session)
        if missing:
            raise UnknownCollections(", ".join(sorted(missing)))
        now = await repository.now(session)
        row.created_at, row.expires_at = now, None if expires is None else now + expires
        await repository.insert(session, row)
    return token, _of(row)


async def list_keys(database: Database) -> list[ApiKey]:
    """List all keys, the revoked ones too, oldest first."""
    async with database.transaction() as session:
        return [_of(row) for row in await repository.list_all(session)]


async def rotate_key(
    database: Database, *, key_id: str, overlap: timedelta
) -> tuple[str, ApiKey, ApiKey]:
    """Make a key with the same rights, which takes the place of another one after the overlap.

    A key that was to live for some time is followed by one that will live as long.

    Returns:
        The new token, its key, and the old key, which expires after the overlap if not before.

    Raises:
        KeyNotFound: there is no such key.
        KeyUnusable: it is revoked or has expired.
    """
    async with database.transaction() as session:
        old = await repository.lock(session, key_id)
        if old is None:
            raise KeyNotFound(key_id)
        now = await repository.now(session)
        if old.revoked_at is not None or (old.expires_at is not None and old.expires_at <= now):
            raise KeyUnusable(key_id)
        token, new = _new_key(old.name, old.scopes)
        new.collections, new.rate_limit = old.collections, old.rate_limit
        new.created_at = now
        ends = now + overlap
        if old.expires_at is not None:
            new.expires_at = now + (old.expires_at - old.created_at)
            ends = min(ends, old.expires_at)
        old.expires_at = ends
        await repository.insert(session, new)
        return token, _of(new), _of(old)


async def revoke_key(database: Database, *, key_id: str) -> None:
    """Revoke a key; running services take it until their cache forgets (COHORT_KEY_CACHE_S).

    Raises:
        KeyNotFound: there is no such key.
    """
    async with database.transaction() as session:
        if not await repository.revoke(session, key_id):
            raise KeyNotFound(key_id)


async def ensure_admin_key(database: Database, *, data_dir: Path) -> None:
    """Make the first admin key if there was never a key, and write it to a file.

    Whoever sits at the terminal is shown it once; a log that takes our output is not.
    """
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
    if sys.stdout.isatty():
        sys.stdout.write(f"Admin key, shown this once and kept in {path}: {token}\n")
    else:
        sys.stdout.write(f"The first admin key is in {path}\n")
    sys.stdout.flush()


def _new_key(name: str, scopes: Collection[str]) -> tuple[str, ApiKeyRow]:
    if not scopes or not set(scopes) <= set(SCOPES):
        raise ValueError(f"scopes must be some of {', '.join(SCOPES)}, not {list(scopes)}")
    token, key_id = new_token()
    row = ApiKeyRow(id=key_id, name=name, token_sha256=digest(token), scopes=sorted(set(scopes)))
    return token, row


def _of(row: ApiKeyRow) -> ApiKey:
    return ApiKey(
        key_id=row.id,
        name=row.name,
        scopes=tuple(row.scopes),
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        collections=None if row.collections is None else tuple(row.collections),
        rate_limit=row.rate_limit,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
    )
