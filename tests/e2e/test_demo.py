"""What `make demo` starts."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from harness import Exporter

pytestmark = pytest.mark.slow


def test_the_demo_prints_addresses_that_work_and_lets_stations_change(tmp_path: Path) -> None:
    with Exporter(tmp_path, command="demo") as exporter:
        exporter.until_ready(6)
        urls = dict(re.findall(r"^ +(\w+) +(http://\S+)$", exporter.errors, re.MULTILINE))
        assert urls == {
            "metrics": f"{exporter.url}/metrics",
            "page": f"{exporter.url}/",
            "simulator": urls["simulator"],
        }
        assert exporter.get("/metrics").status == exporter.get("/").status == 200
        samples = exporter.metrics()
        assert len(samples.label_values("clopos_brand_up", "brand")) == 2
        assert len(samples.all("clopos_station_active")) == 36
        assert samples.all("clopos_venue_open")
        exporter.until(lambda: exporter.events("station."), "a change")
        exporter.until(
            lambda: re.search(r"^  message    .+ inactive since ", exporter.errors, re.MULTILINE), "a message"
        )
        exporter.send(signal.SIGINT)
        assert exporter.wait(5) == 0
    assert exporter.events()[-1]["event"] == "exporter.stopped"
