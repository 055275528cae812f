"""A real server on loopback with a fake exposition behind it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

from starlette.types import ASGIApp

from exporter.errors import ConfigProblem
from exporter.views import Scrape
from exporter.web.addresses import Address, listen
from exporter.web.endpoints import Management
from exporter.web.server import WebServer


class FakeExposition:
    """Answer every scrape with the same body, and remember what was asked."""

    def __init__(self, body: bytes = b"up 1\n") -> None:
        self.answer = Scrape((body,), "text/plain; version=0.0.4; charset=utf-8", None)
        self.asked: list[tuple[str, str, frozenset[str]]] = []

    def scrape(self, accept: str, accept_encoding: str, names: frozenset[str]) -> Scrape:
        self.asked.append((accept, accept_encoding, names))
        return self.answer


class FakeChecks:
    """Be ready and reload well, unless set otherwise."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.faults: list[ConfigProblem] | None = None
        self.reloads = 0
        self.works = True

    def reload(self) -> list[ConfigProblem] | None:
        self.reloads += 1
        return self.faults

    @property
    def checks(self) -> Management:
        return Management(lambda: self.reasons, self.reload, lambda: self.works)


class Site(NamedTuple):
    """A running server and where it is."""

    url: str
    port: int
    server: WebServer


@contextmanager
def serve(app: ASGIApp, **options: object) -> Iterator[Site]:
    listeners = listen([Address("127.0.0.1", 0)])
    server = WebServer(app, listeners, **options)  # type: ignore[arg-type]
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield Site(server.urls[0], listeners[0].getsockname()[1], server)
    finally:
        server.stop()
        thread.join(5)
        assert not thread.is_alive(), "the server did not stop"


Serving = Callable[..., AbstractContextManager[Site]]
