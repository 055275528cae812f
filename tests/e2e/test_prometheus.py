"""A real Prometheus scrapes the real process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from alerting import Prometheus
from harness import Start, station_labels
from test_odd_data import NAMES

from exporter.simulator import Simulator

pytestmark = pytest.mark.slow

BRAND = "openapitest"


def test_prometheus_sees_what_is_there_and_forgets_what_vanishes(
    simulator: Simulator, start: Start, program: Callable[..., str], tmp_path: Path
) -> None:
    path = program("prometheus")
    names = simulator.world.add_venue(BRAND, NAMES[1], id="names")
    for name in NAMES:
        simulator.world.add_station(BRAND, names, name)
    exporter = start()
    exporter.until_ready(3)
    gone = station_labels(simulator, BRAND, "1", "3")
    with Prometheus(path, tmp_path / "prometheus", [exporter.url]) as prometheus:

        def matching(**labels: str) -> list[dict[str, str]]:
            matchers = ",".join(f'{name}="{value}"' for name, value in labels.items())
            return [found["metric"] for found in prometheus.query(f"clopos_station_active{{{matchers}}}")]

        exporter.until(lambda: matching(venue_id="names"), "the first scrape")
        [seen] = matching(**gone)
        assert {key: value for key, value in seen.items() if key not in ("instance", "job")} == {
            "__name__": "clopos_station_active",
            **gone,
        }
        assert {found["station"] for found in matching(venue_id="names")} == set(NAMES)
        assert [found["value"][1] for found in prometheus.query("up")] == ["1"]
        counter = "clopos_station_transitions"  # OpenMetrics has the suffix on the samples alone
        assert prometheus.get("/api/v1/metadata", metric=counter)["data"][counter][0]["type"] == "counter"

        simulator.world.set_status(BRAND, "1", "1", 0)
        exporter.until(
            lambda: prometheus.query('increase(clopos_station_transitions_total{to="inactive"}[30s]) > 0'),
            "a transition",
        )
        simulator.world.remove_station(BRAND, "1", "3")
        removed = exporter.until_event("station.removed")
        assert removed["station_id"] == "3"
        began = time.monotonic()
        exporter.until(lambda: not matching(**gone), "the series to go")
        assert time.monotonic() - began < 10, "at once, not after the five minutes of a series that is merely missing"

        exporter.stop()
        exporter.until(lambda: not prometheus.query("up == 1"), "up of 0")
        log = (tmp_path / "prometheus" / "log").read_text()
    worries = [line for line in log.splitlines() if "level=info" not in line]
    assert not worries
