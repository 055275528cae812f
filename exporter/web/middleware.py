"""What every request passes: headers, a bound on its parameters, rate limit and login, route prefix, Host check."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from ipaddress import IPv6Address, ip_address, ip_network

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.web.passwords import LoginResult, PasswordChecker, parse_basic
from exporter.web.publicurl import PublicURL
from exporter.web.responses import SECURITY_HEADERS, error
from exporter.web.webconfig import RateLimit, WebConfig
from exporter.web.webconfig_file import WebConfigFile

MAX_PARAMETERS = 200
"""Parameters of a request: there are fewer metric families, and thousands would hold everybody up."""

PEERS = 1024
"""Peers whose requests without a login are counted, each by itself."""


class ResponseHeaders:
    """Add security headers to every response: those of the web configuration, the response's own, or the usual."""

    def __init__(self, app: ASGIApp, web_config: WebConfigFile | None) -> None:
        self._app, self._web_config = app, web_config
        self._usual = [(name.encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, unless there are too many parameters."""
        configured = self._configured()

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                fixed = {name for name, _ in configured}
                headers = [header for header in message["headers"] if header[0] not in fixed]
                fixed.update(name for name, _ in headers)
                message["headers"] = [*headers, *configured, *(usual for usual in self._usual if usual[0] not in fixed)]
            await send(message)

        app = self._app
        # Before anything parses them.
        if scope["query_string"].count(b"&") >= MAX_PARAMETERS:
            app = error(scope, 400, f"more than {MAX_PARAMETERS} parameters")
        await app(scope, receive, send_with_headers)

    def _configured(self) -> list[tuple[bytes, bytes]]:
        if self._web_config is None:
            return []
        headers = self._web_config.current.config.http_server_config.headers
        return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


class TokenBucket:
    """A token more every `interval` seconds, `burst` at most, one for each request."""

    def __init__(self, limit: RateLimit, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._clock = limit, clock
        self._tokens = float(limit.burst)
        self._at = clock()

    def take(self) -> float:
        """Take a token and return 0, or return the seconds until there is one."""
        now = self._clock()
        self._tokens = min(float(self._limit.burst), self._tokens + (now - self._at) / self._limit.interval)
        self._at = now
        if self._tokens < 1:
            return (1 - self._tokens) * self._limit.interval
        self._tokens -= 1
        return 0.0


class RequestLimiter:
    """Count requests: in one bucket those that count as logged in, by peer those that do not."""

    def __init__(self) -> None:
        self._limit = RateLimit()
        self._shared = TokenBucket(self._limit)
        self._peers: OrderedDict[str, TokenBucket] = OrderedDict()

    def take(self, limit: RateLimit, peer: str | None = None) -> float:
        """Take a token and return 0, or return the seconds until there is one."""
        if not limit.interval:
            return 0.0
        if limit != self._limit:
            self._limit, self._shared = limit, TokenBucket(limit)
            self._peers.clear()
        if peer is None:
            return self._shared.take()
        bucket = self._peers.setdefault(peer, TokenBucket(limit))
        self._peers.move_to_end(peer)
        if len(self._peers) > PEERS:
            self._peers.popitem(last=False)
        return bucket.take()


class Authentication:
    """Pass on requests that have the right password and are within the rate limit, or go to an open path.

    `reload` is the path that read-only users may not use.
    """

    def __init__(self, app: ASGIApp, web_config: WebConfigFile, open_paths: Collection[str], reload: str) -> None:
        self._app, self._web_config = app, web_config
        self._open_paths, self._reload = open_paths, reload
        self._passwords = PasswordChecker()
        self._limiter = RequestLimiter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for the application where the request may not pass."""
        refused = None
        if scope["path"] not in self._open_paths:
            refused = await self._refuse(scope, self._web_config.current.config)
        await (refused or self._app)(scope, receive, send)

    async def _refuse(self, scope: Scope, config: WebConfig) -> ASGIApp | None:
        users = config.basic_auth_users
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        credentials = parse_basic(given.decode("latin-1"))
        if users and (credentials is None or not self._passwords.is_remembered(users, *credentials)):
            refused = await self._refuse_login(scope, config, credentials)
            if refused is not None:
                return refused
        if wait := self._limiter.take(config.rate_limit):
            return _too_many(scope, wait)
        if scope["path"] == self._reload and credentials is not None and credentials[0] in config.read_only_users:
            return error(scope, 403, f"the user {credentials[0]} may only read")
        return None

    async def _refuse_login(
        self, scope: Scope, config: WebConfig, credentials: tuple[str, bytes] | None
    ) -> ASGIApp | None:
        peer = peer_of(scope)
        # Not from the bucket of those who have logged in: a flood of guesses would leave it empty.
        if wait := self._limiter.take(config.rate_limit, peer):
            return _too_many(scope, wait)
        login = LoginResult.WRONG
        if credentials is not None:
            login = await self._passwords.check(config.basic_auth_users, *credentials, peer)
        if login is LoginResult.BUSY:
            return error(scope, 503, "too many passwords to check", {"Retry-After": "1"})
        if login is LoginResult.WRONG:
            realm = 'Basic realm="clopos-exporter", charset="UTF-8"'
            return error(scope, 401, "unauthorized", {"WWW-Authenticate": realm})
        return None


class RoutePrefix:
    """Serve an application below a path; the root leads there."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app, self._prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with paths as if there were no prefix."""
        path = scope["path"]
        app = self._app
        if path.startswith(f"{self._prefix}/"):
            scope = {**scope, "path": path.removeprefix(self._prefix), "raw_path": b""}
        elif path in ("", "/", self._prefix):
            app = RedirectResponse(f"{self._prefix}/", 302)
        else:
            app = error(scope, 404, f"everything is served below {self._prefix}/")
        await app(scope, receive, send)


class HostCheck:
    """Refuse requests for names that are not ours, so that no page of another site reads ours (DNS rebinding)."""

    def __init__(self, app: ASGIApp, public: PublicURL, open_paths: Collection[str]) -> None:
        self._app, self._public, self._open_paths = app, public, open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for the application where the request may not pass."""
        app = self._app
        if scope["path"] not in self._open_paths:
            hosts = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
            if len(hosts) > 1 or not all(map(self._public.accepts_host, hosts)):
                message = "this host name is not known here: allow it with --web.allowed-host, or use the IP address"
                app = error(scope, 403, message)
        await app(scope, receive, send)


def peer_of(scope: Scope) -> str:
    """Return who asks: an IPv4 address, or the IPv6 network that a single customer has to itself."""
    try:
        address = ip_address(scope["client"][0])
    except (TypeError, ValueError):
        return ""
    if not isinstance(address, IPv6Address):
        return str(address)
    return str(address.ipv4_mapped or ip_network((address, 64), strict=False))


def _too_many(scope: Scope, seconds: float) -> ASGIApp:
    return error(scope, 429, "too many requests", {"Retry-After": str(math.ceil(seconds))})
