from uuid import UUID

import pytest

from app.announcements import Announcement
from app.gallery.notices import read_notice, write_notice

COLLECTION = UUID("9d6c2c3e-7d5f-4a3c-9a53-0d0f6f8f2b11")


@pytest.mark.parametrize("revision", [None, 0, 2**62])
def test_a_notice_is_read_as_it_was_written(revision: int | None) -> None:
    announcement = Announcement(COLLECTION, revision)
    assert read_notice(write_notice(announcement).encode()) == announcement


@pytest.mark.parametrize("sent", [b"", b"7", b"\xff", b"x 1", str(COLLECTION).encode() + b" x"])
def test_what_is_none_is_refused(sent: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_notice(sent)
