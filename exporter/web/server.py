"""Serve HTTP/1.1 with uvicorn's protocol on our own sockets, and outlast clients that are slow, silent or hostile."""

from __future__ import annotations

import asyncio
import errno
import select
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from email.utils import formatdate
from typing import Any, cast

import anyio.to_thread
from starlette.types import ASGIApp
from uvicorn.config import Config

from exporter.web.addresses import url
from exporter.web.connection import ClientConnection, ConnectionLimits, ServerContext
from exporter.web.responses import raw_error
from exporter.web.webconfig_file import WebConfigFile

THREADS = 4
"""Threads for what may take long (pages, reload): few, since each of them competes with scrapes for the interpreter."""

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class WebServer:
    """Serve an ASGI application on listening sockets, in plain HTTP or TLS as the web configuration says."""

    def __init__(
        self,
        app: ASGIApp,
        listeners: Sequence[socket.socket],
        web_config: WebConfigFile | None = None,
        limits: ConnectionLimits = ConnectionLimits(),  # noqa: B008 - frozen
    ) -> None:
        config = Config(
            cast("Any", app),
            http=ClientConnection,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            # Whatever a client sends that is not HTTP would otherwise be a line in the log.
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        config.load()
        self._context = ServerContext(app, config, web_config, limits)
        self._listeners = listeners
        self._web_config = web_config
        self._limits = limits
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._stopped = False

    @property
    def urls(self) -> list[str]:
        """Return the addresses to open, with the real ports, without a path."""
        scheme = "https" if self._web_config is not None and self._web_config.current.context else "http"
        return [url(listener, scheme=scheme) for listener in self._listeners]

    def run(self) -> None:
        """Serve on the calling thread until `stop`; the sockets are closed on return."""
        asyncio.run(self._serve())

    def stop(self) -> None:
        """Make `run` return, from any thread or from a signal handler, within a few seconds."""
        self._stopped = True
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: it has stopped already
                self._loop.call_soon_threadsafe(self._stop.set)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        accepting = [self._loop.create_task(self._accept(listener)) for listener in self._listeners]
        stop = self._loop.create_task(self._stop.wait())
        try:
            while not self._stopped:
                self._tick()
                done, _ = await asyncio.wait(
                    [stop, *accepting], timeout=self._limits.tick, return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    task.result()
        finally:
            for task in [stop, *accepting]:
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
                if error.errno in _EXHAUSTED:
                    if _has_waiting(listener):
                        self._evict_beyond(0)
                    await asyncio.sleep(0.05)
                continue
            # Without it the last piece of an answer waits 40 ms for the client to acknowledge the piece before.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._evict_beyond(self._limits.connections - 1)
            self._establish(client)
            # A queue full of connections must not keep the loop from everybody else.
            await asyncio.sleep(0)

    def _establish(self, client: socket.socket) -> None:
        connection = ClientConnection(self._context)

        def release_unless_established(_: asyncio.Task[None]) -> None:
            if not connection.is_established:
                connection.release()
                client.close()

        self._context.connections.add(connection)
        connection.handshake = asyncio.create_task(self._connect(client, connection))
        connection.handshake.add_done_callback(release_unless_established)

    async def _connect(self, client: socket.socket, connection: ClientConnection) -> None:
        context = None if self._web_config is None else self._web_config.current.context
        timeout = None if context is None else self._limits.handshake
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            # The kernel would take megabytes for a client that does not read, and TLS would encrypt them.
            kept = self._limits.chunk if context is None else self._limits.tls_chunk
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, kept)
        try:
            if context is not None and await _speaks_plain_http(client, self._limits.handshake):
                await self._say_https(client)
                return
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: connection, client, ssl=context, ssl_handshake_timeout=timeout, ssl_shutdown_timeout=timeout
            )
        except OSError as error:
            # The handshake failed, or the client went away. The traceback and its frames keep each other, and the
            # connection's 256 KiB with them, until the garbage collector comes by.
            error.__traceback__ = None

    async def _say_https(self, client: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        # Closing with something unread resets the connection, and the answer would be lost.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.handshake):
                await loop.sock_recv(client, self._limits.request_size)
                await loop.sock_sendall(client, raw_error(400, "this port speaks TLS: use https:// instead of http://"))
                client.shutdown(socket.SHUT_WR)

    def _evict_beyond(self, limit: int) -> None:
        """Hang up on the client that needs its connection least, if there are more than `limit`."""
        staying = [client for client in self._context.connections if not client.is_closing]
        if len(staying) > limit:
            min(staying, key=lambda client: client.eviction_rank).abort()

    def _tick(self) -> None:
        self._context.state.default_headers = [(b"date", formatdate(time.time(), usegmt=True).encode())]
        now, trust = asyncio.get_running_loop().time(), self._context.trust
        for client in list(self._context.connections):
            if now - client.since > client.timeout:
                client.abort()
            elif client.trust != trust:
                client.retire()  # who may connect has changed since

    async def _drain(self) -> None:
        """Let answers under way finish within the grace, then hang up on whoever is left."""
        clients = self._context.connections
        for client in list(clients):
            if client.is_established:
                client.shutdown()
            else:
                client.abort()
        loop = asyncio.get_running_loop()
        end = loop.time() + self._limits.grace
        while clients and loop.time() < end:  # noqa: ASYNC110 - twice in a lifetime, an event would be more to read
            await asyncio.sleep(0.02)
        for client in list(clients):
            client.abort()
        tasks = self._context.state.tasks.copy()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # dropped transports close their sockets in the next round of the loop


def _has_waiting(listener: socket.socket) -> bool:
    """Return whether a client waits to be let in: without a free file, accept(2) fails even where nobody does."""
    waiting = select.poll()
    waiting.register(listener, select.POLLIN)
    return bool(waiting.poll(0))


async def _speaks_plain_http(client: socket.socket, timeout: float) -> bool:  # noqa: ASYNC109 - as asyncio's own
    """Return whether a client begins with a letter, as HTTP does and a TLS handshake does not.

    Raises `TimeoutError` if it says nothing.
    """
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(client, readable.set)
    try:
        async with asyncio.timeout(timeout):
            await readable.wait()
    finally:
        loop.remove_reader(client)
    return client.recv(1, socket.MSG_PEEK).isalpha()
