"""Pages and API, loaded with the first request for one of them.

Templates, translations and schemas are a quarter of what the process would import and keep, and Prometheus needs none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from starlette.concurrency import run_in_threadpool
from starlette.routing import BaseRoute, Router
from starlette.types import Receive, Scope, Send

from exporter.web.publicurl import PublicURL
from exporter.web.source import Source

PATHS = frozenset(
    {
        "/",
        "/venue",
        "/changes",
        "/language",
        *(f"/static/{name}" for name in ("page.css", "page.js", "icon.svg")),
        *(f"/api/v1/{name}" for name in ("stations", "venues", "changes", "incidents", "openapi.json")),
    }
)
"""What pages and API answer; everything else is known to be absent without loading them."""


def reader_routes(source: Source, public: PublicURL, *, telemetry_path: str) -> list[BaseRoute]:
    """Return the routes of pages and API."""
    from exporter.web.api import api_routes  # noqa: PLC0415 - see above
    from exporter.web.pages import page_routes  # noqa: PLC0415

    return [*page_routes(source, telemetry_path=telemetry_path), *api_routes(source, public)]


class Readers:
    """Serve pages and API, whose routes are loaded in a thread with the first request: scrapes go on meanwhile."""

    def __init__(self, load: Callable[[], Sequence[BaseRoute]]) -> None:
        self._load = load
        self._loading = asyncio.Lock()
        self._router: Router | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for one of `PATHS`."""
        async with self._loading:
            if self._router is None:
                self._router = Router(await run_in_threadpool(self._load), redirect_slashes=False)
        await self._router(scope, receive, send)
