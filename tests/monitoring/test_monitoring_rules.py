from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from rule_cases import BY_KIND, CASES, OFF, off
from rule_worlds import Case, World

from exporter.metrics.families import FAMILIES, INCIDENT_FAMILIES
from exporter.metrics.telemetry import Telemetry
from exporter.model import IncidentKind, Topic
from monitoring.rules import ALERTS, GROUPS
from monitoring.rules.model import Alert, Record
from monitoring.rules.render import FILES, ROOT

RULES = ROOT / "helm/clopos-exporter/files/rules.yaml"
Program = Callable[[str], str]
PROCESS_KINDS = {
    IncidentKind.STATE_UNAVAILABLE: "CloposExporterStoreDown",
    IncidentKind.LOG_UNAVAILABLE: "CloposExporterLogDown",
    IncidentKind.RELOAD_FAILED: "CloposExporterReloadFailed",
    IncidentKind.CHANNEL_DOWN: "CloposNotificationChannelDown",
}
"""Kinds about one process, for which a gauge of that process stands."""


QUICK = {**os.environ, "GOGC": "400", "GOMAXPROCS": "1"}
"""Lets promtool collect its garbage seldom and alone: the other processors have tests of their own."""


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=QUICK)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def write(tests: list[dict[str, object]], folder: Path, every: str = "1m") -> Path:
    path = folder / "tests.json"  # which is YAML, and quicker to write
    # Without an order, promtool evaluates groups in a random one, and what one records for another comes a minute late.
    names = [group.name for group in GROUPS]
    head = {"rule_files": [str(RULES)], "evaluation_interval": every, "group_eval_order": names}
    path.write_text(json.dumps({**head, "tests": tests}))
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


def batches(size: int) -> list[list[Case]]:
    """Return the cases in lists: promtool takes as long to start as for a case."""
    lists = []
    for every in sorted({case.every for case in CASES}):
        alike = [case for case in CASES if case.every == every]
        lists += [alike[at : at + size] for at in range(0, len(alike), size)]
    return lists


def hold(promtool: str, cases: list[Case], folder: Path) -> None:
    run(promtool, "test", "rules", write([case.as_test() for case in cases], folder, cases[0].every))


@pytest.mark.parametrize("cases", batches(8), ids=lambda cases: f"{cases[0].sentence} and {len(cases) - 1} more")
def test_that(cases: list[Case], tmp_path: Path, program: Program) -> None:
    hold(program("promtool"), cases, tmp_path)


@pytest.mark.slow
def test_everything_holds_in_prometheus_3_as_well(tmp_path: Path, program: Program) -> None:
    for cases in batches(len(CASES)):
        hold(program("promtool3"), cases, tmp_path)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_is_seen_to_fire_and_to_stay_silent(alert: Alert) -> None:
    if alert.name == "CloposWatchdog":
        return  # its own test
    seen = [{one.split()[0] for one in fires} for case in CASES for fires in case.fires.values()]
    assert any(alert.name in names for names in seen)
    assert any(alert.name not in names for names in seen)


def test_the_watchdog_fires_in_an_empty_world(tmp_path: Path, program: Program) -> None:
    asked = {"expr": 'count(ALERTS{alertname="CloposWatchdog",alertstate="firing"})', "eval_time": "1m"}
    asked |= {"exp_samples": [{"labels": "{}", "value": 1}]}  # type: ignore[dict-item]
    test: dict[str, object] = {"interval": "1m", "input_series": [], "promql_expr_test": [asked]}
    run(program("promtool"), "test", "rules", write([test], tmp_path))


def test_what_counts_for_availability_leaves_out_what_is_closed_ignored_or_off_for_two_weeks(
    tmp_path: Path, program: Program
) -> None:
    world = World().station("3", "Oven", active=0).station("4", "Test", active=0, ignored=1)
    world.station("5", "Old", active=0).station("6", "Unclear", active="nan")
    world.venue("8", "Old Town", opened=0).station("7", "Grill", active=0, venue_id="8", venue="Old Town")
    [since] = [name for name in world.series if "inactive_since" in name and 'station="Old"' in name]
    world.series[since] = ["-1300000"] * world.minutes
    series, at = "station:clopos_station_active:open", {"brand": "tandir", "venue_id": "7"}
    expected = [("1", "kitchen", 1), ("2", "other", 1), ("3", "kitchen", 0)]
    samples = [
        {"labels": labels_of(series, **at, station_id=id_, kind=kind), "value": value} for id_, kind, value in expected
    ]
    asked = {"expr": series, "eval_time": "10m", "exp_samples": samples}
    test: dict[str, object] = {"interval": "1m", "input_series": world.input_series(20), "promql_expr_test": [asked]}
    run(program("promtool"), "test", "rules", write([test], tmp_path))


