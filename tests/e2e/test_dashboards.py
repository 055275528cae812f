"""Every query of every dashboard against a real Prometheus that has scraped the real exporter."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from alerting import ROOT, Prometheus, until
from harness import Exporter, configuration

from exporter.simulator import Simulator, Tiers, World

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("alerting")]

BRAND = "tandir-group"
OPEN, CLOSED, TROUBLED = "1", "2", "3"
GRILL, BAR, FRYER = "1", "2", "3"
DASHBOARDS = sorted(path.stem for path in (ROOT / "helm/clopos-exporter/files/dashboards").glob("*.json"))
VARIABLES = {
    "$__rate_interval": "10s",
    "$__interval": "5s",
    "$__range": "5m",
    '"$brand"': f'"{BRAND}"',
    '"$venue"': f'"{TROUBLED}"',
    '"$station"': '".*"',
}


def around(now: datetime, opens: timedelta, closes: timedelta) -> str:
    """Return opening hours by their distance from now."""
    return f"{now + opens:%H:%M}-{now + closes:%H:%M}"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, program: Callable[..., str]) -> Iterator[Prometheus]:
    found = program("prometheus")
    folder = tmp_path_factory.mktemp("dashboards")
    world = World()
    world.add_brand(BRAND)
    for name in ("White City", "Old Town", "Seaside"):
        venue = world.add_venue(BRAND, name)
        for station, kind in (("Grill", 1), ("Bar", 0), ("Fryer", 1)):
            world.add_station(BRAND, venue, station, type=kind)
    now = datetime.now(UTC)
    hours = around(now, timedelta(hours=-2), timedelta(hours=3))
    later = around(now, timedelta(minutes=20), timedelta(hours=3))
    overrides = {CLOSED: {"opening_hours": later}, TROUBLED: {"ignore_stations": ["Fryer"]}}
    with ExitStack() as stack:
        simulator = stack.enter_context(Simulator(world, tiers=Tiers(brand=1000)))
        brand = {**simulator.credentials(BRAND), "base_url": simulator.url, "requests_per_minute": 300}
        brand |= {"opening_hours": hours, "time_zone": "UTC", "venue_overrides": overrides}
        config = configuration(
            simulator, brands=[brand], state={"path": str(folder / "state.db")}, incidents={"delay": "5s"}
        )
        exporter = stack.enter_context(Exporter(folder / "exporter", config))
        exporter.until_ready(3, seconds=60)
        server = stack.enter_context(Prometheus(found, folder / "prometheus", [exporter.url]))
        # A counter that is first scraped after it moved has not increased.
        scraped = "count_over_time(clopos_station_transitions_total[1m]) > 2"
        until(lambda: len(server.query(scraped)) >= 3, "scrapes before the changes", 60)
        world.set_status(BRAND, CLOSED, GRILL, 0)
        world.set_status(BRAND, TROUBLED, BAR, 0)
        world.set_status(BRAND, TROUBLED, GRILL, 0)
        stack.enter_context(simulator.faults.during("status", code=503, venue=OPEN, endpoint="stations"))
        until(lambda: server.firing(audience="business"), "alert", 90)
        time.sleep(20)
        yield server


def filled(expr: str) -> str:
    for variable, value in VARIABLES.items():
        expr = expr.replace(variable, value)
    assert "$" not in expr, expr
    return expr


def targets(uid: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for panel in json.loads((ROOT / f"helm/clopos-exporter/files/dashboards/{uid}.json").read_text(encoding="utf-8"))[
        "panels"
    ]:
        for target in panel.get("targets", ()):
            if target["datasource"]["type"] == "prometheus":
                yield panel["title"], target


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_every_target_returns_data(uid: str, prometheus: Prometheus) -> None:
    empty = []
    for title, target in targets(uid):
        if target.get("instant"):
            result = prometheus.query(filled(target["expr"]))
        else:
            now = time.time()
            span = {"start": str(now - 30), "end": str(now), "step": "5"}
            result = prometheus.get("/api/v1/query_range", query=filled(target["expr"]), **span)["data"]["result"]
        if not result:
            empty.append((title, target["expr"]))
    assert empty == []


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_every_legend_and_column_is_a_label_of_the_data(uid: str, prometheus: Prometheus) -> None:
    for title, target in targets(uid):
        labels = {label for series in prometheus.query(filled(target["expr"])) for label in series["metric"]}
        named = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
        assert named <= labels, title


def test_variables_offer_names_and_stand_for_ids(prometheus: Prometheus) -> None:
    text = (ROOT / "helm/clopos-exporter/files/dashboards/clopos-venue.json").read_text(encoding="utf-8")
    offered = {}
    for variable in json.loads(text)["templating"]["list"]:
        if found := re.fullmatch(r"query_result\((.*)\)", str(variable.get("query", ""))):
            regex = variable["regex"].strip("/").replace("(?<", "(?P<")
            for series in prometheus.query(filled(found[1])):
                shown = ", ".join(f'{key}="{value}"' for key, value in sorted(series["metric"].items()))
                option = re.search(regex, f"{{{shown}}} 1 1700000000000")
                assert option is not None
                offered[option["text"]] = option["value"]
    assert offered == {
        "White City": OPEN, "Old Town": CLOSED, "Seaside": TROUBLED, "Grill": GRILL, "Bar": BAR, "Fryer": FRYER,
    }  # fmt: skip
