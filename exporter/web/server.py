"""Serve HTTP/1.1 with uvicorn's protocol on our own sockets, and outlast clients that are slow, silent or hostile."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from email.utils import formatdate
from typing import Any, cast

import anyio.to_thread
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from exporter.web.addresses import url

KEEP_ALIVE = 120.0
"""Seconds an idle connection is kept: longer than any usual scrape interval, so that Prometheus connects once."""
REQUEST_TIMEOUT = 10.0
"""Seconds from the first byte of a request to its last."""
ANSWER_TIMEOUT = 60.0
"""Seconds from the end of a request until its answer has left: Prometheus does not wait longer by default either."""
HANDSHAKE_TIMEOUT = 5.0
GRACE = 2.0
"""Seconds that answers under way have to finish when the server stops."""

CONNECTIONS = 256
PIPELINED = 16
REQUEST_SIZE = 64 * 1024
"""Bytes of an unfinished request after which nothing more of it is read."""
CHUNK = 256 * 1024
"""Bytes handed to the transport at once. It copies what the kernel does not take, so this bounds its buffer."""
THREADS = 4
"""Threads for what may take long (pages, reload): few, since each of them competes with scrapes for the interpreter."""


class Server:
    """Serve an ASGI application on listening sockets.

    `tls` is asked for every new connection and gives the context in force, or None for plain HTTP.
    """

    def __init__(
        self,
        app: ASGIApp,
        listeners: Sequence[socket.socket],
        tls: Callable[[], ssl.SSLContext | None] = lambda: None,
    ) -> None:
        self.app = app
        self.config = Config(
            cast("Any", app),
            http=Connection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            # Whatever a client sends that is not HTTP would otherwise be a line in the log.
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=int(KEEP_ALIVE),
        )
        self.config.load()
        self.state = ServerState()
        self._listeners = listeners
        self._tls = tls
        self._arriving: dict[asyncio.Task[None], float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._stopped = False

    @property
    def urls(self) -> list[str]:
        """Give the addresses to open, with the real ports, without a path."""
        scheme = "http" if self._tls() is None else "https"
        return [url(listener, scheme=scheme) for listener in self._listeners]

    def run(self) -> None:
        """Serve on the calling thread until `stop`; the sockets are closed on return."""
        asyncio.run(self._serve())

    def stop(self) -> None:
        """Ask `run` to return, from any thread or from a signal handler; it does within a few seconds."""
        self._stopped = True
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: it has stopped already
                self._loop.call_soon_threadsafe(self._stop.set)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        doors = [self._loop.create_task(self._accept(listener)) for listener in self._listeners]
        stop = self._loop.create_task(self._stop.wait())
        try:
            while not self._stopped:
                self._tick()
                done, _ = await asyncio.wait([stop, *doors], timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in [stop, *doors, *self._arriving]:
                task.cancel()
            for listener in self._listeners:
                listener.close()
            await self._drain()

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                    self._make_room(0)
                    await asyncio.sleep(0.05)
                continue
            # Without it the last piece of an answer waits 40 ms for the client to acknowledge the piece before.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._make_room(CONNECTIONS - 1)
            task = loop.create_task(self._admit(client))
            self._arriving[task] = loop.time()
            task.add_done_callback(self._arriving.pop)
            # A queue full of connections must not keep the loop from everybody else.
            await asyncio.sleep(0)

    async def _admit(self, client: socket.socket) -> None:
        context = self._tls()
        timeout = None if context is None else HANDSHAKE_TIMEOUT
        with suppress(OSError):  # the client's handshake failed or it went away: not our trouble
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Connection(self),
                client,
                ssl=context,
                ssl_handshake_timeout=timeout,
                ssl_shutdown_timeout=timeout,
            )

    def _make_room(self, limit: int) -> None:
        """Close the client that has waited longest with nothing to show, if there are more than `limit`."""
        connections = [connection for connection in self._connections() if not connection.transport.is_closing()]
        if len(self._arriving) + len(connections) <= limit:
            return
        oldest = min(connections, key=Connection.merit, default=None)
        arriving = next(iter(self._arriving), None)
        if arriving is not None and (oldest is None or (False, self._arriving[arriving]) < oldest.merit()):
            arriving.cancel()
        elif oldest is not None:
            oldest.transport.abort()

    def _tick(self) -> None:
        self.state.default_headers = [(b"date", formatdate(time.time(), usegmt=True).encode())]
        now = asyncio.get_running_loop().time()
        for connection in self._connections():
            if now - connection.since > connection.patience():
                connection.transport.abort()

    async def _drain(self) -> None:
        for connection in self._connections():
            connection.shutdown()
        loop = asyncio.get_running_loop()
        end = loop.time() + GRACE
        while self.state.connections and loop.time() < end:  # noqa: ASYNC110 - uvicorn keeps a set, no event
            await asyncio.sleep(0.02)
        for connection in self._connections():
            connection.transport.abort()
        tasks = [*self.state.tasks, *self._arriving]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports close their sockets in the next round of the loop

    def _connections(self) -> list[Connection]:
        return cast("list[Connection]", list(self.state.connections))


class Connection(HttpToolsProtocol):
    """One client: uvicorn's protocol, with a limit on everything a client can make us wait for or keep.

    `since` is when the present phase began, loop time in seconds.
    """

    def __init__(self, server: Server) -> None:
        super().__init__(server.config, server.state, {})
        self.app = cast("Any", self._answer)
        self.since = self.loop.time()
        self._server = server
        self._in_head = False
        self._in_request = False
        self._received = 0

    @property
    def is_answering(self) -> bool:
        """Tell whether a request has been read whose answer is not complete."""
        return self.cycle is not None and not self.cycle.response_complete

    def merit(self) -> tuple[bool, float]:
        """Rank for who has to go first when there are too many: those who wait for nothing, the longest first."""
        return self.is_answering, self.since

    def patience(self) -> float:
        """Give how many seconds the present phase may last."""
        if self.is_answering or self.transport.is_closing() or self.transport.get_write_buffer_size():
            return ANSWER_TIMEOUT
        return REQUEST_TIMEOUT if self._in_request else KEEP_ALIVE

    def data_received(self, data: bytes) -> None:
        """Read a piece of a request."""
        self._received += len(data)
        super().data_received(data)
        if self._in_request and self._received > REQUEST_SIZE and not self.is_answering:
            self._refuse()

    def on_message_begin(self) -> None:
        """Note that a request begins."""
        if len(self.pipeline) >= PIPELINED:
            raise ValueError("too many requests without waiting for an answer")
        super().on_message_begin()
        self._in_head = self._in_request = True
        if not self.is_answering:
            self.since = self.loop.time()

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
        """Wait for the next request."""
        self.since = self.loop.time()
        super().on_response_complete()
        if self._in_request and self._received > REQUEST_SIZE:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, unless that would land in the middle of another answer."""
        if self.is_answering:
            self.transport.abort()
        else:
            super().send_400_response(msg)

    def _refuse(self) -> None:
        if self._in_head:
            self.transport.write(
                b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
            )
        self.transport.close()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_chunks(message: Message) -> None:
            body = message.get("body", b"")
            if len(body) <= CHUNK:
                await send(message)
                return
            view = memoryview(body)
            for start in range(0, len(view), CHUNK):
                more = message.get("more_body", False) or start + CHUNK < len(view)
                await send({"type": message["type"], "body": view[start : start + CHUNK], "more_body": more})

        await self._server.app(scope, receive, send_in_chunks)
