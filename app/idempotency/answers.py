"""Answers as they are kept: status, headers and body, sealed."""

import json
from collections.abc import Mapping
from typing import NamedTuple, Self

from pydantic import BaseModel
from starlette.types import Message, Send

from app.encryption.contents import ANSWER
from app.idempotency.repository import KeptAnswer, Key
from vault.vault import Vault

REPLAYED = (b"idempotency-replayed", b"true")


class Answer(NamedTuple):
    """What a route has answered."""

    status: int
    headers: list[tuple[bytes, bytes]]
    """Of the route; those that the edge adds are added to each answer anew."""
    body: bytes

    @classmethod
    def of(cls, body: BaseModel | None, *, status: int, headers: Mapping[str, str]) -> Self:
        """Make the answer that a route will give."""
        content = b"" if body is None else body.model_dump_json(by_alias=True).encode()
        named = dict(headers)
        if body is not None:
            named |= {"content-type": "application/json", "content-length": str(len(content))}
        return cls(
            status,
            [(name.lower().encode(), value.encode()) for name, value in named.items()],
            content,
        )

    async def give(self, send: Send, *extra: tuple[bytes, bytes]) -> None:
        """Send it, with more headers."""
        start: Message = {
            "type": "http.response.start",
            "status": self.status,
            "headers": [*self.headers, *extra],
        }
        await send(start)
        await send({"type": "http.response.body", "body": self.body})


def seal_answer(answer: Answer, key: Key, vault: Vault) -> KeptAnswer:
    """Seal an answer for the table."""
    headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in answer.headers]
    content = json.dumps(headers).encode() + b"\n" + answer.body
    return KeptAnswer(answer.status, vault.seal(content, purpose=ANSWER, owner=key.owner))


def open_answer(kept: KeptAnswer, key: Key, vault: Vault) -> Answer:
    """Open a sealed answer. It may block.

    Raises:
        SealBroken, UnknownDataKey: it can't be opened.
    """
    content = vault.open(kept.sealed, purpose=ANSWER, owner=key.owner)
    headers, _, body = content.partition(b"\n")
    return Answer(
        kept.status,
        [(name.encode("latin-1"), value.encode("latin-1")) for name, value in json.loads(headers)],
        body,
    )
