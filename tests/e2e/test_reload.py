"""A configuration read again: whole or not at all, and nothing of what stays is lost."""

from __future__ import annotations

import signal
import time
from typing import Any

import pytest
from harness import Exporter, Samples, Start, brand_section, configuration

from exporter.simulator import Simulator

BRAND, OTHER = "openapitest", "tandir-group"
SUCCESSFUL = "clopos_exporter_config_last_reload_successful"


@pytest.fixture
def two_brands(simulator: Simulator) -> Simulator:
    """The small Clopos with a second brand of one venue."""
    simulator.world.add_brand(OTHER)
    venue = simulator.world.add_venue(OTHER, "Qala")
    simulator.world.add_station(OTHER, venue, "Manqal", type=1)
    return simulator


def without(simulator: Simulator, brand: str, **settings: Any) -> dict[str, Any]:
    return configuration(simulator, *(slug for slug in simulator.world.brands if slug != brand), **settings)


def brands_in(samples: Samples) -> set[str]:
    return {labels["brand"] for name in samples.names for labels, _ in samples.all(name) if "brand" in labels}


@pytest.mark.slow
def test_a_brand_that_is_added_is_watched_and_the_others_go_on(two_brands: Simulator, start: Start) -> None:
    exporter = start(**without(two_brands, OTHER))
    exporter.until_ready()
    two_brands.world.set_status(BRAND, "1", "3", 0)
    exporter.until_event("station.deactivated")
    before = exporter.metrics()
    assert brands_in(before) == {BRAND}

    exporter.configure(configuration(two_brands))
    answer = exporter.reload()

    assert (answer.status, answer.text) == (200, "reloaded\n")
    exporter.until_value(1, "clopos_venue_up", brand=OTHER)
    reloaded = "clopos_exporter_config_last_reload_success_timestamp_seconds"
    exporter.until(lambda: exporter.metrics().value(reloaded) != before.value(reloaded), "time of the reload")
    after = exporter.metrics()
    for name in ("clopos_venue_polls_total", "clopos_station_transitions_total", "clopos_exporter_api_requests_total"):
        for labels, value in before.all(name):
            assert (after.value(name, **labels) or 0) >= value
    assert after.value(SUCCESSFUL) == 1
    assert (after.value(reloaded) or 0) > (before.value(reloaded) or 0)
    assert len(two_brands.traffic.entries(endpoint="auth", brand=BRAND)) == 1, "what stays keeps its token"
    assert len(exporter.events("station.")) == 1


@pytest.mark.slow
def test_a_brand_that_is_removed_is_forgotten(two_brands: Simulator, start: Start) -> None:
    exporter = start(**configuration(two_brands))
    exporter.until_ready(3)
    exporter.configure(without(two_brands, OTHER))
    exporter.send(signal.SIGHUP)
    exporter.until_event("config.reloaded")
    exporter.until(lambda: brands_in(exporter.metrics()) == {BRAND}, "its series to go")
    seen = two_brands.traffic.entries()[-1].seq
    exporter.until_polled(2)
    assert not two_brands.traffic.entries(seen, brand=OTHER)
    assert not exporter.events("venue.")


@pytest.mark.slow
def test_a_brand_that_changes_keeps_what_is_known_of_it(two_brands: Simulator, start: Start) -> None:
    exporter = start(**configuration(two_brands))
    exporter.until_ready(3)
    two_brands.world.set_status(BRAND, "1", "3", 0)
    exporter.until_event("station.deactivated")
    before = exporter.metrics()
    brands = [
        brand_section(two_brands, BRAND, ignore_stations=["3"], requests_per_minute=200),
        brand_section(two_brands, OTHER),
    ]
    exporter.configure(configuration(two_brands, brands=brands))
    assert exporter.reload().status == 200
    exporter.until_value(1, "clopos_station_ignored", brand=BRAND, venue_id="1", station_id="3")
    exporter.until_polled(2)
    after = exporter.metrics()
    for name in ("clopos_venue_polls_total", "clopos_station_transitions_total"):
        for labels, value in before.all(name):
            assert (after.value(name, **labels) or 0) >= value
    assert len(exporter.events("station.")) == 1
    assert not exporter.events("venue.")


