"""The HTTP side: a threaded server on one address, that can be stopped and started repeatedly."""

from __future__ import annotations

import selectors
import socket
import ssl
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl

from exporter.clock import Clock
from exporter.simulator.messages import Answer, Request, Wire, problem

Serve = Callable[[Request, Wire], None]

_LARGEST_BODY = 1_000_000
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Server:
    """Listen on an address and hand every request to `serve`, each connection in a thread of its own.

    Port 0 becomes a free port at the first start and stays that one. `tls` makes it HTTPS.
    """

    def __init__(self, serve: Serve, clock: Clock, listen: tuple[str, int], tls: ssl.SSLContext | None = None) -> None:
        self.address = listen
        self._serve = serve
        self._clock = clock
        self._tls = tls
        self._http: _HTTPServer | None = None

    def start(self) -> None:
        """Listen. Raises OSError where the address cannot be had."""
        self._http = _HTTPServer(self.address, self._serve, self._clock, self._tls)
        self.address = (self.address[0], self._http.server_address[1])
        Thread(target=self._http.serve_forever, args=(0.05,), name="simulator", daemon=True).start()

    def stop(self) -> None:
        """Close the address and every connection; what hangs is cut."""
        if self._http is not None:
            self._http.shutdown()
            self._http.server_close()
            self._http.cut()
            self._http = None


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self, listen: tuple[str, int], serve: Serve, clock: Clock, tls: ssl.SSLContext | None) -> None:
        self.serve = serve
        self.clock = clock
        self._tls = tls
        self._connections: set[socket.socket] = set()
        self.address_family = socket.AF_INET6 if ":" in listen[0] else socket.AF_INET
        super().__init__(listen, _Handler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # HTTPServer's own would look up the name of the host

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._tls is not None:  # the handshake waits for its own thread: a silent client stops nobody
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self._connections.add(connection)
        return connection, address

    def reset(self, connection: socket.socket) -> None:
        """Let the connection end with a reset instead of a farewell."""
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._connections.discard(connection)

    def shutdown_request(self, request: Any) -> None:
        if request in self._connections:
            self._connections.discard(request)
            super().shutdown_request(request)
        else:
            self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let clients leave when they like; anything else is a mistake of ours and is shown."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def cut(self) -> None:
        """End every connection that is still open."""
        for connection in tuple(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """One connection: it reads requests and is the wire for their answers."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 75  # seconds, as a gateway's: an idle connection is closed
    server: _HTTPServer

    def _handle(self) -> None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdecimal() or int(length) > _LARGEST_BODY or "Transfer-Encoding" in self.headers:
            self.send(problem(413, "Send a Content-Length within a megabyte", "payload_too_large"))
            self.close_connection = True
            return
        path, _, query = self.path.partition("?")
        request = Request(
            self.command,
            path,
            dict(reversed(parse_qsl(query, keep_blank_values=True))),
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(int(length)),
            self.client_address[0],
        )
        self.server.serve(request, self)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 - the names http.server calls

    def send(self, answer: Answer) -> None:
        self.wfile.write(self.head(answer, len(answer.body)) + answer.body)

    def head(self, answer: Answer, length: int | None) -> bytes:
        try:
            phrase = HTTPStatus(answer.status).phrase
        except ValueError:
            phrase = "Unknown"
        lines = [f"HTTP/1.1 {answer.status} {phrase}", f"Date: {self.date_time_string(self.server.clock.wall())}"]
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        if length is None:
            self.close_connection = True
            lines.append("Connection: close")
        else:
            lines.append(f"Content-Length: {length}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")

    def write(self, data: bytes) -> None:
        self.wfile.write(data)

    def wait(self, seconds: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self.connection, selectors.EVENT_READ)
            # A client that waits for an answer says nothing: what can be read now is its farewell.
            if selector.select(seconds / self.server.clock.speed):
                raise ConnectionAbortedError("the client left")

    def close(self) -> None:
        raise ConnectionAbortedError("closed on purpose")

    def reset(self) -> None:
        self.server.reset(self.connection)
        raise ConnectionAbortedError("reset on purpose")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the overridden method
        """Log nothing: the recorded requests say it all."""
