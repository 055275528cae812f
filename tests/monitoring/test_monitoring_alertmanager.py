from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from monitoring.rules import ALERTS
from monitoring.rules.model import Alert, Audience, Scope
from monitoring.rules.render import ROOT

CONFIG = ROOT / "monitoring/alertmanager/alertmanager.yml"
Program = Callable[[str], str]


def amtool(program: Program, *arguments: str) -> str:
    done = subprocess.run([program("amtool"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_amtool_accepts_the_example(program: Program) -> None:
    assert "SUCCESS" in amtool(program, "check-config", str(CONFIG))


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_goes_to_those_who_can_help(alert: Alert, program: Program) -> None:
    labels = [f"{key}={value}" for key, value in alert.as_dict()["labels"].items()]
    receiver = amtool(
        program, "config", "routes", "test", f"--config.file={CONFIG}", f"alertname={alert.name}", *labels
    )
    by_audience = {Audience.BUSINESS: "shift", Audience.IT: "it"}[alert.audience]
    alone = {"CloposWatchdog": "watchdog", "CloposStationStillInactive": "nobody"}
    assert receiver.strip() == alone.get(alert.name, by_audience)


def test_an_alert_of_somebody_else_falls_through(program: Program) -> None:
    labels = ["alertname=NodeDown", "audience=business", "severity=critical"]
    receiver = amtool(program, "config", "routes", "test", f"--config.file={CONFIG}", *labels)
    assert receiver.strip() == "other"


def test_nothing_is_inhibited_across_audiences() -> None:
    audiences = {alert.name: alert.audience for alert in ALERTS}
    for rule in yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["inhibit_rules"]:
        names = re.findall(r"Clopos\w+", str(rule))
        assert len({audiences[name] for name in names}) == 1, names


def test_every_alert_that_the_example_names_exists() -> None:
    text = CONFIG.read_text(encoding="utf-8")
    named = set(re.findall(r"\bClopos\w+", text)) - {"Clopos"}
    assert named <= {alert.name for alert in ALERTS}


def test_every_group_of_alerts_has_one_severity() -> None:
    [ours] = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["route"]["routes"]
    assert "severity" in ours["group_by"]
    own = [route for route in ours["routes"] if "group_by" in route]
    assert [route["matchers"] for route in own] == [['severity="info"']], "which is one severity"


def test_times_are_local_ones() -> None:
    template = (CONFIG.parent / "templates/clopos.tmpl").read_text(encoding="utf-8")
    assert set(re.findall(r"\.(?:Starts|Ends)At\.(\w+)", template)) == {"Local"}


def rendered(program: Program, folder: Path, template: str, labels: dict[str, str], **annotations: str) -> str:
    """Render a message about one alert that fires, as Alertmanager does in Baku."""
    annotations = {"summary": "Summary.", "description": "Down.", **annotations}
    alert = {"status": "firing", "labels": labels, "annotations": annotations, "startsAt": "2026-11-27T08:00:00Z"}
    data = {"receiver": "it", "status": "firing", "alerts": [alert], "commonLabels": {}, "groupLabels": {}}
    path = folder / "alerts.json"
    path.write_text(json.dumps(data))
    templates = f"--template.glob={CONFIG.parent}/templates/*.tmpl"
    text = f'--template.text={{{{ template "{template}" . }}}}'
    done = subprocess.run(
        [program("amtool"), "template", "render", templates, text, f"--template.data={path}"],
        env={"TZ": "Asia/Baku"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_time_of_day_in_a_message_is_that_of_the_time_zone_of_alertmanager(program: Program, tmp_path: Path) -> None:
    text = rendered(program, tmp_path, "clopos.it", {"alertname": "CloposExporterDown", "severity": "critical"})
    assert "since 12:00 +04" in text


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("CloposKitchenStationInactive", "clopos-venue?var-brand=tandir+group&var-venue=7&var-station=1"),
        ("CloposVenueNoActiveStation", "clopos-venue?var-brand=tandir+group&var-venue=7"),
        ("CloposManyVenuesInactive", "clopos-kitchen?var-brand=tandir+group"),
        ("CloposVenueDataStale", "clopos-exporter?var-brand=tandir+group"),
        ("CloposExporterDown", "clopos-exporter"),
    ],
)
def test_a_message_leads_to_the_dashboard_and_the_runbook_of_its_alert(
    name: str, address: str, program: Program, tmp_path: Path
) -> None:
    alert = next(alert for alert in ALERTS if alert.name == name)
    ids = {"brand": "tandir group", "venue_id": "7", "station_id": "1"}
    known = [Scope.EXPORTER, Scope.BRAND, Scope.VENUE, Scope.STATION].index(alert.scope)
    labels = {"alertname": name, **alert.as_dict()["labels"], **dict(list(ids.items())[:known])}
    assert rendered(program, tmp_path, "clopos.link", labels) == f"https://grafana.example.com/d/{address}"
    for template in ("clopos.it", "clopos.shift"):
        assert f"https://clopos-exporter.example.com/runbooks/{name}.md" in rendered(
            program, tmp_path, template, labels
        )


def test_links_that_an_alert_has_of_its_own_are_taken(program: Program, tmp_path: Path) -> None:
    labels = {"alertname": "CloposStationTouchedOften", "audience": "it"}
    own = {"runbook_url": "https://wiki.test/stations", "dashboard_url": "https://graphs.test/d/own"}
    assert rendered(program, tmp_path, "clopos.link", labels, **own) == own["dashboard_url"]
    text = rendered(program, tmp_path, "clopos.it", labels, **own)
    assert own["runbook_url"] in text
    assert "example.com" not in text
