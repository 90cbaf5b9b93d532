"""What a backup holds, as its last member but one says.

A backup is a tar of

    tables/<name>/<number>            what `COPY <name> TO STDOUT` gives, packed, in portions
    bundles/<id>/.../<file>/<number>  files of the published bundles, in portions
    manifest.json                     all of these, with their SHA-256
    manifest.sha256                   of the manifest: what is cut off has none
    manifest.sealed                   that digest, sealed: nobody without the key has changed it

Portions are sealed (vault/) with a key of the backup's own, each for its name; the manifest holds
that key, wrapped by the master key.
"""

from datetime import datetime
from typing import Annotated

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, StringConstraints

FORMAT = 1
MANIFEST = "manifest.json"
MANIFEST_SHA256 = "manifest.sha256"
MANIFEST_SEALED = "manifest.sealed"
KEY_ID = 1
"""Of the backup's own key."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_]*$")]
"""Of a table or a column."""
BundleId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Part(BaseModel):
    """A file of the tar."""

    model_config = ConfigDict(frozen=True)

    bytes: int
    sha256: str


class TableContents(BaseModel):
    """One table."""

    name: Name
    columns: list[Name]
    """Those that are written; what Postgres makes of others is not."""
    rows: int
    portions: int

    def portion(self, number: int) -> str:
        """Name of a file of the tar, counted from 0."""
        return f"tables/{self.name}/{number:06}"


class BundleContents(BaseModel):
    """The files of one bundle."""

    id: BundleId
    portions: dict[str, int]
    """Of each file, by its path in the bundle's folder."""

    def portion(self, path: str, number: int) -> str:
        """Name of a file of the tar, counted from 0."""
        return f"bundles/{self.id}/{path}/{number:06}"


class Manifest(BaseModel):
    """What a backup holds."""

    format: int
    version: str
    """Of Cohort, that made it."""
    revision: str
    """Of the tables: the last migration."""
    made_at: datetime
    tables: list[TableContents]
    """In an order in which each refers to earlier ones only."""
    bundles: list[BundleContents]
    missing_bundles: list[BundleId]
    """Whose rows are in the tables, but whose files could not be had."""
    wrapped_key: Base64Bytes = Field(repr=False)
    """The backup's own key, as `vault.master.wrap` makes it."""
    parts: dict[str, Part] = Field(repr=False)
    """All files of the tar but this one, by their names."""

    @property
    def rows(self) -> dict[str, int]:
        """Rows of each table."""
        return {table.name: table.rows for table in self.tables}
