from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from rule_cases import CASES, chain, grill
from rule_worlds import Case, World

from exporter.metrics.families import FAMILIES
from exporter.metrics.telemetry import Telemetry
from monitoring.rules import ALERTS, GROUPS
from monitoring.rules.model import Alert, Record
from monitoring.rules.render import FILES, ROOT

RULES = ROOT / "monitoring/prometheus/clopos.rules.yml"
Program = Callable[[str], str]
RENAMED = grill("1 10:0 20:-").station("1", "Charcoal", active="- 20:0")


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def write(tests: list[dict[str, object]], folder: Path) -> Path:
    path = folder / "tests.json"  # which is YAML, and quicker to write
    path.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    return path


@pytest.mark.parametrize("path", FILES)
def test_what_is_committed_is_what_is_generated(path: str) -> None:
    assert (ROOT / path).read_text(encoding="utf-8") == FILES[path](), "run `make rules`"


@pytest.mark.parametrize("promtool", ["promtool", "promtool3"])
def test_promtool_accepts_the_rules(promtool: str, program: Program) -> None:
    assert f"{sum(len(group.rules) for group in GROUPS)} rules found" in run(program(promtool), "check", "rules", RULES)


def test_pint_finds_no_fault_in_the_rules(program: Program) -> None:
    output = run(program("pint"), "--offline", "--no-color", "lint", "--min-severity=info", "--fail-on=info", RULES)
    assert "Problems found" not in output


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.sentence)
def test_that(case: Case, tmp_path: Path, program: Program) -> None:
    run(program("promtool"), "test", "rules", write([case.as_test()], tmp_path))


@pytest.mark.slow
def test_everything_holds_in_prometheus_3_as_well(tmp_path: Path, program: Program) -> None:
    run(program("promtool3"), "test", "rules", write([case.as_test() for case in CASES], tmp_path))


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_is_seen_to_fire_and_to_stay_silent(alert: Alert) -> None:
    seen = [{one.split()[0] for one in fires} for case in CASES for fires in case.fires.values()]
    assert any(alert.name in names for names in seen)
    assert any(alert.name not in names for names in seen)


@pytest.mark.parametrize(
    ("world", "minute", "summary"),
    [
        (RENAMED, 12, "Kitchen station Grill of White City is inactive in Clopos"),
        (RENAMED, 20, "Kitchen station Charcoal of White City is inactive in Clopos"),
        (grill("1 20:-"), 25, "Station Grill of White City is gone from Clopos"),
        (chain(size=20, off=8), 12, "Kitchen stations of 8 venues of tandir turned inactive at once"),
    ],
    ids=["by its name", "by its new name", "by the name it had", "by number"],
)
def test_a_text_names_what_it_is_about(
    world: World, minute: int, summary: str, tmp_path: Path, program: Program
) -> None:
    asked = [{"eval_time": f"{minute}m", "alertname": alert.name, "exp_alerts": []} for alert in ALERTS]
    path = write([{"interval": "1m", "input_series": world.input_series(60), "alert_rule_test": asked}], tmp_path)
    # Nothing is expected, so promtool shows what it got.
    told = subprocess.run([program("promtool"), "test", "rules", path], capture_output=True, text=True, check=False)
    assert f'summary="{summary}"' in told.stdout + told.stderr


def served() -> dict[str, set[str]]:
    """Give every metric that the exporter serves, with its labels."""
    names = {family.name: set(family.scope.label_names) for family in FAMILIES}
    telemetry = Telemetry(lambda: (), lambda: True)
    own = re.findall(r"^# TYPE (\S+) ", telemetry.text(frozenset(), openmetrics=False).decode(), re.MULTILINE)
    return names | {name: {"brand", "reason", "endpoint", "code"} for name in own}


def test_every_metric_of_a_rule_is_served_or_recorded() -> None:
    rules = [rule for group in GROUPS for rule in group.rules]
    recorded = {rule.name for rule in rules if isinstance(rule, Record)}
    for rule in rules:
        used = set(re.findall(r"\b[a-z]+:[a-z_:0-9]+\b|\bclopos_[a-z_]+\b", rule.expr))
        assert used - recorded <= served().keys(), rule.name


def test_every_label_of_a_rule_is_on_a_metric() -> None:
    known = set().union(*served().values()) | {"job", "instance", "alertname", "alertstate", ""}
    for group in GROUPS:
        for rule in group.rules:
            lists = re.findall(r"\b(?:by|on|ignoring|group_left) \(([^)]*)\)", rule.expr)
            matchers = re.findall(r"\{([^}]*)\}", rule.expr)
            used = {label.strip() for text in lists for label in text.split(",")}
            used |= {label for text in matchers for label in re.findall(r"(\w+)[=!]", text)}
            assert used <= known, rule.name


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_has_its_runbook(alert: Alert) -> None:
    text = (ROOT / f"docs/runbooks/{alert.name}.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    short = ["In short", "Qısaca", "Коротко"]
    assert headings == [alert.name, *short, "Meaning", "Impact", "Diagnosis", "Remedy"]


def test_no_runbook_is_without_an_alert() -> None:
    pages = {path.stem for path in (ROOT / "docs/runbooks").glob("*.md")} - {"README"}
    assert pages == {alert.name for alert in ALERTS}
