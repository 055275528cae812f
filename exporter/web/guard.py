"""Let requests in as the web configuration says: limit, password, headers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from starlette.datastructures import MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exporter.web.auth import Passwords, Verdict, parse_basic
from exporter.web.door import Door
from exporter.web.endpoints import HEALTHY, READY
from exporter.web.webconfig import RateLimit, WebConfig

OPEN = frozenset({HEALTHY, READY})
"""Paths that answer without credentials and without limit, for probes. Where TLS asks for a certificate, so do they."""


class Bucket:
    """A token bucket: a token more every `interval` seconds, `burst` at most, one for each request."""

    def __init__(self, limit: RateLimit, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._clock = clock
        self._tokens = float(limit.burst)
        self._at = clock()

    def take(self) -> float:
        """Take a token and give 0, or give the seconds until there is one."""
        if not self.limit.interval:
            return 0.0
        now = self._clock()
        self._tokens = min(float(self.limit.burst), self._tokens + (now - self._at) / self.limit.interval)
        self._at = now
        if self._tokens < 1:
            return (1 - self._tokens) * self.limit.interval
        self._tokens -= 1
        return 0.0


class Guard:
    """Stand before an application as the door in force says."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door
        self._passwords = Passwords()
        self._bucket = Bucket(door.config.rate_limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for the application where the request may not pass."""
        config = self._door.config
        headers = config.http_server_config.headers

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        app = None if scope["path"] in OPEN else await self._refusal(scope, config)
        await (app or self._app)(scope, receive, send_with_headers if headers else send)

    async def _refusal(self, scope: Scope, config: WebConfig) -> ASGIApp | None:
        if self._bucket.limit != config.rate_limit:
            self._bucket = Bucket(config.rate_limit)
        if wait := self._bucket.take():
            return PlainTextResponse("too many requests\n", 429, {"Retry-After": str(math.ceil(wait))})
        if not config.basic_auth_users:
            return None
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        credentials = parse_basic(given.decode("latin-1"))
        verdict = Verdict.WRONG
        if credentials is not None:
            verdict = await self._passwords.check(config.basic_auth_users, *credentials)
        if verdict is Verdict.BUSY:
            return PlainTextResponse("too many passwords to check\n", 503, {"Retry-After": "1"})
        if verdict is Verdict.WRONG:
            realm = 'Basic realm="clopos-exporter", charset="UTF-8"'
            return PlainTextResponse("unauthorized\n", 401, {"WWW-Authenticate": realm})
        return None