@pytest.mark.slow
def test_the_interval_can_change_while_it_runs(simulator: Simulator, start: Start) -> None:
    exporter = start(poll_interval="1h")
    exporter.until_ready()
    exporter.configure(configuration(simulator))
    exporter.reload()
    exporter.until_polled(2)
    exporter.until_value(1, "clopos_venue_poll_interval_seconds", brand=BRAND, venue_id="1")


@pytest.mark.slow
def test_a_reload_does_not_wait_for_a_clopos_that_hangs(simulator: Simulator, start: Start) -> None:
    exporter = start()
    exporter.until_ready()
    simulator.faults.add("hang")
    exporter.until(lambda: simulator.traffic.entries()[-1].code is None, "a request that hangs")
    exporter.configure(configuration(simulator, brands=[brand_section(simulator, BRAND, requests_per_minute=200)]))
    began = time.monotonic()
    assert exporter.reload().status == 200
    assert time.monotonic() - began < 5
    simulator.faults.clear()
    exporter.until_polled(2)
    assert not exporter.events("venue."), "what was cut short by us is no failure of Clopos"


BAD = {
    "brands:\n  - brand: openapitest\n   client_id: x\n": "clopos.yml:3",
    "poll_interval: soon\nbrands: []\n": "poll_interval: 'soon' is not a duration",
    "nonsense: 1\nbrands: [{brand: x, token: y}]\n": "nonsense: is not known here",
    "brands:\n- {brand: x, token: y}\n- {brand: x, token: z}\n": "brand",
}


@pytest.mark.parametrize("number", [None, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
def test_a_bad_file_changes_nothing_and_is_reported(
    simulator: Simulator, start: Start, number: signal.Signals | None, subtests: pytest.Subtests
) -> None:
    exporter = start()
    exporter.until_ready()
    for times, (text, fault) in enumerate(BAD.items(), 1):
        with subtests.test(fault):
            exporter.configure(text)
            emitted = refuse(exporter, number, times)
            assert fault in emitted, emitted
    exporter.until_value(0, SUCCESSFUL)
    exporter.until_polled()
    assert exporter.metrics().value("clopos_venue_up", brand=BRAND, venue_id="1") == 1
    exporter.configure(configuration(simulator))
    exporter.send(signal.SIGHUP)
    exporter.until_value(1, SUCCESSFUL)


def refuse(exporter: Exporter, number: signal.Signals | None, times: int) -> str:
    """Reload by the path or a signal, and return what was said."""
    if number is None:
        answer = exporter.reload()
        assert answer.status == 400
    else:
        exporter.send(number)
    faults = exporter.until_event("config.refused", times=times)["faults"]
    if number is None:
        assert answer.text.splitlines() == faults
    return "\n".join(faults)


def test_a_setting_that_needs_a_restart_says_so(simulator: Simulator, start: Start) -> None:
    exporter = start()
    exporter.configure(configuration(simulator, state={"path": "state.db"}))
    answer = exporter.reload()
    assert answer.status == 400
    assert "state.path: cannot change while running: restart" in answer.text


@pytest.mark.slow
def test_a_start_with_a_bad_file_names_every_fault_and_ends(start: Start) -> None:
    exporter = start()
    exporter.stop()
    exporter.configure("poll_interval: soon\nnonsense: 1\nbrands:\n- {brand: x, client_id: y}\n")
    exporter.launch()
    assert exporter.wait(30) == 1
    lines = exporter.errors.splitlines()
    assert all(line.startswith("error: ") for line in lines)
    for what in ("clopos.yml:1: poll_interval", "clopos.yml:2: nonsense", "client_secret", "integrator_id"):
        assert any(what in line for line in lines), lines
