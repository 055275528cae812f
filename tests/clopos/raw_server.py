"""A server that sends what it is given, byte by byte, and keeps what it heard."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Event, Thread
from typing import Self

Say = Callable[["Wire"], None]


class Wire:
    """One connection, after a request was read from it."""

    def __init__(self, connection: socket.socket, closing: Event) -> None:
        self._connection, self._closing = connection, closing

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def trickle(self, data: bytes, pause: float) -> None:
        for byte in data:
            self.send(bytes((byte,)))
            self.wait(pause)

    def reset(self) -> None:
        """Close the connection so that the peer gets a reset."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise ConnectionAbortedError

    def wait(self, seconds: float) -> None:
        if self._closing.wait(seconds):
            raise ConnectionAbortedError


def answer(body: bytes = b'{"success":true}', status: str = "200 OK", **headers: str) -> Say:
    """Send a whole answer that keeps the connection."""
    fields = {"Content-Length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    data = f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body
    return lambda wire: wire.send(data)


class RawServer:
    """Answer each request by `say`, after a `greeting` to whoever connects; a context manager."""

    def __init__(self, say: Say, tls: ssl.SSLContext | None = None, greeting: bytes = b"") -> None:
        self.say, self._greeting = say, greeting
        self.requests: list[bytes] = []
        self.connections = 0
        self._tls = tls
        self._closing = Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{self.address}"

    def __enter__(self) -> Self:
        Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._sockets.append(connection)
                self.connections += 1
                Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._sockets.append(connection)
            connection.sendall(self._greeting)
            wire = Wire(connection, self._closing)
            for request in _requests(connection):
                self.requests.append(request)
                self.say(wire)
        connection.close()


def close(_wire: Wire) -> None:
    """End the connection."""
    raise ConnectionAbortedError


def _requests(connection: socket.socket) -> Iterator[bytes]:
    """Read requests, each with the body that its Content-Length promises."""
    data = b""
    while True:
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return
            data += more
        head, _, data = data.partition(b"\r\n\r\n")
        lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        length = int(lengths[0]) if lengths else 0
        while len(data) < length:
            data += connection.recv(65536)
        yield head + b"\r\n\r\n" + data[:length]
        data = data[length:]
