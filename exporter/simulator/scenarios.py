"""Worlds and faults that are worth having by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
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
    odd_rows: tuple[str, ...] = ()
    """JSON rows that one more venue of each brand serves."""


ODD_ROWS = (
    '{"id":"kitchen","name":"Id as text","status":1,"type":1,"printable":1}',
    '{"id":102,"name":"Status as text","status":"0","type":"1","printable":"1"}',
    '{"id":103,"name":"Status as a bool","status":false,"type":1,"printable":true}',
    '{"id":104,"name":"can_print for printable","status":1,"type":0,"can_print":false}',
    '{"id":105,"name":"Nulls","status":1,"type":null,"printable":null,"created_at":null,"updated_at":null}',
    '{"id":106,"name":"Neither nor","status":7,"type":9,"printable":1}',
    '{"id":107,"name":"No fraction","status":1,"type":1,"printable":1,"created_at":"2026-01-13T14:08:49Z"}',
    '{"id":108,"name":"More fields","status":1,"type":1,"printable":1,"reminder_enabled":1,"meta":{"a":[]},"x":0}',
    r'{"id":109,"name":"Tab\t, newline\n, \"quotes\", \\, \u202ebidi, \ud83c\udf7d","status":1,"type":0,"printable":1}',
    '{"name":"No id","status":1,"type":1,"printable":1}',
)

_like_demo = partial(Scenario, brands=2, inactive=0.1, changes_per_minute=12.0)

SCENARIOS = {
    "calm": Scenario("One brand, everything active, nothing changes."),
    "demo": Scenario("Two brands whose stations change every few seconds.", 2, 3, 6, 0.1, 12.0),
    "fleet": Scenario("One brand of 300 venues: as much as the quota can carry.", 1, 300, 20, 0.02, 60.0),
    "flaky": _like_demo(
        "As demo, and one request in ten goes wrong or is slow.",
        faults=(
            "latency,probability=0.05,seconds=2",
            "bad_gateway,probability=0.02",
            "truncated,probability=0.01",
            "reset,probability=0.01",
            "moving_list,probability=0.01",
        ),
    ),
    "outage": _like_demo(
        "As demo, and for one minute of every five the gateway answers nothing but 503.",
        faults=("unavailable,duration=60,period=300",),
    ),
    "disabled": _like_demo(
        "As demo, and the first brand switched the Open API module off.",
        inactive=0.0,
        faults=("client_disabled,brand=openapitest",),
    ),
    "odd": Scenario("One brand with a venue that serves every odd row that is to be tolerated.", odd_rows=ODD_ROWS),
    "chaos": _like_demo(
        "As demo, and every fault there is, at random.",
        changes_per_minute=30.0,
        faults=tuple(f"{kind},probability=0.005" for kind in CATALOGUE),
    ),
}


def simulate(
    scenario: Scenario, *, seed: int = 1, clock: Clock | None = None, faults: Iterable[Fault] = (), **rest: Any
) -> Simulator:
    """Make the simulator of a scenario, with more faults where given; `rest` goes to the Simulator.

    A scenario varies by `dataclasses.replace(SCENARIOS["demo"], venues=20)`. Raises ValueError for a fault that does
    not exist.
    """
    world = World.generate(
        brands=scenario.brands,
        venues=scenario.venues,
        stations=scenario.stations,
        inactive=scenario.inactive,
        seed=seed,
        clock=clock,
    )
    if scenario.odd_rows:
        for brand in world.brands:
            venue = world.add_venue(brand, "Odd rows")
            for row in scenario.odd_rows:
                world.serve_raw(brand, venue, world.add_station(brand, venue, "Odd"), row)
    return Simulator(
        world,
        changes_per_minute=scenario.changes_per_minute,
        faults=[*map(Fault.parse, scenario.faults), *faults],
        **rest,
    )
