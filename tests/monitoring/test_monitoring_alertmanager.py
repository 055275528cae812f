from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

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
    assert receiver.strip() == ("watchdog" if alert.name == "CloposWatchdog" else by_audience)


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
