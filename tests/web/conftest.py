from __future__ import annotations

from collections.abc import Iterator

import pytest
from web_fakes import FakeChecks, FakeExposition, Serving, Site, serve

from exporter.web.endpoints import create_app


@pytest.fixture
def serving() -> Serving:
    return serve


@pytest.fixture
def exposition() -> FakeExposition:
    return FakeExposition()


@pytest.fixture
def checks() -> FakeChecks:
    return FakeChecks()


@pytest.fixture
def site(exposition: FakeExposition, checks: FakeChecks) -> Iterator[Site]:
    with serve(create_app(exposition.scrape, checks.checks)) as running:
        yield running
