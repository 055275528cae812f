"""Send one HTTP request, and translate every way it can fail into one CloposError with a reason.

Bounded in time and size, whatever the other side does; no cookies, no redirects (credentials go to the configured
host and nowhere else), and proxies and certificate authorities taken from the environment once. Requests are handed to
the adapter below the session, which would keep cookies, and read a redirect's body whatever its size.

A socket's timeout restarts with each byte, so that a peer which trickles its headers or its body could hold a worker
for hours, and neither requests nor urllib3 limits a request as a whole. Each response is therefore read through a
`_DeadlineReader`, which gives the socket no more time than the request has left.
"""

from __future__ import annotations

import io
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakSet

import requests
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies, select_proxy
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, ReadTimeoutError

from exporter import __version__
from exporter.errors import CloposError, ExporterError, Stopped
from exporter.model import Reason

CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 12.0
"""Seconds without a byte; the gateway gives up after 8 s with a 504, which says more than our own timeout."""

TOTAL_TIMEOUT = 20.0
"""Seconds for the whole of one request, however slowly it trickles."""

MAX_BYTES = 8 * 2**20
"""Bytes of a decoded body that are read: 200 stations take about 40 KiB."""

MAX_RESENDS = 3
"""How often a request is sent again at once because the server had closed the kept-alive connection that it took."""

_CHUNK = 64 * 1024
_HEADERS = {"User-Agent": f"clopos-exporter/{__version__}", "Accept": "application/json", "Accept-Encoding": "gzip"}
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
_REDIRECTS = frozenset({300, 301, 302, 303, 305, 307, 308})

Observe = Callable[[str, str, float], None]
"""Called after each request with endpoint, code (an HTTP status or `error`) and seconds, without those given away."""


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """What came back: the HTTP status, the headers, and the JSON object of the body."""

    status: int
    headers: Mapping[str, str]
    document: Mapping[str, Any]


class StaleConnectionError(ConnectionResetError):
    """A kept-alive connection was closed by the server before it answered: the request may be sent again at once."""


