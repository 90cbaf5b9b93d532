"""HTTP as uvicorn speaks it, for callers that never come to an end of their headers.

uvicorn hands a request over when its head (first line and headers) is complete, and waits for that
without bounds in size or time; neither has what may follow a body in chunks.
"""

from asyncio import TimerHandle, Transport, get_running_loop
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024
"""Of all that is no body; what one read from a socket adds may come on top."""
CHUNKING = 16
"""Times as long as its contents a chunk of a body may be at most; one byte makes six."""
HEAD_TIMEOUT_S = 15.0
"""From the connection, or from a request's first byte, to the end of its head."""


class GuardedProtocol(HttpToolsProtocol):
    """Closes connections whose heads are too large or too slow."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._overhead_bytes = 0
        """Of the present request, that are no body."""
        self._timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head and self._timer is None:
            self._wait_for_head()
        self._overhead_bytes += len(data)
        super().data_received(data)
        if self._overhead_bytes > MAX_HEAD_BYTES:
            self.transport.abort()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_waiting()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._overhead_bytes -= CHUNKING * len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head = True
        self._overhead_bytes = 0
        super().on_message_complete()

    def _wait_for_head(self) -> None:
        self._timer = get_running_loop().call_later(HEAD_TIMEOUT_S, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
