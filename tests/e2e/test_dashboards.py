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
from alerting import Prometheus, until
from harness import Exporter, configuration
from receivers import Service

from exporter.simulator import Simulator, Tiers, World
from monitoring.dashboards.render import FOLDER

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("dashboards")]

BRAND = "tandir-group"
OPEN, CLOSED, TROUBLED = "1", "2", "3"
GRILL, BAR, FRYER, TANDIR = "1", "2", "3", "4"
RENAMED = 'Tandir "new"'
DASHBOARDS = sorted(path.stem for path in FOLDER.glob("*.json"))
OPTIONAL = {"Value", "channel", "instance"}
"""What is no label, and what only some alerts have."""
VARIABLES = {
    "$__rate_interval": "10s",
    "$__interval": "5s",
    "$__range": "5m",
    '"$brand"': f'"{BRAND}"',
    '"$brand|"': f'"{BRAND}|"',
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
        for station, kind in (("Grill", 1), ("Bar", 0), ("Fryer", 1), ("Tandir", 1)):
            world.add_station(BRAND, venue, station, type=kind)
    now = datetime.now(UTC)
    hours = around(now, timedelta(hours=-2), timedelta(hours=3))
    later = around(now, timedelta(minutes=20), timedelta(hours=3))
    overrides = {CLOSED: {"opening_hours": later}, TROUBLED: {"ignore_stations": ["Fryer"]}}
    with ExitStack() as stack:
        channel = stack.enter_context(Service())
        simulator = stack.enter_context(Simulator(world, tiers=Tiers(brand=1000)))
        brand = {**simulator.credentials(BRAND), "base_url": simulator.url, "requests_per_minute": 300}
        brand |= {"opening_hours": hours, "time_zone": "UTC", "venue_overrides": overrides}
        config = configuration(
            simulator,
            brands=[brand],
            stale_after="5s",
            state={"path": str(folder / "state.db")},
            incidents={"delay": "5s"},
            notifications={"group_wait": "1s", "channels": [{"name": "shift", "url": channel.json_url}]},
        )
        exporter = stack.enter_context(Exporter(folder / "exporter", config))
        exporter.until_ready(3, seconds=60)
        server = stack.enter_context(Prometheus(found, folder / "prometheus", [exporter.url]))
        # A counter that is first scraped after it moved has not increased.
        scraped = "count_over_time(clopos_station_transitions_total[1m]) > 2"
        until(lambda: len(server.query(scraped)) >= 3, "scrapes before the changes", 60)
        world.edit(BRAND, TROUBLED, TANDIR, name=RENAMED)
        world.set_status(BRAND, CLOSED, GRILL, 0)
        world.set_status(BRAND, TROUBLED, BAR, 0)
        world.set_status(BRAND, TROUBLED, GRILL, 0)
        stack.enter_context(simulator.faults.during("status", code=503, venue=OPEN, endpoint="stations"))
        until(lambda: server.firing(audience="business"), "alert", 90)
        about_a_venue = 'ALERTS{alertstate="firing",audience="it",venue!=""}'
        until(lambda: server.query(about_a_venue), "alert for IT about a venue", 120)
        time.sleep(20)
        yield server


def filled(expr: str) -> str:
    for variable, value in VARIABLES.items():
        expr = expr.replace(variable, value)
    assert "$" not in expr, expr
    return expr


def dashboard(uid: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{uid}.json").read_text(encoding="utf-8"))
    return found


def targets(uid: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for panel in dashboard(uid)["panels"]:
        for target in panel.get("targets", ()):
            if target["datasource"]["type"] == "prometheus":
                yield panel["title"], target


def asked(prometheus: Prometheus, target: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what Grafana gets for a target: now, or for the last half minute."""
    expr = filled(target["expr"])
    if target.get("instant"):
        return prometheus.query(expr)
    now = time.time()
    span = {"start": str(now - 30), "end": str(now), "step": "5"}
    found: list[dict[str, Any]] = prometheus.get("/api/v1/query_range", query=expr, **span)["data"]["result"]
    return found


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_every_target_returns_data(uid: str, prometheus: Prometheus) -> None:
    empty = []
    for title, target in targets(uid):
        if not asked(prometheus, target):
            empty.append((title, target["expr"]))
    assert empty == []


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_every_legend_and_column_is_a_label_of_the_data(uid: str, prometheus: Prometheus) -> None:
    for panel in dashboard(uid)["panels"]:
        for target in panel.get("targets", ()):
            labels = {label for series in asked(prometheus, target) for label in series["metric"]}
            named = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
            if panel["type"] == "table":
                named |= set(panel["transformations"][0]["options"]["include"]["names"]) - OPTIONAL
            assert named <= labels, panel["title"]


@pytest.mark.parametrize("uid", DASHBOARDS)
def test_a_number_is_one_number_however_many_venues_there_are(uid: str, prometheus: Prometheus) -> None:
    for panel in dashboard(uid)["panels"]:
        if panel["type"] == "stat":
            (target,) = panel["targets"]
            assert len(prometheus.query(filled(target["expr"]))) == 1, panel["title"]


def test_a_renamed_station_is_one_band_under_its_new_name(prometheus: Prometheus) -> None:
    (panel,) = [panel for panel in dashboard("clopos-venue")["panels"] if panel["title"] == "Stations"]
    now = time.time()
    span = {"start": str(now - 90), "end": str(now), "step": "1"}
    query = filled(panel["targets"][0]["expr"])
    found = prometheus.get("/api/v1/query_range", query=query, **span)["data"]["result"]
    assert sorted((series["metric"]["station_id"], series["metric"]["station"]) for series in found) == [
        (GRILL, "Grill"), (BAR, "Bar"), (FRYER, "Fryer"), (TANDIR, RENAMED),
    ]  # fmt: skip
    (before,) = prometheus.query(f'min_over_time(clopos_station_active{{station="Tandir",venue_id="{TROUBLED}"}}[5m])')
    assert before["metric"]["station_id"] == TANDIR


def test_incidents_are_marked_in_the_graphs_of_their_venue(prometheus: Prometheus) -> None:
    (annotation,) = dashboard("clopos-venue")["annotations"]["list"]
    assert {"Grill", "Bar"} & {
        series["metric"].get("station") for series in prometheus.query(filled(annotation["expr"]))
    }


def test_variables_offer_names_and_stand_for_ids(prometheus: Prometheus) -> None:
    offered = {}
    for variable in dashboard("clopos-venue")["templating"]["list"]:
        if found := re.fullmatch(r"query_result\((.*)\)", str(variable.get("query", ""))):
            regex = variable["regex"].strip("/").replace("(?<", "(?P<")
            for series in prometheus.query(filled(found[1])):
                shown = ",".join(f'{key}="{value}"' for key, value in sorted(series["metric"].items()))
                option = re.search(regex, f"{{{shown}}} 1 1700000000000")
                assert option is not None
                offered[option["text"]] = option["value"]
    assert offered == {
        "White City": OPEN, "Old Town": CLOSED, "Seaside": TROUBLED, "Grill": GRILL, "Bar": BAR, "Fryer": FRYER,
        RENAMED: TANDIR,
    }  # fmt: skip
