"""The examination: one look after another, each for itself."""

from collections.abc import Callable, Iterator

import psycopg

from app.doctor.database import connected, look_at_server, look_at_tables
from app.doctor.findings import Finding, failed, warning
from app.doctor.machine import (
    look_at_data_directory,
    look_at_descriptors,
    look_at_disk,
    look_at_key_place,
    look_at_training,
)
from app.doctor.nets import look_at_weights
from app.doctor.redis import look_at_redis
from app.doctor.stored import (
    look_at_audit,
    look_at_bundles,
    look_at_collections,
    look_at_encryption,
    look_at_jobs,
)
from app.postgres_programs import EmbeddedPostgresError
from app.settings import Settings

NOT_THERE = "This is a bug of `cohort doctor`, or something that it does not know: report it."


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything; each finding comes as soon as it is found. Blocks."""
    for look in (
        look_at_data_directory,
        look_at_disk,
        look_at_descriptors,
        look_at_key_place,
        look_at_weights,
    ):
        yield from _tried(look.__name__, lambda look=look: look(settings))  # type: ignore[misc]
    yield from _tried("look_at_database", lambda: _look_at_database(settings))
    yield from _tried("look_at_redis", lambda: look_at_redis(settings))
    yield from _tried("look_at_training", lambda: look_at_training(settings))


def _look_at_database(settings: Settings) -> Iterator[Finding]:
    try:
        with connected(settings) as connection:
            if connection is None:
                yield warning(
                    "database",
                    "there is no embedded Postgres in the data directory yet",
                    "The first start makes one; set COHORT_DATABASE_URL if there is another.",
                )
                return
            yield from look_at_server(settings, connection)
            yield from look_at_tables(connection)
            for name, look in (
                ("encryption key", lambda: look_at_encryption(settings, connection)),
                ("collections", lambda: look_at_collections(settings, connection)),
                ("bundles", lambda: look_at_bundles(settings, connection)),
                ("audit", lambda: look_at_audit(settings, connection)),
                ("jobs", lambda: look_at_jobs(connection)),
            ):
                try:
                    yield from _tried(name, look)
                except psycopg.errors.UndefinedTable:
                    return  # said above: the tables are not made yet, or are others
    except (psycopg.OperationalError, EmbeddedPostgresError) as error:
        yield failed(
            "database",
            " ".join(str(error).split()),
            "Check COHORT_DATABASE_URL, and that Postgres runs and lets this machine in. Searches "
            "go on from memory meanwhile; writes are answered 503.",
        )


def _tried(name: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Have what nobody expected be a finding, rather than the end of the examination."""
    try:
        yield from look()
    except (psycopg.OperationalError, psycopg.errors.UndefinedTable, EmbeddedPostgresError):
        raise
    except Exception as error:  # noqa: BLE001  (what comes after is to be looked at, too)
        yield failed(name, f"could not be looked at ({type(error).__name__})", NOT_THERE)
