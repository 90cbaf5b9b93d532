"""Cursors of lists that are ordered by time: where a page ended, as text."""

import base64
import struct
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from app.problems import InvalidCursor

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CURSOR = struct.Struct("<q16s")
"""Microseconds since 1970, and the id."""


class Position(NamedTuple):
    """Where a page ended: the time and the id of its last row."""

    at: datetime
    row_id: UUID


def write_cursor(position: Position) -> str:
    """Write a position as the text that the next page is asked for with."""
    micros = (position.at - _EPOCH) // timedelta(microseconds=1)
    return base64.urlsafe_b64encode(_CURSOR.pack(micros, position.row_id.bytes)).decode()


def read_cursor(cursor: str) -> Position:
    """Read what `write_cursor` wrote.

    Raises:
        InvalidCursor: it was not written so.
    """
    try:
        micros, row_id = _CURSOR.unpack(base64.b64decode(cursor, b"-_", validate=True))
        return Position(_EPOCH + timedelta(microseconds=micros), UUID(bytes=row_id))
    except (ValueError, struct.error, OverflowError):
        raise InvalidCursor("Send `next_cursor` of an earlier answer as it was.") from None
