"""Everything that rules and dashboards name is in a real scrape of the real process."""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from alerting import Prometheus
from harness import Exporter, brand_section, configuration

from exporter.simulator import Simulator, World
from monitoring.dashboards.render import BUILDERS, render
from monitoring.rules import GROUPS

pytestmark = pytest.mark.slow

BRAND = "openapitest"
NAME = re.compile(r"\b(?:[a-z]+:)?clopos_[a-z0-9_:]+\b|\bup\b|\bprocess_start_time_seconds\b|\bALERTS\b")
LISTS = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")
BY_PROMETHEUS = {"job", "instance", "__name__", "alertname", "alertstate"}


ELSEWHERE = {"clopos_exporter_web_certificate_expiry_timestamp_seconds"}
"""What only an exporter with TLS has."""


def everything_wrong(simulator: Simulator) -> dict[str, Any]:
    """Configure all that has metrics, with two channels that do not exist."""
    brand = brand_section(simulator, BRAND, opening_hours="Mo-Su 00:00-23:59", time_zone="Asia/Baku")
    brand["venue_overrides"] = {"2": {"ignore_stations": ["4"]}}
    dead = {"url": "json://127.0.0.1:1/", "topics": ["stations", "service"]}
    return configuration(
        simulator,
        brands=[brand],
        state={"path": "state.db"},
        incidents={"delay": "1s"},
        notifications={"group_wait": "1s", "channels": [{"name": "shift", **dead}, {"name": "it", **dead}]},
    )


def strings(value: Any, *keys: str) -> Iterator[str]:
    """Yield the texts under these keys, wherever they are."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in keys and isinstance(inner, str):
                yield inner
            yield from strings(inner, *keys)
    elif isinstance(value, list):
        for inner in value:
            yield from strings(inner, *keys)


def queries() -> Iterator[tuple[str, str]]:
    """Yield every PromQL expression with where it is from."""
    for group in GROUPS:
        for rule in group.rules:
            yield rule.name, rule.expr
    for uid in BUILDERS:
        for text in strings(json.loads(render(uid)), "expr", "query"):
            if "| json" not in text and not text.startswith("{"):
                yield uid, text


def missing(served: dict[str, set[str]]) -> set[str]:
    """Return what queries name and no series has."""
    found = set()
    for place, query in queries():
        names = set(NAME.findall(re.sub(r'"[^"]*"', '""', query)))
        found |= {f"{place}: {name}" for name in names - served.keys() - ELSEWHERE}
        for name in names & served.keys():
            for matchers in re.findall(rf"\b{name}\{{([^}}]*)\}}", query):
                labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))
                found |= {f"{place}: {name} has no {label}" for label in labels - served[name] - BY_PROMETHEUS}
        known = BY_PROMETHEUS.union(*(served.get(name, set()) for name in names), {"shard"})
        labels = {label.strip() for text in LISTS.findall(query) for label in text.split(",")} - {""}
        found |= {f"{place}: no metric has {label}" for label in labels - known}
    return found


def test_a_real_scrape_has_every_metric_and_label_of_rules_and_dashboards(
    tmp_path: Path, program: Callable[..., str]
) -> None:
    path = program("prometheus")
    with (
        Simulator(World.generate(venues=2, stations=4)) as simulator,
        Exporter(tmp_path / "exporter", everything_wrong(simulator)) as exporter,
        Prometheus(path, tmp_path / "prometheus", [exporter.url]) as prometheus,
    ):
        simulator.world.serve_raw(BRAND, "2", "1", '{"name":"No id"}')
        exporter.until_ready()
        kitchen = next(str(row["id"]) for row in simulator.world.stations(BRAND, "1") if row["type"])
        simulator.world.set_status(BRAND, "1", kitchen, 0)
        exporter.until(lambda: prometheus.query("incident:clopos_incident:seen_timestamp_seconds"), "an alert")
        simulator.world.set_status(BRAND, "1", kitchen, 1)
        exporter.until(lambda: prometheus.query("incident:clopos_incident:ended"), "the end of it")
        simulator.world.set_status(BRAND, "1", kitchen, 0)
        exporter.until_event("incident.firing", times=2, station_id=kitchen)
        simulator.faults.add("server_error", endpoint="stations")
        exporter.until_event("incident.firing", incident="channel_down", times=2, seconds=150)

        def served() -> dict[str, set[str]]:
            labels: defaultdict[str, set[str]] = defaultdict(set)
            for series in prometheus.get("/api/v1/series", **{"match[]": '{__name__!=""}'})["data"]:
                labels[series["__name__"]] |= series.keys()
            return labels

        end = time.monotonic() + 60
        while (left := missing(served())) and time.monotonic() < end:
            time.sleep(1)
        assert left == set()
        assert prometheus.query("up == 1")
        own = requests.get(f"{prometheus.url}/metrics", timeout=30).text
        [twice] = re.findall(r"^prometheus_target_scrapes_sample_duplicate_timestamp_total (\S+)", own, re.MULTILINE)
        assert float(twice) == 0