def labels_of(name: str, **labels: str) -> str:
    return name + "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}"


@pytest.mark.parametrize("kind", IncidentKind)
def test_every_kind_of_incident_has_an_alert_of_its_severity_and_audience(kind: IncidentKind) -> None:
    name = PROCESS_KINDS.get(kind) or BY_KIND[kind].split()[0]
    alert = next(alert for alert in ALERTS if alert.name == name)
    assert (alert.severity, alert.audience == "business") == (str(kind.severity), kind.topic is Topic.STATIONS)


def test_no_text_asks_prometheus_again() -> None:
    assert "| query" not in RULES.read_text(encoding="utf-8")


def test_a_command_in_a_text_reads_the_configuration_of_the_exporter() -> None:
    texts = [" ".join(alert.description.split()) for alert in ALERTS]
    commands = [text for text in texts if re.search("`clopos-exporter (check|notify)", text)]
    assert len(commands) > 1
    assert all("with the same --config.file" in text for text in commands)


def test_an_alert_for_the_restaurants_carries_their_languages() -> None:
    for alert in ALERTS:
        annotations = alert.as_dict()["annotations"]
        assert ({"az", "ru"} <= annotations.keys()) is (alert.audience == "business"), alert.name


@pytest.mark.parametrize(
    ("world", "summary"),
    [
        (off(), "Kitchen station Grill of White City is inactive in Clopos"),
        (
            World().incident(IncidentKind.STATION_NOT_READY, OFF),
            "Every station of White City is not ready for opening",
        ),
    ],
    ids=["a station", "a venue"],
)
def test_a_text_names_what_it_is_about(world: World, summary: str, tmp_path: Path, program: Program) -> None:
    asked = [{"eval_time": "12m", "alertname": alert.name, "exp_alerts": []} for alert in ALERTS]
    path = write([{"interval": "1m", "input_series": world.input_series(60), "alert_rule_test": asked}], tmp_path)
    # Nothing is expected, so promtool shows what it got.
    done = subprocess.run([program("promtool"), "test", "rules", path], capture_output=True, text=True, check=False)
    assert f'summary="{summary}"' in done.stdout + done.stderr


def test_the_alert_of_the_readme_fires_for_a_kitchen_that_is_inactive_and_open(
    tmp_path: Path, program: Program
) -> None:
    [text] = re.findall(r"```yaml\n(- alert:.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert text.count("\n") == 5
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "own", "rules": yaml.safe_load(text)}]}))
    world = World().station("1", "Grill", active="1 10:0 20:1").station("2", "Bar", kind="other", active=0)
    world.station("3", "Oven", active="1 10:nan").venue("8", "Old Town", opened=0)
    world.station("4", "Grill", active=0, venue_id="8", venue="Old Town")
    labels = {"brand": "tandir", "venue_id": "7", "venue": "White City", "station_id": "1", "station": "Grill"}
    fires = {
        "exp_labels": {**labels, "kind": "kitchen", "job": "clopos", "instance": "a"},
        "exp_annotations": {"summary": "Grill of White City is inactive in Clopos"},
    }
    test = {
        "interval": "1m",
        "input_series": world.input_series(60),
        "alert_rule_test": [
            {"eval_time": f"{minute}m", "alertname": "KitchenStationInactive", "exp_alerts": expected}
            for minute, expected in {11: [], 12: [fires], 19: [fires], 20: []}.items()
        ],
    }
    path = tmp_path / "tests.json"
    path.write_text(json.dumps({"rule_files": ["rules.yml"], "evaluation_interval": "1m", "tests": [test]}))
    for promtool in ("promtool", "promtool3"):
        run(program(promtool), "test", "rules", path)


LATER: dict[str, set[str]] = {
    "clopos_exporter_notification_channel_up": {"channel"},
    "clopos_exporter_web_certificate_expiry_timestamp_seconds": set(),
}
"""Metrics that are served once there is something to say."""


def served() -> dict[str, set[str]]:
    """Return every metric that the exporter serves, with its labels."""
    names = {family.name: set(family.scope.label_names) for family in (*FAMILIES, *INCIDENT_FAMILIES)}
    telemetry = Telemetry(lambda: (), lambda: True, log_up=lambda: True)
    own = re.findall(r"^# TYPE (\S+) ", telemetry.text(frozenset(), openmetrics=False).decode(), re.MULTILINE)
    return names | {name: {"brand", "reason", "endpoint", "code"} for name in own} | LATER


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
