from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from monitoring.rules import ALERTS
from monitoring.rules.model import Alert, Audience
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


def test_a_time_of_day_in_a_message_is_that_of_the_time_zone_of_alertmanager(program: Program, tmp_path: Path) -> None:
    templates = f"--template.glob={CONFIG.parent}/templates/*.tmpl"
    alerts = [
        {
            "status": "firing",
            "labels": {"alertname": "CloposExporterDown", "severity": "critical"},
            "annotations": {"description": "Down."},
            "startsAt": "2026-11-27T08:00:00Z",
        }
    ]
    data = {"receiver": "it", "status": "firing", "alerts": alerts, "commonLabels": {}, "groupLabels": {}}
    path = tmp_path / "alerts.json"
    path.write_text(json.dumps(data))
    text = '--template.text={{ template "clopos.it" . }}'
    done = subprocess.run(
        [program("amtool"), "template", "render", templates, text, f"--template.data={path}"],
        env={"TZ": "Asia/Baku"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "since 12:00 +04" in done.stdout, done.stderr
