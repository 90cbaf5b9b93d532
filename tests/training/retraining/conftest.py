"""The service's database, migrated, for what reads it."""

from tests.app.conftest import database_url, postgres

__all__ = ["database_url", "postgres"]
