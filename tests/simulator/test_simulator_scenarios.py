from __future__ import annotations

import json
from dataclasses import replace

import pytest
from fakes import FakeClock

from exporter.simulator import SCENARIOS, Fault, World, simulate
from exporter.simulator.scenarios import ODD_ROWS
from exporter.simulator.world import Query


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_makes_a_simulator(name: str, clock: FakeClock) -> None:
    scenario = replace(SCENARIOS[name], venues=2)
    simulator = simulate(scenario, clock=clock)
    assert len(simulator.world.brands) == scenario.brands
    assert simulator.changes_per_minute == scenario.changes_per_minute
    assert len(simulator.faults.listing()) == len(scenario.faults)


def test_more_faults_and_settings_can_be_given(clock: FakeClock) -> None:
    simulator = simulate(SCENARIOS["calm"], clock=clock, faults=[Fault.of("hang")], token_lifetime=60)
    assert len(simulator.faults.listing()) == 1
    assert simulator.tokens.lifetime == 60


def test_odd_rows_are_json_and_served_beside_ordinary_venues(clock: FakeClock) -> None:
    world: World = simulate(SCENARIOS["odd"], clock=clock).world
    venue = max(world.venues("openapitest"))
    assert all(json.loads(row) for row in ODD_ROWS)
    assert sorted(world.station_rows("openapitest", venue, Query())) == sorted(ODD_ROWS)
