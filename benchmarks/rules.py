"""What the alerting rules cost a real Prometheus, beside those from before the exporter decided about incidents."""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from benchmarks.figures import Figure
from benchmarks.measuring import running
from benchmarks.served import STATIONS, serving

ROOT = Path(__file__).parent.parent
RULES = ROOT / "helm/clopos-exporter/files/rules.yaml"
BEFORE = "2bee10a:monitoring/prometheus/clopos.rules.yml"
"""The last rules that decided for themselves what is wrong."""

THEN = "then"
VENUES, INCIDENTS = 2_000, 100
SECONDS = 330.0
SCRAPE_INTERVAL = "15s"


def figures() -> Iterator[Figure]:
    """Measure the rules of now and of then, whose groups one Prometheus evaluates in turn over the same series."""
    program = shutil.which("prometheus")
    then = _before()
    if program is None or then is None:
        yield Figure("evaluation of the rules", "absent: prometheus is not on PATH, or the history not complete")
        return
    now = RULES.read_text(encoding="utf-8")
    with serving(VENUES, incidents=INCIDENTS) as served:
        costs = _costs(program, served.port, now + _renamed(then).partition("groups:\n")[2])
    before, after = (
        sum(share for group, share in costs.shares().items() if group.startswith(THEN) is old) for old in (True, False)
    )
    what = f"{VENUES:,} x {STATIONS} stations, {INCIDENTS} incidents: share of their intervals that the rules take"
    yield Figure(f"{what}, before", f"{before * 100:.2f} %")
    yield Figure(f"{what}, now", f"{after * 100:.2f} %")
    for name, seconds in costs.dearest(3):
        yield Figure(f"one evaluation of {name}", f"{seconds * 1e3:.1f} ms")
    yield Figure.at_most("now / before", after / before, 0.1, "{:.3f}")
    lines, alerts = ([count(text) for text in (then, now)] for count in (_lines, _alerts))
    yield Figure("alerts, before and now", f"{alerts[0]} and {alerts[1]}")
    yield Figure.at_most(f"lines of the rule file, {lines[0]} before / now", lines[1] / lines[0], 0.5, "{:.2f}")
    before, after = (line / alert for line, alert in zip(lines, alerts, strict=True))
    yield Figure.at_most(f"lines for each alert, {before:.1f} before / {after:.1f} now", after / before, 0.5, "{:.2f}")


def _lines(text: str) -> int:
    return text.count("\n")


def _alerts(text: str) -> int:
    return text.count("- alert:")


def _before() -> str | None:
    command = ["git", "show", BEFORE]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, cwd=ROOT)  # noqa: S603
    return done.stdout if done.returncode == 0 else None


def _renamed(rules: str) -> str:
    """Rename groups, recorded series and alerts, so that both files can be evaluated beside each other."""
    rules = re.sub(r"\b(venue|station|brand):clopos", rf"\1:{THEN}_clopos", rules)
    rules = re.sub(r"(alert: |alertname=\")Clopos", r"\1ThenClopos", rules)
    return rules.replace("- name: ", f"- name: {THEN}-")


class _Costs:
    """What groups and rules took at each of their evaluations, seconds."""

    def __init__(self) -> None:
        self._intervals: dict[str, float] = {}
        self._groups: defaultdict[str, dict[str, float]] = defaultdict(dict)  # by name and time of the evaluation
        self._rules: defaultdict[str, dict[str, float]] = defaultdict(dict)

    def note(self, groups: Iterable[Mapping[str, Any]]) -> None:
        """Note the newest evaluations that Prometheus reports."""
        for group in groups:
            self._intervals[group["name"]] = group["interval"]
            self._groups[group["name"]][group["lastEvaluation"]] = group["evaluationTime"]
            for rule in group["rules"]:
                self._rules[rule["name"]][rule["lastEvaluation"]] = rule["evaluationTime"]

    def shares(self) -> dict[str, float]:
        """Return the median of each group as a share of its interval."""
        return {name: _median(found) / self._intervals[name] for name, found in self._groups.items()}

    def dearest(self, number: int) -> list[tuple[str, float]]:
        """Return the rules of now that take longest, with their medians."""
        rules = [(name, _median(found)) for name, found in self._rules.items() if THEN not in name.lower()]
        return sorted(rules, key=lambda rule: -rule[1])[:number]


def _median(found: Mapping[str, float]) -> float:
    # The first evaluation may have been before the first scrape.
    return statistics.median([*found.values()][1:])


def _costs(program: str, port: int, rules: str) -> _Costs:
    costs = _Costs()
    config = (
        f"global: {{scrape_interval: {SCRAPE_INTERVAL}}}\n"
        "rule_files: [clopos.rules.yml]\n"
        f"scrape_configs: [{{job_name: clopos, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    )
    files = {"clopos.rules.yml": rules, "prometheus.yml": config}
    with running(program, files, "--config.file=prometheus.yml", "--storage.tsdb.path=data") as own:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(5)
            with suppress(HTTPError):  # It is not ready at once.
                answer = json.load(urllib.request.urlopen(f"http://127.0.0.1:{own}/api/v1/rules"))
                costs.note(answer["data"]["groups"])
    return costs
