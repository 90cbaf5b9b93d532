"""Look for somebody everywhere: in all tables, files, keys of Redis and objects in memory.

What is looked through is taken from catalogues, not from a list: a table, a file or a cache that
comes later is looked through, too.
"""

import asyncio
import gc
import json
import types
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import psycopg
from psycopg import sql
from redis import Redis
from sqlalchemy import create_engine, make_url, select

from app.encryption.contents import ALL_SEALED
from models.arrays import Floats
from vault.vault import Vault

Traces = Mapping[str, Sequence[bytes]]
"""What somebody is known by, each in all the ways that it may be written."""

Places = Iterator[tuple[str, bytes]]
"""Where something is, and its content."""

_NO_DATA = (
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.CodeType,
    types.FrameType,
    # Of the tests themselves, which know whom they look for.
    types.CoroutineType,
    types.GeneratorType,
    types.AsyncGeneratorType,
    # Of calls that are over, until a timer that they have set runs out.
    asyncio.AbstractEventLoop,
    type,
)


def of_text(text: str) -> list[bytes]:
    """A text as it is, and as JSON may write it."""
    return [text.encode(), json.dumps(text)[1:-1].encode()]


def of_uuid(each: UUID | str) -> list[bytes]:
    """An id in its writings and as bytes."""
    known = UUID(str(each))
    return [str(known).encode(), known.hex.encode(), known.bytes]


def of_template(template: Floats) -> list[bytes]:
    """The beginning of a template, (d,), at the precisions that it is kept in anywhere."""
    return [template[:8].astype(kind).tobytes() for kind in ("<f4", "<f2", "<f8")]


def found(traces: Traces, places: Places) -> set[tuple[str, str]]:
    """Tell which traces are where: (what, where), each once."""
    return {
        (what, where)
        for where, content in places
        for what, writings in traces.items()
        if any(writing in content for writing in writings)
    }


def in_tables(database_url: str, vault: Vault) -> Places:
    """Go through each value of each table that there is, the sealed ones opened."""
    with psycopg.connect(database_url) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " JOIN information_schema.tables USING (table_schema, table_name)"
            " WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        ).fetchall()
        for table, column in columns:
            statement = sql.SQL("SELECT {}, pg_typeof({})::text FROM {}").format(
                sql.Identifier(column), sql.Identifier(column), sql.Identifier(table)
            )
            for value, kind in connection.execute(statement):
                yield f"{table}.{column}", _as_bytes(value)
                assert not _is_sealed(value) or (table, column) in _SEALED, (
                    f"{table}.{column} ({kind}) is sealed, and nobody can open it here"
                )
    yield from _opened(database_url, vault)


_SEALED = {(each.table.name, each.content.key) for each in ALL_SEALED}


def _is_sealed(value: object) -> bool:
    return isinstance(value, bytes) and value[:3] == b"\xc0\0\0" and len(value) >= 33


def _opened(database_url: str, vault: Vault) -> Places:
    engine = create_engine(make_url(database_url).set(drivername="postgresql+psycopg"))
    with engine.connect() as connection:
        for column in ALL_SEALED:
            statement = select(column.content, *column.bound_by).where(column.content.is_not(None))
            for content, *bound_by in connection.execute(statement):
                purpose, owner = column.binding(*bound_by)
                where = f"{column.table.name}.{column.content.key}"
                yield where, vault.open(content, purpose=purpose, owner=owner)
    engine.dispose()


def _as_bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, UUID):
        return b" ".join(of_uuid(value))
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False, default=str).encode()
    return str(value).encode()


def in_files(folder: Path) -> Places:
    """Go through each file below a folder, and its name."""
    for path in folder.rglob("*"):
        where = str(path.relative_to(folder))
        yield where, where.encode()
        if path.is_file():
            yield where, path.read_bytes()


def in_redis(url: str) -> Places:
    """Go through each key of a Redis and its value; what is compressed is inflated."""
    with Redis.from_url(url) as client:
        for key in client.scan_iter():
            yield f"redis {key!r}", key
            for value in _values(client, key):
                yield f"redis {key!r}", value
                with suppress(zlib.error):
                    yield f"redis {key!r}", zlib.decompress(value)


def _values(client: Any, key: bytes) -> list[bytes]:
    match client.type(key):
        case b"string":
            return [client.get(key)]
        case b"hash":
            return [part for pair in client.hgetall(key).items() for part in pair]
        case b"list":
            return list(client.lrange(key, 0, -1))
        case b"set":
            return list(client.smembers(key))
        case b"zset":
            return [member for member, _ in client.zrange(key, 0, -1, withscores=True)]
        case b"stream":
            return [
                part for _, pairs in client.xrange(key) for pair in pairs.items() for part in pair
            ]
        case other:
            raise AssertionError(f"nobody looks into a {other!r} of Redis here")


def in_memory(root: object) -> Places:
    """Go through every text, id and array that an object leads to, and say by which ways."""
    seen: set[int] = set()
    waiting: list[tuple[object, tuple[str, ...]]] = [(root, ())]
    while waiting:
        each, way = waiting.pop()
        if id(each) in seen or isinstance(each, _NO_DATA):
            continue
        seen.add(id(each))
        way = (*way[-6:], type(each).__qualname__)
        where = f"memory {' > '.join(way)}"
        if isinstance(each, str):
            yield where, each.encode(errors="replace")
        elif isinstance(each, bytes | bytearray):
            yield where, bytes(each)
        elif isinstance(each, UUID):
            yield where, b" ".join(of_uuid(each))
        elif isinstance(each, np.ndarray):
            yield f"{where} {each.dtype} {each.shape}", each.tobytes()
            waiting.append((each.base, way))
        else:
            waiting.extend((next_one, way) for next_one in gc.get_referents(each))
