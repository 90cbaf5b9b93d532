"""Temporary files, in which large requests lie while they are read."""

from collections.abc import Iterator
from contextlib import contextmanager

from app.logs import describe_error, get_logger
from app.problems import StorageUnavailable

log = get_logger()


def storage_unavailable(error: OSError) -> StorageUnavailable:
    """Make the problem of a temporary file that could not be written, and log why."""
    log.error("temporary_file_not_written", **describe_error(error))
    return StorageUnavailable(
        "The service has no room for the request in its temporary folder; try again shortly.",
        headers={"Retry-After": "1"},
    )


@contextmanager
def written_aside() -> Iterator[None]:
    """Have the block write temporary files.

    Raises:
        StorageUnavailable: it can't.
    """
    try:
        yield
    except OSError as error:
        raise storage_unavailable(error) from error
