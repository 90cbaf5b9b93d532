"""Tables to and from what `COPY` writes, whatever tables there are.

Plain text and not binary, which Postgres promises nothing about between its versions: an embedded
server's backup must go into an older one somewhere else.
"""

from typing import Any, NamedTuple

from psycopg import Connection, sql

PORTABLE = (
    "SET client_encoding TO 'UTF8'",
    "SET datestyle TO 'ISO, MDY'",
    "SET intervalstyle TO 'iso_8601'",
    "SET timezone TO 'UTC'",
    "SET bytea_output TO 'hex'",
)
"""Said on both sides: `COPY` writes by the settings of its connection."""

MIGRATIONS = "alembic_version"
"""The table that says which migrations have been run; not copied, but followed."""

_TABLES = """
    SELECT relation.relname, array_agg(attribute.attname::text ORDER BY attribute.attnum)
    FROM pg_class AS relation
    JOIN pg_attribute AS attribute ON attribute.attrelid = relation.oid
    WHERE relation.relnamespace = current_schema()::regnamespace AND relation.relkind = 'r'
        AND attribute.attnum > 0 AND NOT attribute.attisdropped AND attribute.attgenerated = ''
        AND relation.relname <> %s
    GROUP BY relation.relname ORDER BY relation.relname
"""
_REFERENCES = """
    SELECT child.relname, parent.relname
    FROM pg_constraint AS reference
    JOIN pg_class AS child ON child.oid = reference.conrelid
    JOIN pg_class AS parent ON parent.oid = reference.confrelid
    WHERE reference.contype = 'f' AND child.relnamespace = current_schema()::regnamespace
        AND child.oid <> parent.oid
"""


class Table(NamedTuple):
    """A table and the columns that can be written to."""

    name: str
    columns: list[str]


def list_tables(connection: Connection[Any]) -> list[Table]:
    """List all tables, each after those that it refers to."""
    tables = [Table(*row) for row in connection.execute(_TABLES, [MIGRATIONS]).fetchall()]
    refers: dict[str, set[str]] = {table.name: set() for table in tables}
    for child, parent in connection.execute(_REFERENCES).fetchall():
        refers[child].add(parent)
    ordered: list[Table] = []
    placed: set[str] = set()
    while len(ordered) < len(tables):
        ready = [
            table for table in tables if table.name not in placed and refers[table.name] <= placed
        ]
        assert ready, "tables refer to each other in a circle"  # noqa: S101  (ours do not)
        ordered += ready
        placed |= {table.name for table in ready}
    return ordered


def copy_out(name: str, columns: list[str]) -> sql.Composed:
    """Make the statement that writes a table out."""
    return sql.SQL("COPY {} ({}) TO STDOUT").format(sql.Identifier(name), _listed(columns))


def copy_in(name: str, columns: list[str]) -> sql.Composed:
    """Make the statement that reads a table in."""
    return sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(name), _listed(columns))


def _listed(columns: list[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


IDENTITIES = """
    SELECT relation.relname, attribute.attname
    FROM pg_class AS relation JOIN pg_attribute AS attribute ON attribute.attrelid = relation.oid
    WHERE relation.relnamespace = current_schema()::regnamespace AND attribute.attidentity <> ''
"""


def advance_sequence(name: str, column: str) -> sql.Composed:
    """Make the statement that has a column of numbers go on behind those that there are."""
    return sql.SQL(
        "SELECT setval(pg_get_serial_sequence({}, {}), coalesce(max({}), 0) + 1, false) FROM {}"
    ).format(sql.Literal(name), sql.Literal(column), sql.Identifier(column), sql.Identifier(name))


NOT_EMPTY = """
    SELECT count(*) FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')
"""
"""Counts what there is in a schema."""
