from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from fakes import FakeClock
from simulator_fakes import FakeWire

from exporter.simulator import Simulator, World
from exporter.simulator.api import BASE_PATH
from exporter.simulator.messages import Answer, Request

Ask = Callable[..., Answer]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def world(clock: FakeClock) -> World:
    return World.generate(brands=2, venues=2, stations=5, seed=1, clock=clock)


@pytest.fixture
def simulator(world: World) -> Simulator:
    """A simulator that is not started: requests reach it without a socket."""
    return Simulator(world)


@pytest.fixture
def ask(simulator: Simulator) -> Ask:
    """Send a request past the socket, by default with a good token of the first brand."""
    token = simulator.tokens.issue("openapitest")[0]

    def send(path: str, *, method: str = "GET", body: Any = None, query: Any = None, **headers: str) -> Answer:
        wire = FakeWire()
        sent = {"x-token": token, **{name.replace("_", "-"): value for name, value in headers.items()}}
        content = b"" if body is None else json.dumps(body).encode()
        full = path if path.startswith("/") else f"{BASE_PATH}/{path}"
        simulator._serve(Request(method, full, query or {}, sent, content), wire)
        assert wire.answer is not None
        return wire.answer

    return send
