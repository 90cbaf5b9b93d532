from uuid import uuid4

import psycopg

from app.encryption.contents import ALL_SEALED
from app.tables import Table
from vault.vault import MOST_KEY_ID, Vault, prefix_of


def test_every_column_that_is_sealed_is_in_the_list() -> None:
    listed = {column.table.name: column.content.key for column in ALL_SEALED}
    assert len(listed) == len(ALL_SEALED)
    computed = {
        table.name: str(table.c.data_key_id.computed.sqltext)  # type: ignore[union-attr]
        for table in Table.metadata.tables.values()
        if "data_key_id" in table.c
    }
    assert computed == {name: f"sealed_with({content})" for name, content in listed.items()}


def test_the_database_knows_what_a_content_was_sealed_with(database_url: str) -> None:
    def sealed_with(content: bytes | None) -> int | None:
        with psycopg.connect(database_url) as connection:
            (key_id,) = connection.execute("SELECT sealed_with(%s)", [content]).fetchone() or (0,)
        assert key_id is None or isinstance(key_id, int)
        return key_id

    for key_id in (1, 255, 256, MOST_KEY_ID):
        vault = Vault({key_id: bytes(32)})
        assert sealed_with(vault.seal(b"", purpose="p", owner=uuid4())) == key_id
    assert sealed_with(prefix_of(MOST_KEY_ID + 1) + bytes(64)) is None
    # Templates as they were stored once, the second one beginning like no component can.
    assert sealed_with(b"\xc0\x00\x00\x3e" * 192) is None
    assert sealed_with(b"\xc0") is None
    assert sealed_with(b"") is None
    assert sealed_with(None) is None
