"""Worlds and faults that are worth having by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from exporter.clock import Clock
from exporter.simulator.faults import Fault
from exporter.simulator.misbehaviour import CATALOGUE
from exporter.simulator.simulator import Simulator
from exporter.simulator.world import World


@dataclass(frozen=True, slots=True)
class Scenario:
    """A size, a rate of change and faults in the text form of `Fault.parse`. `inactive` is a share of the stations."""

    summary: str
    brands: int = 1
    venues: int = 3
    stations: int = 8
    inactive: float = 0.0
    changes_per_minute: float = 0.0
    faults: tuple[str, ...] = ()


SCENARIOS = {
    "calm": Scenario("One brand, everything active, nothing changes."),
    "demo": Scenario("Two brands whose stations change every few seconds.", 2, 3, 6, 0.1, 12.0),
    "fleet": Scenario("One brand of 300 venues: as much as the quota can carry.", 1, 300, 20, 0.02, 60.0),
    "flaky": Scenario(
        "As demo, and one request in ten goes wrong or is slow.",
        brands=2,
        inactive=0.1,
        changes_per_minute=12.0,
        faults=(
            "latency,probability=0.05,seconds=2",
            "bad_gateway,probability=0.02",
            "truncated,probability=0.01",
            "reset,probability=0.01",
            "moving_list,probability=0.01",
        ),
    ),
    "outage": Scenario(
        "As demo, and for one minute of every five the gateway answers nothing but 503.",
        brands=2,
        inactive=0.1,
        changes_per_minute=12.0,
        faults=("unavailable,duration=60,period=300",),
    ),
    "disabled": Scenario(
        "As demo, and the first brand switched the Open API module off.",
        brands=2,
        changes_per_minute=12.0,
        faults=("client_disabled,brand=openapitest",),
    ),
    "chaos": Scenario(
        "As demo, and every fault there is, at random.",
        brands=2,
        inactive=0.1,
        changes_per_minute=30.0,
        faults=tuple(f"{kind},probability=0.005" for kind in CATALOGUE),
    ),
}


def simulate(
    scenario: str = "calm",
    *,
    brands: int | None = None,
    venues: int | None = None,
    stations: int | None = None,
    inactive: float | None = None,
    changes_per_minute: float | None = None,
    faults: Iterable[Fault] = (),
    seed: int = 1,
    clock: Clock | None = None,
    **rest: Any,
) -> Simulator:
    """Make the simulator of a scenario; what is given replaces the scenario's own, faults are added to its own.

    `rest` goes to the Simulator. Raises LookupError for a scenario that does not exist.
    """
    if scenario not in SCENARIOS:
        raise LookupError(f"no scenario {scenario!r}; there are {', '.join(SCENARIOS)}")
    chosen = SCENARIOS[scenario]
    world = World.generate(
        brands=chosen.brands if brands is None else brands,
        venues=chosen.venues if venues is None else venues,
        stations=chosen.stations if stations is None else stations,
        inactive=chosen.inactive if inactive is None else inactive,
        seed=seed,
        clock=clock,
    )
    return Simulator(
        world,
        changes_per_minute=chosen.changes_per_minute if changes_per_minute is None else changes_per_minute,
        faults=[*map(Fault.parse, chosen.faults), *faults],
        **rest,
    )
