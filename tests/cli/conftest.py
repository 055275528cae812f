from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_fakes import write

from exporter.simulator import Simulator, World


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("CLOPOS_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a minute of the quota pass in a moment: the simulator here has no limits to keep."""
    monkeypatch.setattr("exporter.clopos.limits.WINDOW", 0.1)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Two brands, `openapitest` and `tandir-group`, of two venues with two stations each."""
    with Simulator(World.generate(brands=2, venues=2, stations=2), tiers=None) as simulator:
        yield simulator


@pytest.fixture
def config(simulator: Simulator, tmp_path: Path) -> str:
    return write(tmp_path, simulator)
