"""Clopos gone, slow or silent: what is kept and how long, and that nobody else has to wait."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from harness import Exporter, Start, brand_section, configuration

from exporter.simulator import Simulator, World

pytestmark = pytest.mark.slow

BRAND = "openapitest"
CACHED = ("clopos_station_active", "clopos_station_printable", "clopos_stations", "clopos_stations_active")
KEPT = (
    "clopos_station_transitions_total",
    "clopos_venue_last_success_timestamp_seconds",
    "clopos_venue_poll_failures_total",
    "clopos_venue_polls_total",
    "clopos_venue_up",
)


def test_last_values_go_after_a_while_and_counters_stay(simulator: Simulator, start: Start) -> None:
    exporter = start(stale_after="3s")
    exporter.until_ready()
    simulator.world.set_status(BRAND, "1", "3", 0)
    exporter.until_event("station.deactivated")
    simulator.faults.add("server_error", endpoint="stations")
    exporter.until_event("venue.lost", times=2)
    fresh = exporter.metrics()
    assert fresh.value("clopos_venue_up", brand=BRAND, venue_id="1") == 0
    assert fresh.value("clopos_station_active", brand=BRAND, venue_id="1", station_id="3") == 0
    assert len(fresh.all("clopos_station_active")) == 8

    exporter.until(lambda: not exporter.metrics().all("clopos_station_active"), "the last values to go")
    stale = exporter.metrics()
    succeeded = stale.value("clopos_venue_last_success_timestamp_seconds", brand=BRAND, venue_id="1")
    assert succeeded is not None
    assert 3 <= time.time() - succeeded < 10
    assert not [name for name in CACHED if stale.all(name)]
    for name in KEPT:
        assert [labels for labels, _ in stale.all(name)] == [labels for labels, _ in fresh.all(name)]
    assert stale.value("clopos_station_transitions_total", brand=BRAND, venue_id="1", kind="other", to="inactive") == 1
    assert len(exporter.events("venue.lost")) == 2

    simulator.faults.clear()
    exporter.until(lambda: len(exporter.metrics().all("clopos_station_active")) == 8, "the values again")
    exporter.until_event("venue.recovered", times=2)
    assert len(exporter.events("station.")) == 1, "coming back is no news of a station"


def test_what_changed_during_an_outage_is_reported_after_it(simulator: Simulator, start: Start) -> None:
    exporter = start()
    exporter.until_ready()
    simulator.stop()
    lost = exporter.until_event("venue.lost", times=2)
    assert lost["reason"] == "connection"
    simulator.world.set_status(BRAND, "1", "3", 0)
    simulator.start()
    exporter.until_event("station.deactivated")
    recovered = exporter.until_event("venue.recovered", times=2)
    assert recovered["down_for_seconds"] > 0
    assert [event["event"] for event in exporter.events("station.")] == ["station.deactivated"]


def test_a_hanging_brand_delays_no_other(tmp_path: Path) -> None:
    world = World.generate(brands=2, venues=2, stations=4)
    hanging, other = world.brands
    with Simulator(world, tiers=None) as simulator, Exporter(tmp_path, configuration(simulator)) as exporter:
        exporter.until_ready(4)
        simulator.faults.add("hang", brand=hanging)
        exporter.until(lambda: simulator.traffic.entries(brand=hanging)[-1].code is None, "a request that hangs")
        seen = simulator.traffic.entries()[-1].seq
        exporter.until_polled(5, brand=other)
        assert len(simulator.traffic.entries(seen, endpoint="stations", brand=hanging)) <= 2, "no two at a time"
        samples = exporter.metrics()
        assert (samples.value("clopos_exporter_poll_lag_seconds", brand=other) or 0) < 0.5
        assert samples.value("clopos_venue_up", brand=hanging, venue_id="1") == 1, "nothing is known to have failed yet"


def test_a_hanging_venue_delays_no_other(simulator: Simulator, start: Start) -> None:
    exporter = start()
    exporter.until_ready()
    simulator.faults.add("hang", endpoint="stations", venue="1")
    exporter.until(lambda: simulator.traffic.entries(venue="1")[-1].code is None, "a request that hangs")
    seen = simulator.traffic.entries()[-1].seq
    exporter.until_polled(4, brand=BRAND, venue_id="2")
    assert not simulator.traffic.entries(seen, venue="1"), "no two polls of one venue at a time"
    exporter.until(
        lambda: (exporter.metrics().value("clopos_exporter_polls_skipped_total", brand=BRAND) or 0) >= 3,
        "skipped polls of the hanging venue",
    )


def test_a_clopos_that_cannot_be_reached_at_all_says_why(simulator: Simulator, tmp_path: Path) -> None:
    brands = [
        {**brand_section(simulator, BRAND), "brand": name, "base_url": url, "allow_insecure_base_url": True}
        for name, url in (
            ("no-name", "http://clopos.invalid/open-api/v2"),
            ("no-tls", simulator.url.replace("http:", "https:")),
            ("no-listener", "http://127.0.0.1:9/open-api/v2"),
        )
    ]
    with Exporter(tmp_path, configuration(simulator, brands=brands)) as exporter:
        exporter.until(lambda: len(exporter.events("brand.login_failed")) == 3, "three failures")
        reasons = {event["brand"]: (event["reason"], event["message"]) for event in exporter.events("brand.")}
    assert reasons["no-name"][0] == "connection"
    assert reasons["no-tls"][0] == "tls"
    assert reasons["no-listener"] == ("connection", "127.0.0.1:9 cannot be reached: Connection refused")


def test_a_proxy_that_refuses_is_named(simulator: Simulator, tmp_path: Path) -> None:
    env = {"HTTP_PROXY": "http://person:proxy-password-1@127.0.0.1:9"}
    with Exporter(tmp_path, configuration(simulator), env=env) as exporter:
        failed = exporter.until_event("brand.login_failed")
        assert failed["reason"] == "connection"
        assert "proxy" in failed["message"]
        assert "proxy-password-1" not in exporter.log


@pytest.mark.parametrize("endpoint", ["venues", "stations"])
def test_a_redirect_is_not_followed_and_takes_no_credentials_along(
    simulator: Simulator, start: Start, endpoint: str
) -> None:
    with Simulator(World.generate(), tiers=None) as elsewhere:
        exporter = start()
        exporter.until_ready()
        simulator.faults.add("redirect", endpoint=endpoint, location=f"{elsewhere.url}/{endpoint}", code=307)
        exporter.until(
            lambda: exporter.metrics().value("clopos_exporter_poll_failures_total", brand=BRAND, reason="redirected"),
            "a redirect",
        )
        assert not elsewhere.traffic.entries()
