from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from pages_fakes import FakeSource, NoMetrics

from exporter.web.addresses import Address, listen
from exporter.web.api import api_routes
from exporter.web.endpoints import Management, create_app
from exporter.web.pages import page_routes
from exporter.web.server import WebServer


@contextmanager
def served(source: FakeSource) -> Iterator[str]:
    """Serve pages and JSON as the exporter does, headers included."""
    routes = [*page_routes(source), *api_routes(source)]
    app = create_app(NoMetrics().scrape, Management(list, lambda: None), routes=routes)
    server = WebServer(app, listen([Address("127.0.0.1", 0)]))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server.urls[0]
    finally:
        server.stop()
        thread.join(5)
        assert not thread.is_alive(), "the server did not stop"


@pytest.fixture
def serve() -> Iterator[Callable[[FakeSource], str]]:
    """Return a function that serves a source and gives its address, without a slash at the end."""
    with ExitStack() as running:
        yield lambda source: running.enter_context(served(source))
