"""The endpoints for machines: metrics, health and reload; and the whole application."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl

import anyio.to_thread
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from exporter.errors import ConfigError, ConfigProblem
from exporter.priority import ScrapePriority
from exporter.views import Scrape
from exporter.web.middleware import Authentication, HostCheck, ResponseHeaders, RoutePrefix
from exporter.web.publicurl import PublicURL
from exporter.web.readers import PATHS, Readers
from exporter.web.responses import error
from exporter.web.webconfig_file import WebConfigFile

HEALTHY = "/-/healthy"
READY = "/-/ready"
RELOAD = "/-/reload"

PART_BYTES = 1 << 20
"""Bytes of an answer in many chunks that are joined and handed on together."""

PROBES = frozenset({HEALTHY, READY})
"""Paths that answer without credentials and without limit. Where TLS asks for a certificate, so do they."""


ScrapeMetrics = Callable[[str, str, frozenset[str]], Scrape]
"""Answers a scrape by Accept and Accept-Encoding, limited to the samples of some names if there are any.

It is called on the event loop, so it must be quick: what costs time is prepared when the state changes.
"""


class Management(NamedTuple):
    """What the health paths and the reload path ask the application.

    `ready` returns the reasons why it is not, one line each, and is called on the event loop. `reload` returns the
    faults of the configuration it refused, or None; it runs in a thread, one at a time. `healthy` returns whether the
    process works, whatever Clopos does.
    """

    ready: Callable[[], Sequence[str]]
    reload: Callable[[], Sequence[ConfigProblem] | None]
    healthy: Callable[[], bool] = lambda: True


def create_app(
    scrape: ScrapeMetrics,
    checks: Management,
    *,
    telemetry_path: str = "/metrics",
    routes: Sequence[BaseRoute] = (),
    load_readers: Callable[[], Sequence[BaseRoute]] | None = None,
    public: PublicURL = PublicURL(),  # noqa: B008 - frozen
    web_config: WebConfigFile | None = None,
    priority: ScrapePriority | None = None,
) -> ASGIApp:
    """Return the application: the machines' endpoints and the given routes behind all that protects them.

    `load_readers` returns those of pages and JSON, and is called with the first request for one of them. Scrapes have
    `priority` over whoever gives way to them.
    Raises `ConfigError` for a telemetry path that is none or that belongs to something else.
    """
    endpoints = _Endpoints(checks, public)
    own: list[BaseRoute] = [
        Route(HEALTHY, endpoints.healthy),
        Route(READY, endpoints.ready),
        Route(RELOAD, endpoints.reload, methods=["POST"]),
        *routes,
    ]
    taken = {*PATHS, *(str(getattr(route, "path", "")) for route in own)}
    if load_readers is not None:
        readers = Readers(load_readers)
        own += [Route(path, readers) for path in PATHS]
    router = Starlette(routes=own, exception_handlers={HTTPException: _refused, Exception: _failed})
    router.state.working = asyncio.Lock()  # of `one_at_a_time`
    router.router.redirect_slashes = False  # its redirects repeat whatever host was asked for
    app: ASGIApp = HostCheck(router, public, PROBES)
    app = _Telemetry(scrape, _usable(telemetry_path, taken), app, priority or ScrapePriority())
    prefix = public.route_prefix
    if prefix:
        app = RoutePrefix(app, prefix)
    if web_config is not None:
        app = Authentication(app, web_config, {prefix + path for path in PROBES}, prefix + RELOAD)
    return ResponseHeaders(app, web_config)


class _Endpoints:
    def __init__(self, checks: Management, public: PublicURL) -> None:
        self._checks, self._public = checks, public
        self._reloading = asyncio.Lock()
        self._thread = anyio.CapacityLimiter(1)  # of its own: the threads of pages may all be at work

    async def healthy(self, _: Request) -> Response:
        if not self._checks.healthy():
            return PlainTextResponse("nothing is polled any more: the scheduler has failed, see the log\n", 503)
        return PlainTextResponse("healthy\n")

    async def ready(self, _: Request) -> Response:
        reasons = self._checks.ready()
        return PlainTextResponse("\n".join([*reasons, ""]) or "ready\n", 503 if reasons else 200)

    async def reload(self, request: Request) -> Response:
        if self._is_cross_site(request.headers):
            return PlainTextResponse("refused: the request comes from another site\n", 403)
        async with self._reloading:
            faults = await anyio.to_thread.run_sync(self._checks.reload, limiter=self._thread)
        if faults:
            return PlainTextResponse("".join(f"{fault}\n" for fault in faults), 400)
        return PlainTextResponse("reloaded\n")

    def _is_cross_site(self, headers: Headers) -> bool:
        """Return whether a browser sends this from a page that is not ours; other clients send neither header."""
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site not in {"same-origin", "none"}
        origin = headers.get("origin")
        return origin is not None and not self._public.accepts_origin(origin, headers.get("host", ""))


async def _refused(request: Request, rejected: Exception) -> Response:
    status, headers = getattr(rejected, "status_code", 500), getattr(rejected, "headers", None)
    return error(request.scope, status, str(getattr(rejected, "detail", "")), headers)


async def _failed(request: Request, _: Exception) -> Response:
    return error(request.scope, 500, "Internal Server Error")


def _usable(path: str, taken: Collection[str]) -> str:
    if not path.startswith("/") or set(path) & set(" ?#%"):
        raise ConfigError([ConfigProblem("--web.telemetry-path", f"{path!r} must start with / and be a plain path")])
    if path in taken:
        raise ConfigError([ConfigProblem("--web.telemetry-path", f"{path!r} is the path of something else")])
    return path


class _Telemetry:
    """Answer scrapes before any routing, so that they cost the least, and pass everything else on."""

    def __init__(self, scrape: ScrapeMetrics, path: str, others: ASGIApp, priority: ScrapePriority) -> None:
        self._scrape, self._path, self._others, self._priority = scrape, path, others, priority

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("path") != self._path:
            await self._others(scope, receive, send)
            return
        if scope["method"] not in ("GET", "HEAD"):
            await error(scope, 405, "Method Not Allowed", {"Allow": "GET, HEAD"})(scope, receive, send)
            return
        with self._priority:
            await self._answer(scope, send)

    async def _answer(self, scope: Scope, send: Send) -> None:
        accept = encodings = b""
        for name, value in scope["headers"]:
            if name == b"accept":
                accept += b"," + value if accept else value
            elif name == b"accept-encoding":
                encodings += b"," + value if encodings else value
        scrape = self._scrape(accept.decode("latin-1"), encodings.decode("latin-1"), _names(scope["query_string"]))
        headers = [
            (b"content-type", scrape.content_type.encode("latin-1")),
            (b"content-length", b"%d" % sum(map(len, scrape.chunks))),
            (b"vary", b"accept, accept-encoding"),
        ]
        if scrape.content_encoding:
            headers.append((b"content-encoding", scrape.content_encoding.encode("latin-1")))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        parts = _parts(scrape.chunks)
        part = next(parts)
        for following in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
            part = following
        await send({"type": "http.response.body", "body": part})


def _parts(chunks: Sequence[bytes]) -> Iterator[bytes]:
    """Join chunks to parts of a size that is quick to send; what comes in one chunk stays as it is."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= PART_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held or not chunks:
        yield b"".join(held)


def _names(query: bytes) -> frozenset[str]:
    if not query:
        return frozenset()
    return frozenset(value for key, value in parse_qsl(query.decode("latin-1")) if key == "name[]")
