"""The HTTP side: a server with a thread for each connection, and the wire that answers go over."""

from __future__ import annotations

import selectors
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any
from urllib.parse import parse_qsl

from exporter.clock import Clock
from exporter.simulator.messages import Answer, Request, problem

_LARGEST_BODY = 1_000_000
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Server(ThreadingTCPServer):
    """Listen on an address, where port 0 is a free one, and hand every request to `serve`."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self, listen: tuple[str, int], serve: Callable[[Request, Wire], None], clock: Clock) -> None:
        self.serve = serve
        self.clock = clock
        self._connections: set[socket.socket] = set()
        self.address_family = socket.AF_INET6 if ":" in listen[0] else socket.AF_INET
        super().__init__(listen, Wire)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection, and keep it for `stop`."""
        connection, address = super().get_request()
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """End a connection whose thread is done with it."""
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let clients leave when they like; anything else is a mistake of ours and is shown."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def stop(self) -> None:
        """Close the address and every connection; what hangs is cut."""
        self.shutdown()
        self.server_close()
        for connection in tuple(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class Wire(BaseHTTPRequestHandler):
    """A connection: it reads requests, and answers go over it.

    Everything raises ConnectionError once the client has left.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 75  # seconds, as a gateway's: an idle connection is closed
    server: Server

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
        """Write a whole answer and keep the connection."""
        self.wfile.write(self.head(answer, len(answer.body)) + answer.body)

    def head(self, answer: Answer, length: int | None) -> bytes:
        """Return the status line and headers, with this Content-Length or none at all."""
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
        """Write bytes as they are."""
        self.wfile.write(data)

    def wait(self, seconds: float) -> None:
        """Let seconds of the simulator's clock pass."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.connection, selectors.EVENT_READ)
            # A client that waits for an answer says nothing: what can be read now is its farewell.
            if selector.select(seconds / self.server.clock.speed):
                raise ConnectionAbortedError("the client left")

    def close(self) -> None:
        """Close the connection after what was written."""
        raise ConnectionAbortedError("closed on purpose")

    def reset(self) -> None:
        """Cut the connection so that the client sees a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.connection.close()  # now, as the server would say farewell first
        raise ConnectionAbortedError("reset on purpose")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the overridden method
        """Log nothing: the recorded requests say it all."""
