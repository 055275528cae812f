from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from exporter.metrics.families import FAMILIES, INCIDENT_FAMILIES
from exporter.metrics.telemetry import Telemetry
from exporter.model import IncidentKind, Severity
from monitoring.dashboards import kit
from monitoring.dashboards.kit import d as dashboards  # type: ignore[attr-defined]  # imported without its warning
from monitoring.dashboards.render import BUILDERS, FOLDER, ROOT, render
from monitoring.rules import ALERTS, GROUPS
from monitoring.rules.model import Record

Program = Callable[[str], str]
LINT = ROOT / "monitoring/dashboards/.lint"
OF_ONE_BRAND = {"clopos-venue"}
NAME_COLUMNS = {"venue", "station"}
OVER_TIME = {"timeseries", "state-timeline", "status-history"}
all_dashboards = pytest.mark.parametrize("uid", BUILDERS)


def placed(uid: str) -> list[dict[str, Any]]:
    """Return the rows and panels of a dashboard with every folded row opened."""
    tops = json.loads(render(uid))["panels"]
    return [panel for top in tops for panel in (top, *top.get("panels", ()))]


def panels(uid: str, *types: str) -> list[dict[str, Any]]:
    return [panel for panel in placed(uid) if panel["type"] != "row" and (not types or panel["type"] in types)]


