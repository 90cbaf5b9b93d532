import base64
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from app.paging import Position, read_cursor, write_cursor
from app.problems import InvalidCursor


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 1, 20, 12, 0, 0, 123_456, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(9999, 12, 31, tzinfo=UTC),
    ],
)
def test_a_position_is_read_as_it_was_written(at: datetime) -> None:
    position = Position(at, uuid4())
    assert read_cursor(write_cursor(position)) == position


def test_a_later_position_differs_by_a_microsecond_already() -> None:
    row_id = uuid4()
    at = datetime(2026, 1, 20, tzinfo=UTC)
    later = Position(at + timedelta(microseconds=1), row_id)
    assert write_cursor(Position(at, row_id)) != write_cursor(later)


TOO_LATE = base64.urlsafe_b64encode(b"\x7f" * 24).decode()


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "é", "A" * 36, TOO_LATE])
def test_other_texts_are_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        read_cursor(cursor)
