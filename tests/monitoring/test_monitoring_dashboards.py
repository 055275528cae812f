from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from exporter.metrics.families import FAMILIES
from monitoring.dashboards.kit import d as dashboards  # type: ignore[attr-defined]  # imported without its warning
from monitoring.dashboards.render import BUILDERS, FOLDER, ROOT, render
from monitoring.rules import ALERTS, GROUPS
from monitoring.rules.model import Record

Program = Callable[[str], str]


def placed(uid: str) -> list[dict[str, Any]]:
    """Return the rows and panels of a dashboard with every folded row opened."""
    tops = json.loads(render(uid))["panels"]
    return [panel for top in tops for panel in (top, *top.get("panels", ()))]


def panels(uid: str) -> list[dict[str, Any]]:
    return [panel for panel in placed(uid) if panel["type"] != "row"]


@pytest.mark.parametrize("uid", BUILDERS)
def test_what_is_committed_is_what_is_generated(uid: str) -> None:
    assert (ROOT / FOLDER / f"{uid}.json").read_text(encoding="utf-8") == render(uid), "run `make dashboards`"


@pytest.mark.parametrize("uid", BUILDERS)
def test_the_linter_finds_no_fault(uid: str, program: Program) -> None:
    path = ROOT / f"helm/clopos-exporter/files/dashboards/{uid}.json"
    done = subprocess.run(
        [program("dashboard-linter"), "lint", "--strict", path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("uid", BUILDERS)
def test_grafanas_own_model_reads_it(uid: str) -> None:
    dashboard = dashboards.Dashboard.from_json(json.loads(render(uid)))
    assert (dashboard.uid, dashboard.schema_version) == (uid, 42)


@pytest.mark.parametrize("uid", BUILDERS)
def test_every_panel_says_what_it_shows(uid: str) -> None:
    for panel in panels(uid):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]


@pytest.mark.parametrize("uid", BUILDERS)
def test_no_panel_lies_over_another(uid: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in placed(uid):
        place = panel["gridPos"]
        columns, lines = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        cells = {(column, line) for column in columns for line in lines}
        assert not cells & taken, panel["title"]
        assert columns[-1] < 24
        taken |= cells


@pytest.mark.parametrize("uid", BUILDERS)
def test_what_needs_loki_is_folded_away(uid: str) -> None:
    tops = json.loads(render(uid))["panels"]
    assert "logs" in {panel["type"] for panel in panels(uid)}
    assert "logs" not in {top["type"] for top in tops}
    for row in (top for top in tops if top.get("panels")):
        assert row["collapsed"]


@pytest.mark.parametrize("uid", BUILDERS)
def test_every_metric_of_a_panel_is_served_or_recorded(uid: str) -> None:
    known = {family.name for family in FAMILIES}
    known |= {rule.name for group in GROUPS for rule in group.rules if isinstance(rule, Record)}
    for panel in panels(uid):
        for target in panel["targets"]:
            used = re.findall(r"\b(?:\w+:clopos_[\w:]+|clopos_(?:station|venue|brand)s?_\w+)\b", target["expr"])
            assert set(used) <= known | {"clopos_venue_next_"}, panel["title"]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_leads_to_a_dashboard_and_fills_its_variables(alert: Any) -> None:
    address = re.fullmatch(r"https://[\w.]+/d/([\w-]+)(?:\?(.*))?", alert.dashboard_url)
    assert address is not None
    variables = {variable["name"] for variable in json.loads(render(address[1]))["templating"]["list"]}
    assert set(re.findall(r"var-(\w+)=", address[2] or "")) <= variables