def expressions(uid: str) -> Iterator[tuple[str, str]]:
    """Return each query with what asks it: panels, variables and annotations."""
    document = json.loads(render(uid))
    for panel in panels(uid):
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for variable in document["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], variable["query"]
    for annotation in document["annotations"].get("list", ()):
        yield annotation["name"], annotation["expr"]


def columns(panel: dict[str, Any]) -> dict[str, str]:
    """Return the headings of a table by the labels under them."""
    headings: dict[str, str] = panel["transformations"][1]["options"]["renameByName"]
    return headings


def overrides(panel: dict[str, Any], heading: str) -> dict[str, Any]:
    rules = [rule for rule in panel["fieldConfig"]["overrides"] if rule["matcher"]["options"] == heading]
    return {found["id"]: found["value"] for rule in rules for found in rule["properties"]}


def links(panel: dict[str, Any]) -> list[str]:
    return [
        link["url"]
        for rule in panel.get("fieldConfig", {}).get("overrides", ())
        for found in rule["properties"]
        if found["id"] == "links"
        for link in found["value"]
    ]


def variables(uid: str) -> dict[str, dict[str, Any]]:
    return {variable["name"]: variable for variable in json.loads(render(uid))["templating"]["list"]}


@all_dashboards
def test_what_is_committed_is_what_is_generated(uid: str) -> None:
    assert (FOLDER / f"{uid}.json").read_text(encoding="utf-8") == render(uid), "run `make dashboards`"


def test_a_dashboard_is_committed_once_where_the_chart_packs_it() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(BUILDERS)
    assert FOLDER.is_relative_to(ROOT / "helm/clopos-exporter")
    assert not list((ROOT / "monitoring").rglob("*.json"))


@all_dashboards
def test_the_linter_finds_no_fault(uid: str, program: Program) -> None:
    done = subprocess.run(
        [program("dashboard-linter"), "lint", "--strict", f"--config={LINT}", FOLDER / f"{uid}.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@all_dashboards
def test_grafanas_own_model_reads_it(uid: str) -> None:
    dashboard = dashboards.Dashboard.from_json(json.loads(render(uid)))
    assert (dashboard.uid, dashboard.schema_version) == (uid, 42)


@all_dashboards
def test_every_panel_says_what_it_shows(uid: str) -> None:
    for panel in panels(uid):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]


@all_dashboards
def test_a_panel_without_data_says_what_that_means(uid: str) -> None:
    for panel in panels(uid):
        words = panel["fieldConfig"]["defaults"]["noValue"]
        assert words.lower() != "no data"
        assert panel["type"] == "stat" or words[-1] in ".?", panel["title"]
        if panel["type"] == "stat":
            assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0] == {"color": kit.GREY, "value": None}


@all_dashboards
def test_without_data_nothing_is_well(uid: str) -> None:
    for title, expr in expressions(uid):
        assert "vector(" not in expr, title


@all_dashboards
def test_no_panel_lies_over_another(uid: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in placed(uid):
        place = panel["gridPos"]
        columns, lines = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        cells = {(column, line) for column in columns for line in lines}
        assert not cells & taken, panel["title"]
        assert columns[-1] < 24
        taken |= cells


@all_dashboards
def test_panels_have_numbers_of_their_own_that_a_url_can_name(uid: str) -> None:
    ids = [panel["id"] for panel in placed(uid)]
    assert sorted(ids) == list(range(1, len(ids) + 1))


@all_dashboards
def test_every_graph_has_a_legend_and_a_tooltip_of_all_series(uid: str) -> None:
    for panel in panels(uid, *OVER_TIME):
        assert panel["options"]["legend"]["showLegend"] is True, panel["title"]
        assert panel["options"]["tooltip"]["mode"] == "multi", panel["title"]


@all_dashboards
def test_links_and_switches_are_not_hidden_in_a_menu(uid: str) -> None:
    document = json.loads(render(uid))
    controls = [*document["links"], *document["annotations"].get("list", ())]
    assert len(document["links"]) == len(BUILDERS) - 1
    assert not [control for control in controls if "placement" in control or control.get("hide")]


@all_dashboards
def test_no_link_to_one_venue_carries_all_brands(uid: str) -> None:
    for link in json.loads(render(uid))["links"]:
        target = link["url"].partition("?")[0].removeprefix("/d/")
        assert target in BUILDERS
        assert link["keepTime"]
        assert link["includeVars"] == (target not in OF_ONE_BRAND), link["title"]
        assert ("${prometheus_datasource:queryparam}" in link["url"]) == (target in OF_ONE_BRAND)


@all_dashboards
def test_links_of_tables_fill_variables_from_their_columns(uid: str) -> None:
    for panel in panels(uid, "table"):
        fields = {*columns(panel).values(), *panel["transformations"][0]["options"]["include"]["names"]}
        for url in links(panel):
            target = url.partition("?")[0].removeprefix("/d/")
            assert set(re.findall(r"var-(\w+)=", url)) <= variables(target).keys()
            assert set(re.findall(r"__data\.fields\.(\w+):percentencode", url)) <= fields
            assert "${__url_time_range}" in url
            assert "${prometheus_datasource:queryparam}" in url


@all_dashboards
def test_names_in_tables_lead_to_their_dashboards_with_their_brand(uid: str) -> None:
    for panel in panels(uid, "table") if uid not in OF_ONE_BRAND else ():
        for label in columns(panel).keys() & NAME_COLUMNS:
            assert "brand" in columns(panel), panel["title"]
            assert overrides(panel, columns(panel)[label])["links"], panel["title"]


@all_dashboards
def test_a_panel_that_grows_with_the_venues_is_a_table(uid: str) -> None:
    for panel in panels(uid, *OVER_TIME, "stat", "bargauge") if uid not in OF_ONE_BRAND else ():
        for target in panel["targets"]:
            assert not re.search(r"\{\{(venue|station)", target.get("legendFormat", "")), panel["title"]
            assert panel["type"] != "stat" or "legendFormat" not in target or not target["legendFormat"]


def test_every_alert_name_fits_into_its_column() -> None:
    (panel,) = [panel for panel in panels("clopos-exporter") if panel["title"] == "Firing alerts"]
    widest = max(len(alert.name) for alert in ALERTS)
    assert overrides(panel, "Alert")["custom.width"] >= 8 * widest


LETTER, CELL, TITLE = 7.6, 18, 44
"""Pixels of a letter on average, of what is around the text of a cell, and beside a title."""


def test_every_word_for_a_state_fits_into_its_column() -> None:
    checked = 0
    for uid in BUILDERS:
        for panel in panels(uid, "table"):
            for heading in columns(panel).values():
                found = overrides(panel, heading)
                words = [one["text"] for mapping in found.get("mappings", ()) for one in mapping["options"].values()]
                for text in words if "custom.width" in found else ():
                    checked += 1
                    assert len(text) * LETTER + CELL <= found["custom.width"], (panel["title"], text)
    assert checked > 20


@all_dashboards
def test_no_title_of_a_figure_is_cut_on_a_narrow_desk(uid: str) -> None:
    for panel in panels(uid, "stat"):
        assert len(panel["title"]) * LETTER + TITLE <= panel["gridPos"]["w"] * 960 / 24, panel["title"]


@pytest.mark.parametrize(("uid", "number"), [("clopos-kitchen", 9), ("clopos-brand", 8)])
def test_no_kind_of_what_is_wrong_is_drawn_in_green(uid: str, number: int) -> None:
    [panel] = [panel for panel in panels(uid) if panel["id"] == number]
    colors = [overrides(panel, kind)["color"]["fixedColor"] for kind in ("kitchen", "other")]
    assert colors == [kit.RED, kit.ORANGE]


def test_a_figure_of_stations_is_not_known_where_no_venue_is_read() -> None:
    of_stations = [
        panel["targets"][0]["expr"]
        for uid in ("clopos-kitchen", "clopos-venue")
        for panel in panels(uid, "stat")
        if panel["title"] in ("Incidents", "Kitchen inactive", "Other inactive", "Not ready", "Inactive now")
    ]
    assert len(of_stations) == 5
    assert all(re.search(r"or 0 \* count\(venue:clopos_venue_up:max\{[^}]*\} == 1\)$", expr) for expr in of_stations)


@all_dashboards
def test_shares_are_drawn_from_0_to_100_percent(uid: str) -> None:
    for panel in panels(uid):
        defaults = panel["fieldConfig"]["defaults"]
        fields = [defaults, *(overrides(panel, heading) for heading in columns(panel).values())] if (
            panel["type"] == "table"
        ) else [defaults]  # fmt: skip
        for field in fields:
            if field.get("unit") == "percentunit" and panel["type"] != "stat" and panel["title"] != "CPU":
                assert field["max"] == 1, panel["title"]


def test_full_availability_is_green() -> None:
    for uid in BUILDERS:
        for panel in panels(uid, "table"):
            for heading in columns(panel).values():
                found = overrides(panel, heading)
                if found.get("unit") == "percentunit":
                    assert found["thresholds"]["steps"][-1] == {"color": "green", "value": 0.99}
                    # The gradient of a bar begins with the color of its lowest threshold.
                    assert found["custom.cellOptions"]["mode"] == "basic"
    assert not [panel for uid in BUILDERS for panel in panels(uid, "bargauge")]


@all_dashboards
def test_minutes_stay_minutes(uid: str) -> None:
    for panel in panels(uid):
        assert '"unit": "m"' not in json.dumps(panel["fieldConfig"])
        if "Minutes" in panel["title"] or "minutes" in panel["title"]:
            assert kit.MINUTES in json.dumps(panel["fieldConfig"]), panel["title"]


@all_dashboards
def test_what_is_added_up_over_the_chosen_time_has_no_threshold(uid: str) -> None:
    for panel in panels(uid):
        fields = [panel["fieldConfig"]["defaults"]]
        if panel["type"] == "table":
            fields += [overrides(panel, heading) for heading in columns(panel).values()]
        if "increase(" in panel["targets"][0]["expr"] and "[$__range]" in panel["targets"][0]["expr"]:
            for field in fields:
                colors = {step["color"] for step in field.get("thresholds", {}).get("steps", ())}
                assert colors <= {kit.GREY, kit.BLUE, "green"}, panel["title"]


@all_dashboards
def test_a_cell_of_the_history_shows_the_time_it_stands_for(uid: str) -> None:
    for panel in panels(uid, "status-history"):
        assert "[$__interval] offset -$__interval" in panel["targets"][0]["expr"]


@all_dashboards
def test_a_rename_does_not_split_what_is_shown_over_time(uid: str) -> None:
    for panel in panels(uid, *OVER_TIME):
        for target in panel["targets"]:
            if "{{station}}" in target.get("legendFormat", ""):
                assert "max by (station_id" in target["expr"] or "min by (station_id" in target["expr"]
                assert target["expr"].count("@ end()") == 2, panel["title"]


@all_dashboards
def test_grafana_understands_the_query_of_every_variable(uid: str) -> None:
    for variable in variables(uid).values():
        if variable["type"] == "query":
            assert re.fullmatch(r"query_result\(.+\)|label_values\(.+, \w+\)", variable["query"])


@pytest.mark.parametrize("name", ["White City", 'Cafe "Central"', 'A", venue="B', "Old,Town}", "Two\nlines"])
def test_a_name_is_not_cut_at_a_quote(name: str) -> None:
    regex = variables("clopos-venue")["venue"]["regex"].strip("/").replace("(?<", "(?P<")
    found = re.search(regex, f'{{venue="{name}",venue_id="7"}} 1 1700000000000')
    assert found is not None
    assert (found["text"], found["value"]) == (name, "7")


@all_dashboards
def test_log_lines_can_be_read_and_opened(uid: str) -> None:
    (panel,) = panels(uid, "logs")
    expr = panel["targets"][0]["expr"]
    extracted = set(re.findall(r'(\w+)="\1"', expr))
    shown = set(re.findall(r"\{\{\.(\w+)\}\}", expr))
    assert shown
    assert shown | {"level"} <= extracted
    assert panel["options"]["enableLogDetails"] is True
    assert panel["options"]["wrapLogMessage"] is True


@all_dashboards
def test_what_needs_loki_is_folded_away(uid: str) -> None:
    document = json.loads(render(uid))
    assert "logs" not in {top["type"] for top in document["panels"]}
    for row in (top for top in document["panels"] if top.get("panels")):
        assert row["collapsed"]
    for annotation in document["annotations"].get("list", ()):
        assert annotation["datasource"]["type"] == "prometheus"


def test_every_kind_and_severity_of_an_incident_has_words() -> None:
    assert kit.KINDS.keys() == set(IncidentKind)
    assert kit.SEVERITIES.keys() >= set(Severity)


@all_dashboards
def test_every_metric_is_served_or_recorded(uid: str) -> None:
    telemetry = Telemetry(lambda: (), lambda: True, log_up=lambda: True)
    known = {family.name for family in (*FAMILIES, *INCIDENT_FAMILIES)}
    known |= set(re.findall(r"^# TYPE (\S+) ", telemetry.text(frozenset(), openmetrics=False).decode(), re.MULTILINE))
    known |= {rule.name for group in GROUPS for rule in group.rules if isinstance(rule, Record)}
    # Served once there is a channel or a state.
    known |= {f"clopos_exporter_notification{name}" for name in ("s_total", "_queue_length", "_channel_up")}
    known |= {"clopos_exporter_store_up"}
    for title, expr in expressions(uid):
        used = set(re.findall(r"\b(?:\w+:)?clopos_\w+(?::\w+)?", expr))
        assert {name.removesuffix("_bucket") for name in used} <= known | {"clopos_venue_next_"}, title
