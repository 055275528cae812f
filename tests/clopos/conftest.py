from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from fakes import FakeClock
from raw_server import RawServer, Say

from exporter.clopos import transport as module
from exporter.clopos.transport import ApiResponse, Transport


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", *module._CA_VARIABLES):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def observed() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def make(observed: list[tuple[str, str]]) -> Iterator[Callable[[str], Transport]]:
    made: list[Transport] = []

    def one(url: str) -> Transport:
        transport = Transport(url, connections=4, observe=lambda endpoint, code, _: observed.append((endpoint, code)))
        made.append(transport)
        return transport

    yield one
    for transport in made:
        transport.close()


@pytest.fixture
def ask(make: Callable[[str], Transport]) -> Iterator[Callable[[Say], ApiResponse]]:
    """Ask a server that says this once."""
    servers: list[RawServer] = []

    def one(say: Say) -> ApiResponse:
        server = RawServer(say).__enter__()
        servers.append(server)
        return make(server.url).get("stations", {}, {"x-token": "secret-token"})

    yield one
    for server in servers:
        server.__exit__()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "READ_TIMEOUT", 0.3)
    monkeypatch.setattr(module, "TOTAL_TIMEOUT", 0.6)
