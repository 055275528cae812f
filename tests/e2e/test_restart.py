"""What is remembered over a restart."""

from __future__ import annotations

import json

import pytest
from harness import Start, run

from exporter.simulator import Simulator

pytestmark = pytest.mark.slow

BRAND = "openapitest"
STATE = {"path": "state.db"}


def test_what_happened_meanwhile_is_reported_once_after_the_start(simulator: Simulator, start: Start) -> None:
    exporter = start(state=STATE)
    exporter.until_ready()
    simulator.world.set_status(BRAND, "1", "3", 0)
    exporter.until_event("station.deactivated")
    before = exporter.metrics()
    exporter.stop()
    world = simulator.world
    world.set_status(BRAND, "1", "3", 1)
    world.set_status(BRAND, "2", "1", 0)
    world.edit(BRAND, "2", "2", name="Renamed meanwhile")
    added = world.add_station(BRAND, "2", "Added meanwhile", status=0)

    exporter.start()
    exporter.until_polled(3)
    emitted = exporter.events("station.")[1:]
    assert {(event["event"], event["venue_id"], event["station_id"]) for event in emitted} == {
        ("station.activated", "1", "3"),
        ("station.deactivated", "2", "1"),
        ("station.renamed", "2", "2"),
        ("station.added", "2", added),
        ("station.found_inactive", "2", added),
    }
    assert {event["detected"] for event in emitted} == {"after_restart"}
    assert len(emitted) == 5, "once"
    after = exporter.metrics()
    for name in ("clopos_station_transitions_total", "clopos_venue_polls_total"):
        for labels, value in before.all(name):
            assert (after.value(name, **labels) or 0) >= value, "a restart resets no counter"
    assert after.value("clopos_exporter_store_up") == 1

    silent = len(exporter.events())
    exporter.stop()
    exporter.start()
    exporter.until_polled(2)
    events = [event["event"] for event in exporter.events()[silent:]]
    assert events == ["exporter.stopped", "exporter.started", "exporter.first_round"]


def test_the_last_values_are_there_before_the_first_poll(simulator: Simulator, start: Start) -> None:
    simulator.world.set_status(BRAND, "1", "3", 0)
    exporter = start(state=STATE)
    exporter.until_ready()
    exporter.stop()
    simulator.faults.add("hang")
    exporter.start()
    samples = exporter.metrics()
    assert samples.value("clopos_station_active", brand=BRAND, venue_id="1", station_id="3") == 0
    assert len(samples.all("clopos_station_active")) == 8
    assert exporter.get("/-/ready").status == 503


def test_a_venue_that_goes_meanwhile_is_reported(simulator: Simulator, start: Start) -> None:
    exporter = start(state=STATE)
    exporter.until_ready()
    exporter.stop()
    simulator.world.remove_venue(BRAND, "2")
    simulator.world.add_venue(BRAND, "Opened meanwhile")
    exporter.start()
    exporter.until_event("venue.removed", venue_id="2")
    exporter.until_event("venue.added", venue="Opened meanwhile", detected="after_restart")
    assert not exporter.metrics().all("clopos_venue_polls_total", venue_id="2")


def test_an_outage_that_outlives_a_restart_is_reported_once(simulator: Simulator, start: Start) -> None:
    exporter = start(state=STATE)
    exporter.until_ready()
    simulator.faults.add("server_error", endpoint="stations", venue="1")
    exporter.until_event("venue.lost")
    exporter.stop()
    exporter.start()
    exporter.until_polled(2)
    assert len(exporter.events("venue.lost")) == 1
    simulator.faults.clear()
    recovered = exporter.until_event("venue.recovered")
    assert recovered["reason"] == "gateway"


def test_a_brand_that_is_no_longer_configured_leaves_nothing_behind(start: Start) -> None:
    exporter = start(state=STATE)
    exporter.until_ready()
    exporter.stop()
    text = exporter.config_file.read_text()
    exporter.configure(text.replace(f"brand: {BRAND}", "brand: another"))
    exporter.start()
    exporter.until_event("brand.login_failed", brand="another")
    assert exporter.metrics().label_values("clopos_venue_polls_total", "brand") == set()


def test_the_history_of_a_running_daemon_can_be_read(simulator: Simulator, start: Start) -> None:
    exporter = start(state=STATE)
    exporter.until_ready()
    simulator.world.set_status(BRAND, "1", "3", 0)
    simulator.world.edit(BRAND, "2", "1", name="Tandır \u202e 2")
    exporter.until_event("station.deactivated")
    exporter.until_event("station.renamed")
    path = f"--state.path={exporter.folder / 'state.db'}"

    def read() -> list[dict[str, object]]:
        answer = run("history", path, "--output=json")
        assert (answer.returncode, answer.stderr) == (0, "")
        return [json.loads(line) for line in answer.stdout.splitlines()]

    exporter.until(lambda: len(read()) == 2, "both events in the journal")
    emitted = [{**event, "timestamp": None, "level": None} for event in exporter.events("station.")]
    assert [{**row, "timestamp": None, "level": None} for row in read()] == emitted
    table = run("history", path, "--event=station.renamed")
    assert "Tandır \\u202e 2" in table.stdout
    assert table.stdout.count("\n") == 2