class Transport:
    """A kept-alive session with one Clopos base URL, shared by the threads that poll a brand.

    `permitted` is asked right before each request is sent: whoever waited for it may have lost the right to meanwhile.
    `give_way` may wait for a moment before a response is read.
    """

    def __init__(
        self,
        base_url: str,
        *,
        connections: int,
        observe: Observe,
        permitted: Callable[[], bool] = lambda: True,
        give_way: Callable[[], None] = lambda: None,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._observe, self._permitted, self._give_way = observe, permitted, give_way
        self._closed = threading.Event()
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._lock = threading.Lock()
        self._prepared: dict[tuple[object, ...], requests.PreparedRequest] = {}
        self._adapter = _adapter(self._register, connections)
        # Resolved once: requests would look into the environment and .netrc again at every request.
        self._options: dict[str, Any] = {
            "proxies": get_environ_proxies(self.base_url, no_proxy=None),
            "verify": _certificate_authorities(),
            "stream": True,
            "timeout": (CONNECT_TIMEOUT, READ_TIMEOUT),
        }
        self._host = _host(self.base_url)
        self._proxy = _host(select_proxy(self.base_url, self._options["proxies"]) or "")

    def close(self) -> None:
        """End running requests now, with Stopped, and close the connections."""
        with self._lock:
            self._closed.set()
            sockets = list(self._sockets)
        for sock in sockets:
            with suppress(OSError):  # It may have been closed in this very moment.
                # Past SSLSocket, which would pull its TLS away from under the thread that reads.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
        self._adapter.close()

    def get(self, endpoint: str, params: Mapping[str, Any], headers: Mapping[str, str]) -> ApiResponse:
        """Send a GET. Raises CloposError for everything that is not a response with a JSON object, and Stopped."""
        return self._send(endpoint, lambda: self._prepare(endpoint, params, headers))

    def post(self, endpoint: str, body: Mapping[str, Any]) -> ApiResponse:
        """Send a POST with a JSON body. Raises like `get`."""
        request = requests.Request("POST", f"{self.base_url}/{endpoint}", json=body, headers=_HEADERS)
        return self._send(endpoint, request.prepare)

    def _prepare(
        self, endpoint: str, params: Mapping[str, Any], headers: Mapping[str, str]
    ) -> requests.PreparedRequest:
        key = (endpoint, *params.items())
        prepared = self._prepared.get(key)
        if prepared is None:
            # The same few are sent all the time, and encoding one costs as much as decoding its response.
            prepared = requests.Request("GET", f"{self.base_url}/{endpoint}", params=params, headers=_HEADERS).prepare()
            self._prepared[key] = prepared
        request = prepared.copy()
        request.headers.update(headers)
        return request

    def _send(self, endpoint: str, prepare: Callable[[], requests.PreparedRequest]) -> ApiResponse:
        code = "error"
        began = time.perf_counter()
        resends = 0
        try:
            while True:
                if self._closed.is_set() or not self._permitted():
                    raise Stopped
                try:
                    with self._adapter.send(prepare(), **self._options) as response:
                        code = str(response.status_code)
                        answered = time.perf_counter()
                        self._give_way()
                        began += time.perf_counter() - answered
                        document = _read(response)
                        if self._closed.is_set():  # A body without a length ends where it is cut, as if it were whole.
                            raise Stopped
                        return ApiResponse(response.status_code, response.headers, document)
                except (requests.RequestException, HTTPError, OSError) as error:
                    if self._closed.is_set():
                        raise Stopped from error
                    is_stale = any(isinstance(cause, StaleConnectionError) for cause in _causes(error))
                    if is_stale and resends < MAX_RESENDS:
                        resends += 1
                        continue
                    raise self._translate(error) from error
        finally:
            self._observe(endpoint, code, time.perf_counter() - began)

    def _register(self, sock: socket.socket) -> None:
        """Note a socket that `close` has to shut down. Raises Stopped where it was too late."""
        with self._lock:
            self._sockets.add(sock)
            if self._closed.is_set():
                raise Stopped

    def _translate(self, error: Exception) -> CloposError:
        """Find the reason in what requests and urllib3 raise; their texts may hold URLs and are not passed on."""
        if isinstance(error, requests.Timeout | ReadTimeoutError):
            return CloposError(Reason.TIMEOUT, f"no complete response from {self._host} in time")
        if isinstance(error, requests.exceptions.SSLError):
            return CloposError(Reason.TLS, f"TLS with {self._host} failed: {_cause(error)}")
        if isinstance(error, requests.exceptions.ProxyError):
            return CloposError(Reason.CONNECTION, f"the proxy {self._proxy} cannot be used: {_cause(error)}")
        if isinstance(error, requests.RequestException):
            return CloposError(Reason.CONNECTION, f"{self._host} cannot be reached: {_cause(error)}")
        if isinstance(error, OSError):  # The file with the certificate authorities; urllib3 wraps those of the network.
            return CloposError(Reason.TLS, str(error))
        return CloposError(Reason.MALFORMED, f"the response broke off or cannot be decoded: {type(error).__name__}")


def _read(response: requests.Response) -> Mapping[str, Any]:
    """Read a JSON object within its bounds; empty for an error without one, whose status says more than its body."""
    status = response.status_code
    if status in _REDIRECTS:
        raise CloposError(Reason.REDIRECTED, f"HTTP {status}, a redirect; check base_url")
    chunks, size = [], 0
    for chunk in response.raw.stream(_CHUNK, decode_content=True):
        size += len(chunk)
        if size > MAX_BYTES:
            raise CloposError(Reason.TOO_LARGE, f"the response is larger than {MAX_BYTES // 2**20} MiB")
        chunks.append(chunk)
    try:
        document = json.loads(b"".join(chunks))
    # Deep nesting ends in RecursionError, giant integers and wrong UTF-8 in ValueError.
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        return document
    if status >= 400:  # noqa: PLR2004 - the HTTP class
        return {}
    raise CloposError(Reason.MALFORMED, f"HTTP {status} with a body that is not a JSON object")


def _causes(error: BaseException) -> list[BaseException]:
    """Return an error and what caused it, outermost first; an earlier request that we are retrying is no cause."""
    found: list[BaseException] = []
    seen: BaseException | None = error
    while isinstance(seen, BaseException) and not isinstance(seen, ExporterError) and seen not in found:
        found.append(seen)
        inner = seen.args[0] if seen.args and isinstance(seen.args[0], BaseException) else None
        seen = getattr(seen, "reason", None) or seen.__cause__ or seen.__context__ or inner
    return found


def _cause(error: BaseException) -> str:
    """Name the cause by what the system says of it."""
    causes = _causes(error)
    said = (str(cause.strerror) for cause in causes if isinstance(cause, OSError) and cause.strerror)
    return next(said, type(causes[-1]).__name__)


def _host(url: str) -> str:
    """Return the host of a URL, with its port where one is given and without user and password."""
    return urlsplit(url).netloc.rpartition("@")[2]


class _DeadlineReader(io.RawIOBase):
    """Read from a socket until the deadline of the request, in real monotonic seconds. Raises TimeoutError after."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(min(READ_TIMEOUT, left))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _DeadlineResponse(HTTPResponse):
    """A response that ends at its deadline; interim responses such as 103 Early Hints are skipped."""

    def __init__(self, sock: socket.socket, *args: Any, deadline: float, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_DeadlineReader(sock, deadline))

    def begin(self) -> None:
        super().begin()
        while 101 < self.status < 200:  # noqa: PLR2004 - http.client itself skips 100 only
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()


def _adapter(register: Callable[[socket.socket], None], connections: int) -> HTTPAdapter:
    """Make an adapter whose connections are registered, and read each response within a deadline."""

    class DeadlineConnection(HTTPConnection):
        def connect(self) -> None:
            self._sent = 0
            self._deadline = time.monotonic() + TOTAL_TIMEOUT  # for the answer of a proxy to CONNECT
            super().connect()
            register(self.sock)

        def request(self, *args: Any, **kwargs: Any) -> None:
            self._deadline = time.monotonic() + TOTAL_TIMEOUT
            super().request(*args, **kwargs)
            self._sent += 1

        def response_class(self, *args: Any, **kwargs: Any) -> HTTPResponse:  # type: ignore[override]
            return _DeadlineResponse(*args, deadline=self._deadline, **kwargs)

        def getresponse(self) -> Any:
            try:
                return super().getresponse()
            except (ConnectionResetError, BrokenPipeError) as error:
                if self._sent > 1:
                    raise StaleConnectionError from error
                raise

    # HTTPSConnection is an HTTPConnection itself, so that this finds TLS behind what the other adds.
    class SecureDeadlineConnection(DeadlineConnection, HTTPSConnection):
        pass

    class Adapter(HTTPAdapter):
        def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
            pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
            pool.ConnectionCls = SecureDeadlineConnection if pool.scheme == "https" else DeadlineConnection
            return pool

    return Adapter(pool_connections=1, pool_maxsize=connections, pool_block=False)


def _certificate_authorities() -> str | bool:
    """Return the bundle that the environment names, True for the one that requests ships."""
    return next((path for name in _CA_VARIABLES if (path := os.environ.get(name))), True)
