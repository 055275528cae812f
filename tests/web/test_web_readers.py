from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import cast
from unittest.mock import Mock

import requests
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route
from web_fakes import FakeExposition, Serving

from exporter.web.endpoints import Management, create_app
from exporter.web.publicurl import PublicURL
from exporter.web.readers import PATHS, reader_routes

TIMEOUT = 10


def test_the_paths_are_those_of_pages_and_api() -> None:
    routes = reader_routes(Mock(), PublicURL(), telemetry_path="/metrics")
    assert {cast("Route", route).path for route in routes} == PATHS


def test_the_first_requests_load_the_pages_once_while_others_are_answered(
    serving: Serving, exposition: FakeExposition
) -> None:
    loading, gate = threading.Semaphore(0), threading.Event()

    def load() -> Sequence[BaseRoute]:
        loading.release()
        gate.wait(TIMEOUT)
        return [Route("/", lambda _: PlainTextResponse("page"))]

    app = create_app(exposition.scrape, Management(list, lambda: None), load_readers=load)
    with serving(app) as site, ThreadPoolExecutor(4) as pool:
        assert requests.get(f"{site.url}/nothing", timeout=TIMEOUT).status_code == 404
        pages = [pool.submit(requests.get, site.url, timeout=TIMEOUT) for _ in range(4)]
        assert loading.acquire(timeout=TIMEOUT)
        assert requests.get(f"{site.url}/metrics", timeout=TIMEOUT).text == "up 1\n"
        gate.set()
        assert [page.result().text for page in pages] == ["page"] * 4
        assert requests.post(site.url, timeout=TIMEOUT).status_code == 405
        assert requests.get(f"{site.url}/venue", timeout=TIMEOUT).status_code == 404
        assert not loading.acquire(blocking=False)
