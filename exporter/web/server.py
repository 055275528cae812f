"""Serve HTTP/1.1 with uvicorn's protocol on our own sockets, and outlast clients that are slow, silent or hostile."""

from __future__ import annotations

import asyncio
import errno
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
from exporter.web.connection import Connection, Host, Limits
from exporter.web.door import Door
from exporter.web.guard import Guard

THREADS = 4
"""Threads for what may take long (pages, reload): few, since each of them competes with scrapes for the interpreter."""

_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Server:
    """Serve an ASGI application on listening sockets, in plain HTTP or as the door says."""

    def __init__(
        self,
        app: ASGIApp,
        listeners: Sequence[socket.socket],
        door: Door | None = None,
        limits: Limits = Limits(),  # noqa: B008 - frozen
    ) -> None:
        if door is not None:
            app = Guard(app, door)
        config = Config(
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
            timeout_keep_alive=int(limits.keep_alive),
        )
        config.load()
        self._host = Host(app, config, door, limits)
        self._listeners = listeners
        self._door = door
        self._limits = limits
        self._arriving: dict[asyncio.Task[None], float] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._stopped = False

    @property
    def urls(self) -> list[str]:
        """Give the addresses to open, with the real ports, without a path."""
        scheme = "https" if self._door is not None and self._door.context() else "http"
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
            for task in [stop, *accepting, *self._arriving]:
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
                    self._make_room(0)
                    await asyncio.sleep(0.05)
                continue
            # Without it the last piece of an answer waits 40 ms for the client to acknowledge the piece before.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._make_room(self._limits.connections - 1)
            task = loop.create_task(self._admit(client))
            self._arriving[task] = loop.time()
            task.add_done_callback(self._arriving.pop)
            # A queue full of connections must not keep the loop from everybody else.
            await asyncio.sleep(0)

    async def _admit(self, client: socket.socket) -> None:
        context = None if self._door is None else self._door.context()
        timeout = None if context is None else self._limits.handshake
        with suppress(OSError):  # the client's handshake failed or it went away: not our trouble
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Connection(self._host),
                client,
                ssl=context,
                ssl_handshake_timeout=timeout,
                ssl_shutdown_timeout=timeout,
            )

    def _make_room(self, limit: int) -> None:
        """Close the client with the least claim to stay, if there are more than `limit`."""
        connections = [connection for connection in self._host.connections() if not connection.transport.is_closing()]
        if len(self._arriving) + len(connections) <= limit:
            return
        least = min(connections, key=lambda connection: connection.claim, default=None)
        arriving = next(iter(self._arriving), None)
        if arriving is not None and (least is None or (False, self._arriving[arriving]) < least.claim):
            arriving.cancel()
        elif least is not None:
            least.transport.abort()

    def _tick(self) -> None:
        self._host.state.default_headers = [(b"date", formatdate(time.time(), usegmt=True).encode())]
        now = asyncio.get_running_loop().time()
        for connection in self._host.connections():
            if now - connection.since > connection.patience:
                connection.transport.abort()

    async def _drain(self) -> None:
        for connection in self._host.connections():
            connection.shutdown()
        loop = asyncio.get_running_loop()
        end = loop.time() + self._limits.grace
        state = self._host.state
        while state.connections and loop.time() < end:  # noqa: ASYNC110 - uvicorn keeps a set, no event
            await asyncio.sleep(0.02)
        for connection in self._host.connections():
            connection.transport.abort()
        tasks = [*state.tasks, *self._arriving]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # aborted transports close their sockets in the next round of the loop
