"""The rules that ship, in VictoriaMetrics' rule engine."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from alerting import RULES, Alertmanager, Prometheus, Receiver, Vmalert, faster_rules, until
from harness import Exporter, configuration

from exporter.simulator import Simulator, Tiers, World

pytestmark = pytest.mark.slow


def test_it_loads_the_rule_file(program: Callable[..., str]) -> None:
    command = [program("vmalert"), "-dryRun", f"-rule={RULES}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_it_refuses_a_rule_file_that_is_wrong(program: Callable[..., str], tmp_path: Path) -> None:
    broken = tmp_path / "rules.yml"
    broken.write_text(RULES.read_text().replace("max by (brand, venue_id)", "max by brand, venue_id)", 1))
    command = [program("vmalert"), "-dryRun", f"-rule={broken}"]
    assert subprocess.run(command, capture_output=True, check=False).returncode != 0


def test_it_evaluates_every_rule_and_pages_for_a_kitchen_station(program: Callable[..., str], tmp_path: Path) -> None:
    vmalert, prometheus = program("vmalert"), program("prometheus")
    alertmanager = program("prometheus-alertmanager", "alertmanager")
    world = World.generate(venues=2, stations=4)
    with (
        Simulator(world, tiers=Tiers(brand=1000)) as simulator,
        Exporter(tmp_path / "exporter", configuration(simulator, incidents={"delay": "5s"})) as exporter,
        Receiver() as receiver,
        Alertmanager(alertmanager, tmp_path / "alertmanager", receiver) as alerts,
        Prometheus(prometheus, tmp_path / "prometheus", [exporter.url], has_rules=False) as store,
        Vmalert(vmalert, tmp_path / "vmalert", store, alerts) as engine,
    ):
        exporter.until_ready(2)
        until(lambda: store.query("venue:clopos_venue_up:max"), "recorded series", 60)
        began = time.monotonic()
        kitchen = next(iter(store.query('clopos_station_active{kind="kitchen"}')))["metric"]
        world.set_status(kitchen["brand"], kitchen["venue_id"], kitchen["station_id"], 0)
        receiver.wait_for(f"Kitchen station {kitchen['station']} of {kitchen['venue']} is inactive in Clopos", began)
        until(lambda: all(rule["lastEvaluation"] > "2" for rule in engine.rules()), "evaluation of every rule", 60)
        assert [rule["name"] for rule in engine.rules() if rule["lastError"]] == []
        assert len(engine.rules()) == sum(len(group["rules"]) for group in faster_rules()["groups"])
