"""Brings the tables up to date at every start, whichever of several replicas starts first."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, NullPool, create_engine, text

import migrations

START_LOCK = 0x436F686F7274  # "Cohort": taken by whatever only one replica may do at start
LOCK_TIMEOUT = "10s"
"""A migration that must wait longer for a table gives up, rather than block all who come after."""


def migration_config(connection: Connection) -> Config:
    """Make alembic's configuration for an open connection."""
    config = Config(Path(migrations.__file__).parent / "alembic.ini")
    config.attributes["connection"] = connection
    return config


def migrate(url: URL) -> None:
    """Run the migrations that the database lacks, if any."""
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True)
    with engine.begin() as connection:
        config = migration_config(connection)
        head = ScriptDirectory.from_config(config).get_current_head()
        # The lock is released with the transaction; whoever waited then finds nothing to do.
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": START_LOCK})
        if MigrationContext.configure(connection).get_current_revision() == head:
            return
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        command.upgrade(config, "head")
