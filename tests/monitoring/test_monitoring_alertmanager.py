from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

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
    assert receiver.strip() == {Audience.BUSINESS: "shift", Audience.IT: "it"}[alert.audience]


def test_every_alert_that_the_example_names_exists() -> None:
    text = CONFIG.read_text(encoding="utf-8")
    named = {word for word in text.replace('"', "|").split("|") if word.startswith("Clopos")}
    assert named <= {alert.name for alert in ALERTS}
