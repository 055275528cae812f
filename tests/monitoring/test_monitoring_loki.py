from __future__ import annotations

import re
from typing import Any

import yaml

from exporter.journal import Entry
from exporter.model import Change, Event, Kind, Station, Venue
from monitoring.rules.render import ROOT

RULES = ROOT / "monitoring/loki/clopos.rules.yml"
SOURCES = [RULES, *(ROOT / "helm/clopos-exporter/files/dashboards").glob("*.json")]


def test_every_event_that_a_query_names_is_reported() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "exporter").rglob("*.py"))
    for path in SOURCES:
        for event in re.findall(r'\bevent=\\?"([a-z_.]+)\\?"', path.read_text(encoding="utf-8")):
            assert event == "event" or event in set(Event) or f'"{event}"' in code, path.name


def test_every_field_that_a_query_reads_is_in_an_event() -> None:
    station = Station("1", "Grill", Kind.KITCHEN, active=True, printable=True, created_at=None, updated_at=None)
    emitted = Entry.of(
        1, Change(Event.STATION_TOUCHED, "tandir", 0.0, Venue("tandir", "7", "White City"), station)
    ).fields()
    for path in SOURCES:
        for fields in re.findall(r"\| json ([^|]+)", path.read_text(encoding="utf-8")):
            assert set(re.findall(r'=\\?"(\w+)\\?"', fields)) <= emitted.keys() | {
                "level",
                "venue_open",
                "reason",
                "message",
                "incident",
            }, path.name


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_what_happens_to_stations_while_a_venue_is_closed_does_not_count() -> None:
    about_stations = [rule for rule in rules() if "alert" in rule and 'event="station.' in rule["expr"]]
    assert about_stations
    assert all('venue_open!="false"' in rule["expr"] for rule in about_stations)


def test_replicas_that_log_the_same_are_not_added_up() -> None:
    for rule in rules():
        counted = re.findall(r"sum by \(([^)]*)\)", rule["expr"])
        assert counted, rule
        assert all({"instance", "pod", "container"} <= set(labels.split(", ")) for labels in counted), rule
        assert rule["expr"].lstrip().startswith("max by ("), rule


def test_the_rules_are_as_complete_as_those_for_prometheus() -> None:
    for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                assert rule["labels"].keys() == {"severity", "scope", "audience"}
                page = rule["annotations"]["runbook_url"].rpartition("/")[2]
                assert (ROOT / "docs/runbooks" / page).exists()
