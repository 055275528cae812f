"""A small simulated Clopos, and the real process in front of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from harness import Exporter, Start, configuration

from exporter.simulator import Simulator, World


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """One brand, `openapitest`, with two venues, `1` and `2`, of four stations each."""
    with Simulator(World.generate(venues=2, stations=4), tiers=None) as simulator:
        yield simulator


@pytest.fixture
def start(simulator: Simulator, tmp_path: Path) -> Iterator[Start]:
    """Start exporters that have to end well: `start(poll_interval="2s")` for settings, keywords of Exporter in `of`."""
    numbers = count(1)
    with ExitStack() as stack:

        def start_one(of: dict[str, Any] | None = None, **settings: Any) -> Exporter:
            folder = tmp_path / f"exporter-{next(numbers)}"
            return stack.enter_context(Exporter(folder, configuration(simulator, **settings), **(of or {})))

        yield start_one
