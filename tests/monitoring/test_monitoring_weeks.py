"""Simulated days: the alerts that ship are, minute by minute, the incidents of the exporter."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml
from rule_cases import BY_KIND
from test_weeks import DAY, Period, Weeks, played

from exporter.model import Change, Event
from exporter.outbox import IncidentKey, key
from monitoring.rules.render import ROOT

RULES = ROOT / "helm/clopos-exporter/files/rules.yaml"
HELD_SECONDS = 840
"""For how long the rules hold what was said by an exporter that is not scraped; it is a quarter of an hour at most."""

Series = dict[str, list[str]]


def series_of(weeks: Weeks, minutes: int) -> Series:
    """Return what an exporter served minute by minute."""
    truth, begin = weeks.truth, weeks.truth.begin
    away = [any(one.begin <= begin + 60.0 * m < one.end for one in truth.restarts) for m in range(minutes)]
    served: Series = {'up{job="clopos",instance="a"}': ["0" if gone else "1" for gone in away]}

    def put(name: str, labels: dict[str, str], at: Callable[[float], str]) -> None:
        pairs = {"job": "clopos", "instance": "a", "brand": "tandir-group", **labels}
        text = name + "{" + ",".join(f'{label}="{value}"' for label, value in pairs.items() if value) + "}"
        values = ["-" if away[m] else at(begin + 60.0 * m) for m in range(minutes)]
        before = served.get(text, ["-"] * minutes)
        served[text] = [new if new != "-" else old for new, old in zip(values, before, strict=True)]

    put("clopos_brand_up", {}, lambda _: "1")
    for venue in truth.venues:
        lost = [period for period, some in truth.outages if venue in some]
        put(
            "clopos_venue_up",
            {"venue_id": venue, "venue": f"Venue {venue}"},
            lambda at, lost=lost: "0" if any(one.begin <= at < one.end for one in lost) else "1",  # type: ignore[misc]
        )
    for period, change in firing_periods(weeks.log):
        incident = change.incident
        assert incident is not None
        labels = {
            "venue_id": incident.venue.id if incident.venue else "",
            "venue": incident.venue.name if incident.venue else "",
            "station_id": incident.station_id or "",
            "station": incident.station or "",
            "kind": incident.kind.value,
            "severity": incident.severity.value,
            "topic": incident.kind.topic.value,
        }
        put("clopos_incident", labels, lambda at, period=period: "1" if period.begin <= at < period.end else "-")  # type: ignore[misc]
    return served


def firing_periods(log: Iterable[tuple[float, Change]]) -> list[tuple[Period, Change]]:
    """Return from when to when each incident fired."""
    open_: dict[IncidentKey, tuple[float, Change]] = {}
    found = []
    for at, change in log:
        assert change.incident is not None
        if change.event is Event.INCIDENT_FIRING:
            open_[key(change.incident)] = (at, change)
        else:
            begun, firing = open_.pop(key(change.incident))
            found.append((Period(begun, at), firing))
    return [*found, *((Period(begun, float("inf")), change) for begun, change in open_.values())]


def compressed(values: Iterable[str]) -> str:
    """Write values as promtool reads them; what goes missing is marked stale, as Prometheus does at a scrape."""
    words, before = [], "-"
    for value, group in groupby(values):
        count = len(list(group))
        if value != "-":
            words.append(f"{value}x{count - 1}" if count > 1 else value)
        else:
            words += ["stale"] * (before != "-")
            missing = count - (before != "-")
            words += [f"_x{missing}"] if missing else []
        before = value
    return " ".join(words)


def rules_of_incidents(names: set[str]) -> list[dict[str, Any]]:
    """Return the rules that ship, without those about other things: windows of weeks would take minutes to evaluate."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    for group in groups:
        group["rules"] = [
            rule for rule in group["rules"] if "[" not in rule["expr"] and rule.get("alert", "") in {"", *names}
        ]
    return [group for group in groups if group["rules"]]


Shown = frozenset[tuple[str, str, str]]


def alerts_of(firing: Iterable[tuple[Period, Change]], at: float) -> Shown:
    """Return alert, venue and station of everything that fires at a time."""
    return frozenset(
        (
            BY_KIND[one.incident.kind].split()[0],
            one.incident.venue.id if one.incident.venue else "",
            one.incident.station_id or "",
        )
        for period, one in firing
        if one.incident is not None and period.begin <= at < period.end
    )


@pytest.mark.slow
@pytest.mark.parametrize("busy", [False, True], ids=["calm", "busy"])
def test_the_alerts_of_prometheus_are_the_incidents_of_the_same_days(
    tmp_path: Path, program: Callable[..., str], capsys: pytest.CaptureFixture[str], *, busy: bool
) -> None:
    days = 1 if busy else 3
    weeks = played(99, busy=busy, days=days)
    minutes = int(days * DAY / 60)
    firing = firing_periods(weeks.log)
    begin = weeks.truth.begin
    shown = [alerts_of(firing, begin + 60.0 * m) for m in range(minutes)]
    turns = [m for m in range(1, minutes) if shown[m] != shown[m - 1]]
    looked = sorted({m for turn in turns for m in (turn - 1, turn)})
    away = [one for one in weeks.truth.restarts if one.end - one.begin > HELD_SECONDS]
    looked = [m for m in looked if not any(one.begin + HELD_SECONDS <= begin + 60.0 * m <= one.end for one in away)]
    names = "|".join(sorted({name.split()[0] for name in BY_KIND.values()}))
    test = {
        "interval": "1m",
        "input_series": [
            {"series": name, "values": compressed(values)} for name, values in series_of(weeks, minutes).items()
        ],
        "promql_expr_test": [
            {
                "expr": "group by (alertname, venue_id, station_id) "
                f'(ALERTS{{alertstate="firing",alertname=~"{names}"}})',
                "eval_time": f"{minute}m",
                "exp_samples": [{"labels": labels(alert), "value": 1} for alert in sorted(shown[minute])],
            }
            for minute in looked
        ],
    }
    groups = rules_of_incidents(set(names.split("|")))
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": groups}))
    order = [group["name"] for group in groups]
    path = tmp_path / "tests.json"
    path.write_text(
        json.dumps(
            {"rule_files": ["rules.yml"], "evaluation_interval": "1m", "group_eval_order": order, "tests": [test]}
        )
    )
    done = subprocess.run(
        [program("promtool"), "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[:4000]
    assert looked
    with capsys.disabled():
        print(  # noqa: T201 - it is asked for
            f"\n{days} days, {'busy' if busy else 'calm'}: {len(firing)} incidents, looked at {len(looked)} minutes"
        )


def labels(alert: tuple[str, str, str]) -> str:
    name, venue_id, station_id = alert
    labels = {"alertname": name, "venue_id": venue_id, "station_id": station_id}
    return "{" + ",".join(f'{label}="{value}"' for label, value in labels.items() if value) + "}"
