"""One client: uvicorn's HTTP/1.1 protocol, with a limit on everything a client can make us wait for or keep."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from exporter.web.door import Door

_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Limits(NamedTuple):
    """What clients may take, in seconds, bytes or numbers.

    `keep_alive` is how long an idle connection is kept: longer than any usual scrape interval, so that Prometheus
    connects once. `request` is the time from the first byte of a request to its last, `answer` the time from there
    until the answer has left. `grace` is what answers under way have to finish when the server stops.

    `chunk` is how much of an answer is handed to the transport at once, and how much the kernel keeps of it beyond what
    is on its way; `tls_chunk` is that for TLS, which copies it three times. `held` bounds the different large answers
    that are being sent.
    """

    keep_alive: float = 120.0
    request: float = 10.0
    answer: float = 60.0
    handshake: float = 5.0
    grace: float = 2.0
    tick: float = 1.0
    connections: int = 256
    pipelined: int = 16
    request_size: int = 64 * 1024
    chunk: int = 256 * 1024
    tls_chunk: int = 128 * 1024
    headers: int = 100
    held: int = 24 * 1024 * 1024


class Host:
    """What the connections of one server share."""

    def __init__(self, app: ASGIApp, config: Config, door: Door | None, limits: Limits) -> None:
        self.app = app
        self.config = config
        self.door = door
        self.limits = limits
        self.state = ServerState()
        self.clients: set[Connection] = set()
        self._held: dict[Connection, bytes] = {}

    @contextmanager
    def holding(self, connection: Connection, body: bytes) -> Iterator[None]:
        """Count a large body while it is sent, and drop the clients that keep too many of them by not reading."""
        self._held[connection] = body
        for other in list(self._held):
            different = {id(kept): len(kept) for kept in self._held.values()}
            if sum(different.values()) <= self.limits.held:
                break
            if other is not connection and other.flow.write_paused:
                del self._held[other]
                other.drop()
        try:
            yield
        finally:
            self._held.pop(connection, None)


class Connection(HttpToolsProtocol):
    """One client, from its arrival on; `since` is when its present phase began, loop time in seconds.

    `arrival` is the task that does the handshake; `has_arrived` turns True when that is done.
    """

    arrival: asyncio.Task[None]
    has_arrived = False

    def __init__(self, host: Host) -> None:
        super().__init__(host.config, host.state, {})
        self.app = cast("Any", self._answer)
        self.timeout_keep_alive = host.limits.keep_alive  # type: ignore[assignment]
        self.since = self.loop.time()
        self._host = host
        self._limits = host.limits
        self._in_head = False
        self._in_request = False
        self._said_all = False
        self._received = 0

    @property
    def is_answering(self) -> bool:
        """Tell whether a request has been read whose answer is not complete."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def is_leaving(self) -> bool:
        """Tell whether the connection is being closed."""
        return self.has_arrived and self.transport.is_closing()

    @property
    def patience(self) -> float:
        """Give how many seconds the present phase may last."""
        if not self.has_arrived:
            return math.inf  # asyncio looks after the handshake
        if self.is_answering or self.is_leaving or self.transport.get_write_buffer_size():
            return self._limits.answer
        return self._limits.request if self._in_request else self._limits.keep_alive

    @property
    def claim(self) -> tuple[bool, float]:
        """Rank clients for when there are too many: the least is who waits for no answer, and has so the longest."""
        return self.is_answering, self.since

    def drop(self) -> None:
        """Hang up at once, whatever is under way."""
        if self.has_arrived:
            self.transport.abort()
        else:
            self.arrival.cancel()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let a client in, unless its certificate bears none of the allowed names."""
        super().connection_made(transport)
        self.has_arrived = True
        door = self._host.door
        if door is not None and not door.admits(transport.get_extra_info("peercert")):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        super().connection_lost(exc)
        self.forget()

    def forget(self) -> None:
        """Leave nothing to a timer or to the garbage collector: each TLS connection has a buffer of 256 KiB."""
        self._host.clients.discard(self)
        self._unset_keepalive_if_required()
        self.parser = self.app = cast("Any", None)

    def data_received(self, data: bytes) -> None:
        """Read a piece of a request, and no more of one that is too large."""
        self._received += len(data)
        super().data_received(data)
        if self._in_request and self._received > self._limits.request_size and not self.is_answering:
            if self._in_head:
                self.transport.write(_TOO_LARGE)
            self.transport.close()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Go on answering a client that has said all it will, as far as asyncio can: not over TLS."""
        self._said_all = True
        return self.is_answering and self.scheme == "http"

    def on_message_begin(self) -> None:
        """Note that a request begins."""
        if len(self.pipeline) >= self._limits.pipelined:
            raise ValueError("too many requests without waiting for an answer")
        super().on_message_begin()
        self._in_head = self._in_request = True
        if not self.is_answering:
            self.since = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header, of not too many."""
        if len(self.headers) >= self._limits.headers:
            raise ValueError("too many headers")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start to answer."""
        super().on_headers_complete()
        self._in_head = False

    def on_message_complete(self) -> None:
        """Note that a request has ended."""
        super().on_message_complete()
        self._in_request = False
        self._received = 0

    def on_response_complete(self) -> None:
        """Wait for the next request, unless too much of this one is still to come."""
        self.since = self.loop.time()
        super().on_response_complete()
        too_much_left = self._in_request and self._received > self._limits.request_size
        if too_much_left or (self._said_all and not self.is_answering):
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, unless that would land in the middle of another answer."""
        if self.is_answering:
            self.transport.abort()
        else:
            super().send_400_response(msg)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_chunks(message: Message) -> None:
            body = message.get("body", b"")
            size = self._limits.tls_chunk if self.scheme == "https" else self._limits.chunk
            if len(body) <= size:
                await send(message)
                return
            view = memoryview(body)
            with self._host.holding(self, body):
                for start in range(0, len(view), size):
                    more = message.get("more_body", False) or start + size < len(view)
                    await send({"type": message["type"], "body": view[start : start + size], "more_body": more})
                    # Others have their turn, and uvicorn hears of a client that went away in the middle.
                    await asyncio.sleep(0)

        # The server stops and cut this client off: uvicorn would log the cancellation as a fault of ours.
        with suppress(asyncio.CancelledError):
            await self._host.app(scope, receive, send_in_chunks)
