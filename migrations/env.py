"""How alembic reaches the database: through the connection it is given, or the settings."""

from alembic import context
from sqlalchemy import Connection, NullPool, create_engine, make_url

from app.settings import Settings
from app.tables import Table


def run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Table.metadata, compare_type=True)
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    address = Settings().database_url
    if address is None:
        raise SystemExit("set COHORT_DATABASE_URL to the database to work on")
    url = make_url(address.get_secret_value()).set(drivername="postgresql+psycopg")
    with create_engine(url, poolclass=NullPool).begin() as connection:
        run(connection)
