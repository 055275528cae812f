"""One HTTP request, with every way it can go wrong turned into one CloposError with a reason.

Bounded in time and size, whatever the other side does; no cookies, no redirects (credentials go to the configured
host and nowhere else), and proxies and certificate authorities taken from the environment once. Requests are handed to
the adapter below the session, which would keep cookies, and read a redirect's body whatever its size.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, ReadTimeoutError

from exporter import __version__
from exporter.errors import CloposError, Stopped
from exporter.model import Reason

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 12.0
"""Seconds without a byte; the gateway gives up after 8 s with a 504, which says more than our own timeout."""

TOTAL_TIMEOUT = 20.0
"""Seconds for the whole of one request, however slowly it trickles."""

MAX_BYTES = 8 * 2**20
"""Bytes of a decoded body that are read: 200 stations take about 40 KiB."""

_CHUNK = 64 * 1024
_HEADERS = {"User-Agent": f"clopos-exporter/{__version__}", "Accept": "application/json", "Accept-Encoding": "gzip"}
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")

Observe = Callable[[str, str, float], None]
"""Told after each request: endpoint, code (an HTTP status or `error`), seconds."""


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """What came back: the HTTP status, the headers, and the JSON object of the body."""

    status: int
    headers: Mapping[str, str]
    document: Mapping[str, Any]


class Guard:
    """Cut connections whose request outlives its time, so many real seconds.

    A timeout on the socket restarts with each byte, so a peer that trickles could hold a worker for hours. One thread
    shuts such sockets down, which ends the read that waits on them.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._local = threading.local()
        self._running: dict[int, _Ticket] = {}
        self._started = threading.Lock()
        self._closed = threading.Event()

    @contextmanager
    def limit(self) -> Iterator[_Ticket]:
        """Limit the requests that this thread makes within the block. Raises Stopped once closed."""
        if self._closed.is_set():
            raise Stopped
        if self._started.acquire(blocking=False):
            threading.Thread(target=self._watch, name="request-guard", daemon=True).start()
        ticket = self._local.ticket = _Ticket(time.monotonic() + self._seconds)
        self._running[id(ticket)] = ticket
        try:
            yield ticket
        finally:
            del self._running[id(ticket)]
            self._local.ticket = None

    def attach(self, connection: HTTPConnection) -> None:
        """Note the connection that the current thread's request uses."""
        ticket = getattr(self._local, "ticket", None)
        if ticket is not None:
            ticket.connection, ticket.sock = connection, connection.sock

    def close(self) -> None:
        """End all running requests now."""
        self._closed.set()
        for ticket in list(self._running.values()):
            ticket.cut()

    def _watch(self) -> None:
        pause = 0.0
        while not self._closed.wait(pause):
            now = time.monotonic()
            running = list(self._running.values())
            for ticket in running:
                if ticket.ends <= now:
                    ticket.cut()
            # Whatever begins meanwhile ends later than these. What was cut may take a moment to notice.
            pause = max(0.5, min((ticket.ends for ticket in running), default=now + self._seconds) - now)


class _Ticket:
    """One limited request: when it ends, the connection it uses, and whether it was cut."""

    __slots__ = ("connection", "ends", "sock", "was_cut")

    def __init__(self, ends: float) -> None:
        self.ends = ends
        self.connection: HTTPConnection | None = None
        self.sock: object = None
        self.was_cut = False

    def cut(self) -> None:
        self.was_cut = True
        # A connection lets go of its socket while an answer without a length is still read from that.
        sock = getattr(self.connection, "sock", None) or self.sock
        if isinstance(sock, socket.socket):
            with suppress(OSError):  # It may have ended by itself in this very moment.
                # Past SSLSocket, which would pull its TLS away from under the thread that reads.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


class Transport:
    """A kept-alive session with one Clopos base URL, shared by the threads that poll a brand."""

    def __init__(self, base_url: str, *, connections: int, observe: Observe) -> None:
        self.base_url = base_url.rstrip("/")
        self._observe = observe
        self._guard = Guard(TOTAL_TIMEOUT)
        self._questions: dict[tuple[object, ...], requests.PreparedRequest] = {}
        self._adapter = _adapter(self._guard, connections)
        # Resolved once: requests would look into the environment and .netrc anew at every request.
        self._options: dict[str, Any] = {
            "proxies": get_environ_proxies(self.base_url, no_proxy=None),
            "verify": _certificate_authorities(),
            "stream": True,
            "timeout": (CONNECT_TIMEOUT, READ_TIMEOUT),
        }

    def close(self) -> None:
        """End what is running and let the connections go."""
        self._guard.close()
        self._adapter.close()

    def get(self, endpoint: str, params: Mapping[str, Any], headers: Mapping[str, str]) -> ApiResponse:
        """Send a GET. Raises CloposError for everything that is not an answer with a JSON object, and Stopped."""
        return self._send(endpoint, lambda: self._question(endpoint, params, headers))

    def post(self, endpoint: str, body: Mapping[str, Any]) -> ApiResponse:
        """Send a POST with a JSON body. Raises like `get`."""
        request = requests.Request("POST", f"{self.base_url}/{endpoint}", json=body, headers=_HEADERS)
        return self._send(endpoint, request.prepare)

    def _question(
        self, endpoint: str, params: Mapping[str, Any], headers: Mapping[str, str]
    ) -> requests.PreparedRequest:
        key = (endpoint, *params.items())
        question = self._questions.get(key)
        if question is None:
            # The same few are asked all the time, and encoding one costs as much as decoding its answer.
            question = requests.Request("GET", f"{self.base_url}/{endpoint}", params=params, headers=_HEADERS).prepare()
            self._questions[key] = question
        request = question.copy()
        request.headers.update(headers)
        return request

    def _send(self, endpoint: str, prepare: Callable[[], requests.PreparedRequest]) -> ApiResponse:
        code = "error"
        began = time.perf_counter()
        try:
            with self._guard.limit() as ticket:
                try:
                    with self._adapter.send(prepare(), **self._options) as response:
                        code = str(response.status_code)
                        return _answer(response, ticket)
                except (requests.RequestException, HTTPError, OSError) as error:
                    raise _translate(error, ticket) from error
        finally:
            self._observe(endpoint, code, time.perf_counter() - began)


