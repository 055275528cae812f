"""One client: uvicorn's HTTP/1.1 protocol, with a limit on everything a client can make us wait for or keep.

uvicorn does not promise that its protocol class stays as it is: `pyproject.toml` bounds the version, and the tests of
the server run with the newest and with the oldest that it allows.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from exporter.web.responses import raw_error
from exporter.web.tls import is_allowed
from exporter.web.webconfig_file import WebConfigFile


class ConnectionLimits(NamedTuple):
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


class ServerContext:
    """What the connections of one server share."""

    def __init__(
        self, app: ASGIApp, config: Config, web_config: WebConfigFile | None, limits: ConnectionLimits
    ) -> None:
        self.app = app
        self.config = config
        self.web_config = web_config
        self.limits = limits
        self.state = ServerState()
        self.connections: set[ClientConnection] = set()
        self._bodies: dict[ClientConnection, bytes] = {}

    @property
    def trust(self) -> object:
        """Return what decides over TLS who may connect now."""
        return None if self.web_config is None else self.web_config.current.trust

    @contextmanager
    def sending(self, connection: ClientConnection, body: bytes) -> Iterator[None]:
        """Count a large body while it is sent, and cut off the clients that hold too many of them by not reading."""
        self._bodies[connection] = body
        for other in list(self._bodies):
            different = {id(held): len(held) for held in self._bodies.values()}
            if sum(different.values()) <= self.limits.held:
                break
            if other is not connection and other.flow.write_paused:
                del self._bodies[other]
                other.abort()
        try:
            yield
        finally:
            self._bodies.pop(connection, None)


class ClientConnection(HttpToolsProtocol):
    """One client; `since` is when its present phase began, loop time in seconds.

    `handshake` is the task that establishes the connection; `is_established` becomes True when that is done.
    `trust` is what decided who may connect when it was accepted.
    """

    handshake: asyncio.Task[None]
    is_established = False

    def __init__(self, context: ServerContext) -> None:
        super().__init__(context.config, context.state, {})
        self.app = cast("Any", self._answer)
        self.timeout_keep_alive = context.limits.keep_alive  # type: ignore[assignment]
        self.since = self.loop.time()
        self.trust = context.trust
        self._context = context
        self._limits = context.limits
        self._in_head = False
        self._in_request = False
        self._is_half_closed = False
        self._received = 0
        self._preparing: asyncio.Task[Any] | None = None

    @property
    def is_answering(self) -> bool:
        """Return whether a request has been read whose answer is not complete."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def is_closing(self) -> bool:
        """Return whether the connection is being closed."""
        return self.is_established and self.transport.is_closing()

    @property
    def timeout(self) -> float:
        """Return how many seconds the present phase may last."""
        if not self.is_established:
            return math.inf  # the handshake has a timeout of its own
        if self.is_answering or self.is_closing or self.transport.get_write_buffer_size():
            return self._limits.answer
        return self._limits.request if self._in_request else self._limits.keep_alive

    @property
    def eviction_rank(self) -> tuple[bool, float]:
        """Return what to sort by when there are too many: first who waits for no answer, and has so the longest."""
        return self.is_answering, self.since

    def abort(self) -> None:
        """Hang up at once, whatever is under way."""
        if self.is_established:
            self.transport.abort()
        else:
            self.handshake.cancel()

    def retire(self) -> None:
        """Hang up as soon as the answer under way is complete."""
        if self.is_established:
            self.shutdown()
        else:
            self.handshake.cancel()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let a client in, unless its certificate bears none of the allowed names."""
        super().connection_made(transport)
        self.is_established = True
        if self._context.web_config is not None:
            current = self._context.web_config.current
            names = current.config.tls_server_config.client_allowed_sans
            if self.trust != current.trust or not is_allowed(transport.get_extra_info("peercert"), names):
                transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client, and stop what is prepared for it."""
        super().connection_lost(exc)
        self._stop_preparing()
        self.release()

    def release(self) -> None:
        """Leave nothing to a timer or to the garbage collector: each TLS connection has a buffer of 256 KiB."""
        self._context.connections.discard(self)
        self._unset_keepalive_if_required()
        self.parser = self.app = cast("Any", None)

    def data_received(self, data: bytes) -> None:
        """Read a piece of a request, and no more of one that is too large."""
        self._received += len(data)
        super().data_received(data)
        if self._in_request and self._received > self._limits.request_size and not self.is_answering:
            if self._in_head:
                self.transport.write(raw_error(431, f"more than {self._limits.request_size // 1024} KiB of headers"))
            self.transport.close()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Finish answers that have begun, as far as asyncio can: not over TLS. Most who send no more have left."""
        self._is_half_closed = True
        self._stop_preparing()
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
        if too_much_left or (self._is_half_closed and not self.is_answering):
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, unless that would land in the middle of another answer."""
        if self.is_answering:
            self.transport.abort()
        else:
            self.transport.write(raw_error(400, msg))
            self.transport.close()

    def _stop_preparing(self) -> None:
        if self._preparing is not None:
            self._preparing.cancel()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_chunks(message: Message) -> None:
            self._preparing = None
            body = message.get("body", b"")
            size = self._limits.tls_chunk if self.scheme == "https" else self._limits.chunk
            if len(body) <= size:
                await send(message)
                return
            view = memoryview(body)
            with self._context.sending(self, body):
                for start in range(0, len(view), size):
                    more = message.get("more_body", False) or start + size < len(view)
                    await send({"type": message["type"], "body": view[start : start + size], "more_body": more})
                    # Others have their turn, and uvicorn hears of a client that went away in the middle.
                    await asyncio.sleep(0)

        self._preparing = asyncio.current_task()
        try:
            await self._context.app(scope, receive, send_in_chunks)
        except asyncio.CancelledError:
            # The server stops, or the client left: uvicorn would log that as a fault of ours.
            cast("Any", send).__self__.disconnected = True
            self.transport.close()
        finally:
            self._preparing = None
