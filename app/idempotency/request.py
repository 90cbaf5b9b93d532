"""A request that is read before its route: its digest, and its body for the route to read again."""

import hashlib
from tempfile import SpooledTemporaryFile

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from app.patience import ClientGone
from app.temporary import written_aside

IN_MEMORY_BYTES = 1024 * 1024
"""Of a body; what is beyond lies in a temporary file, as Starlette does with uploads."""
CHUNK_BYTES = 64 * 1024


class SpooledRequest:
    """The body of a request, read once, and its digest with all that tells what is asked for."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        self._digest = _digest_of(scope)
        # `close` deletes it.
        self._file: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115
        self._left_bytes = 0
        self._read_again = False

    async def read(self) -> bytes:
        """Read the request to its end.

        Returns:
            SHA-256 of method, path, query and body; of a multipart form, of what its parts hold:
            their boundary is another one each time that a library sends the same form.

        Raises:
            ClientGone: it does not come to its end.
            StorageUnavailable: there is no room for it.
        """
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            body = message.get("body", b"")
            self._digest.update(body)
            self._left_bytes += len(body)
            with written_aside():
                if self._left_bytes > IN_MEMORY_BYTES:
                    await run_in_threadpool(self._file.write, body)
                else:
                    self._file.write(body)
            more = message.get("more_body", False)
        self._file.seek(0)
        return self._digest.digest()

    async def receive(self) -> Message:
        """Give the body to the route as if it came only now, and then what else comes."""
        if self._read_again:
            return await self._receive()
        if self._left_bytes > IN_MEMORY_BYTES:
            chunk = await run_in_threadpool(self._file.read, CHUNK_BYTES)
        else:
            chunk = self._file.read()
        self._left_bytes -= len(chunk)
        self._read_again = self._left_bytes == 0
        return {"type": "http.request", "body": chunk, "more_body": not self._read_again}

    def close(self) -> None:
        """Delete the temporary file."""
        self._file.close()


def _digest_of(scope: Scope) -> "_PlainDigest | _FormDigest":
    kind, options = parse_options_header(Headers(scope=scope).get("Content-Type"))
    boundary = options.pop(b"boundary", None)
    head = repr(
        (scope["method"], scope["path"], scope["query_string"], kind, sorted(options.items()))
    )
    if kind == b"multipart/form-data" and boundary:
        return _FormDigest(head, boundary)
    return _PlainDigest(head)


class _PlainDigest:
    """Of a body as it is."""

    def __init__(self, head: str) -> None:
        self._sha256 = hashlib.sha256(hashlib.sha256(head.encode()).digest())

    def update(self, body: bytes) -> None:
        self._sha256.update(body)

    def digest(self) -> bytes:
        return self._sha256.digest()


class _FormDigest:
    """Of the headers and contents of a form's parts, in their order."""

    def __init__(self, head: str, boundary: bytes) -> None:
        self._sha256 = hashlib.sha256(head.encode())
        self._readable = True
        self._begin_part()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_field": self._take_header,
                "on_header_value": self._take_header_value,
                "on_header_end": self._end_header,
                "on_part_data": self._take_content,
                "on_part_end": self._end_part,
            },
        )

    def update(self, body: bytes) -> None:
        if self._readable:
            try:
                self._parser.write(body)
            except FormParserError:
                self._readable = False  # the route will say so
        if not self._readable:
            self._sha256.update(body)

    def digest(self) -> bytes:
        return self._sha256.digest()

    def _begin_part(self) -> None:
        self._headers = bytearray()
        self._content = hashlib.sha256()

    def _take_header(self, data: bytes, start: int, end: int) -> None:
        self._headers += data[start:end].lower()

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._headers += data[start:end]

    def _end_header(self) -> None:
        self._headers += b"\n"

    def _take_content(self, data: bytes, start: int, end: int) -> None:
        self._content.update(data[start:end])

    def _end_part(self) -> None:
        # Of equal length whatever they hold: nothing can be moved from one to the other.
        self._sha256.update(hashlib.sha256(self._headers).digest())
        self._sha256.update(self._content.digest())