def _answer(response: requests.Response, ticket: _Ticket) -> ApiResponse:
    """Read a bounded body and decode it."""
    if 300 <= response.status_code < 400:  # noqa: PLR2004 - the HTTP class
        raise CloposError(Reason.REDIRECTED, f"answered HTTP {response.status_code}, a redirect; check base_url")
    chunks, size = [], 0
    for chunk in response.raw.stream(_CHUNK, decode_content=True):
        size += len(chunk)
        if size > MAX_BYTES:
            ticket.cut()  # The rest is not worth draining for the sake of the connection.
            raise CloposError(Reason.TOO_LARGE, f"the answer is larger than {MAX_BYTES // 2**20} MiB")
        chunks.append(chunk)
    if ticket.was_cut:  # An answer without a length ends where it was cut, as if that were its end.
        raise HTTPError
    try:
        document = json.loads(b"".join(chunks))
    # Deep nesting ends in RecursionError, giant integers and wrong UTF-8 in ValueError.
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        # A gateway's error page is no JSON either: its status says more than its body.
        if response.status_code >= 400:  # noqa: PLR2004 - the HTTP class
            return ApiResponse(response.status_code, response.headers, {})
        raise CloposError(Reason.MALFORMED, f"HTTP {response.status_code} with a body that is not a JSON object")
    return ApiResponse(response.status_code, response.headers, document)


def _translate(error: Exception, ticket: _Ticket) -> Exception:
    """Find the reason in what requests and urllib3 raise; their texts may hold URLs and are not passed on."""
    if ticket.was_cut and ticket.ends > time.monotonic():
        return Stopped()
    if ticket.was_cut or isinstance(error, requests.Timeout | ReadTimeoutError):
        return CloposError(Reason.TIMEOUT, "no complete answer in time")
    if isinstance(error, requests.exceptions.SSLError):
        return CloposError(Reason.TLS, f"TLS failed: {_cause(error)}")
    if isinstance(error, requests.RequestException):
        what = "the proxy cannot be used" if isinstance(error, requests.exceptions.ProxyError) else "cannot be reached"
        return CloposError(Reason.CONNECTION, f"{what}: {_cause(error)}")
    if isinstance(error, OSError):  # The file with the certificate authorities; urllib3 wraps those of the network.
        return CloposError(Reason.TLS, str(error))
    return CloposError(Reason.MALFORMED, f"the answer broke off or cannot be unpacked: {type(error).__name__}")


def _cause(error: BaseException) -> str:
    """Name the innermost cause by what the system says of it."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.strerror:
            return str(seen.strerror)
        inner = seen.args[0] if seen.args and isinstance(seen.args[0], BaseException) else None
        seen = getattr(seen, "reason", None) or seen.__cause__ or seen.__context__ or inner
        if not isinstance(seen, BaseException):
            break
        error = seen
    return type(error).__name__


def _adapter(guard: Guard, connections: int) -> HTTPAdapter:
    """Make an adapter whose connections the guard knows from the moment they connect."""

    class Connection(HTTPConnection):
        def connect(self) -> None:
            guard.attach(self)
            super().connect()
            guard.attach(self)

        def request(self, *args: Any, **kwargs: Any) -> None:
            guard.attach(self)
            super().request(*args, **kwargs)

    # HTTPSConnection is an HTTPConnection itself, so that this finds TLS behind what the other adds.
    class SecureConnection(Connection, HTTPSConnection):
        pass

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = SecureConnection

    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
            super().init_poolmanager(*args, **kwargs)
            self.poolmanager.pool_classes_by_scheme = {"http": Pool, "https": SecurePool}

        def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
            manager = super().proxy_manager_for(*args, **kwargs)
            manager.pool_classes_by_scheme = {"http": Pool, "https": SecurePool}
            return manager

    return Adapter(pool_connections=1, pool_maxsize=connections, pool_block=False)


def _certificate_authorities() -> str | bool:
    """Give the bundle that the environment names, True for the one that requests ships."""
    return next((path for name in _CA_VARIABLES if (path := os.environ.get(name))), True)
