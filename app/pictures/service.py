"""Keep, show and delete the pictures of samples.

A picture is stored in the transaction that stores its sample, and goes with it by the tables'
own cascade. Sealed with its sample's id, it can't be opened as another sample's.
"""

import asyncio
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.collections.repository import lock_by_name
from app.database import Database
from app.encryption.contents import PICTURE
from app.pictures import repository
from app.pictures.schemas import DeletedPictures
from app.problems import CollectionNotFound, PictureNotFound
from vault.vault import Vault

_SIGNATURES = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"RIFF": "image/webp",
}
"""How the formats that can be enrolled begin."""


@dataclass(frozen=True)
class KeptPicture:
    """The bytes that were uploaded, and what they are."""

    content: bytes
    media_type: str


async def keep(session: AsyncSession, vault: Vault, *, sample_id: UUID, content: bytes) -> None:
    """Keep the picture of a sample that the transaction has stored."""
    sealed = vault.seal(content, purpose=PICTURE, owner=sample_id)
    await repository.insert_picture(session, sample_id=sample_id, sealed=sealed)


async def get_picture(
    *, subject_id: UUID, sample_id: UUID, database: Database, vault: Vault
) -> KeptPicture:
    """Give the picture of a sample, byte for byte as it was uploaded.

    Raises:
        PictureNotFound: none is kept, or there is no such sample.
    """
    async with database.snapshot() as session:
        sealed = await repository.find_picture(session, subject_id=subject_id, sample_id=sample_id)
    if sealed is None:
        raise PictureNotFound("No picture of such a sample is kept.")
    # In a thread: it may have to learn a newer data key first.
    content = await asyncio.to_thread(vault.open, sealed, purpose=PICTURE, owner=sample_id)
    return KeptPicture(content, _media_type(content))


async def delete_all(*, name: str, database: Database) -> DeletedPictures:
    """Delete the kept pictures of a collection.

    Raises:
        CollectionNotFound: there is none of this name.
    """
    async with database.transaction() as session:
        # An enrolment that is being stored has the collection's lock: this waits for it, so that
        # no picture appears afterwards unless the collection still keeps them.
        row = await lock_by_name(session, name)
        if row is None:
            raise CollectionNotFound("No collection has this name.")
        deleted = await repository.delete_of_collection(session, row.id)
    return DeletedPictures(deleted=deleted)


def _media_type(content: bytes) -> str:
    return next(
        (kind for start, kind in _SIGNATURES.items() if content.startswith(start)),
        "application/octet-stream",
    )
