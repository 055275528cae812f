"""What the alerting rules cost a real Prometheus, beside those from before the exporter decided about incidents."""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.measuring import running
from benchmarks.served import STATIONS, serving

ROOT = Path(__file__).parent.parent
RULES = ROOT / "helm/clopos-exporter/files/rules.yaml"
BEFORE = "2bee10a:monitoring/prometheus/clopos.rules.yml"
"""The last rules that decided for themselves what is wrong."""

VENUES, INCIDENTS = 2_000, 100
SECONDS = 240.0
SCRAPE_INTERVAL = "15s"


def figures() -> Iterator[Figure]:
    """Measure the rules of now and of then, one after the other, against the same exporter."""
    program = shutil.which("prometheus")
    then = _before()
    if program is None or then is None:
        yield Figure("evaluation of the rules", "absent: prometheus is not on PATH, or the history not complete")
        return
    now = RULES.read_text(encoding="utf-8")
    with serving(VENUES, incidents=INCIDENTS) as served:
        shares = {name: _share(program, served.port, rules) for name, rules in {"then": then, "now": now}.items()}
    what = f"{VENUES:,} x {STATIONS} stations, {INCIDENTS} incidents: share of their intervals that the rules take"
    yield Figure(f"{what}, before", f"{shares['then'] * 100:.2f} %")
    yield Figure(f"{what}, now", f"{shares['now'] * 100:.2f} %")
    yield Figure.at_most("now / before", shares["now"] / shares["then"], 0.1, "{:.3f}")
    yield Figure("lines of the rule file, before and now", f"{then.count(chr(10))} and {now.count(chr(10))}")
    alerts = [text.count("- alert:") for text in (then, now)]
    yield Figure("alerts, before and now", f"{alerts[0]} and {alerts[1]}")


def _before() -> str | None:
    command = ["git", "show", BEFORE]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, cwd=ROOT)  # noqa: S603
    return done.stdout if done.returncode == 0 else None


def _share(program: str, port: int, rules: str) -> float:
    """Return the sum over the groups of the median time that an evaluation takes, as a share of its interval."""
    took: defaultdict[str, dict[str, float]] = defaultdict(dict)  # by group and time of the evaluation
    intervals: dict[str, float] = {}
    config = (
        f"global: {{scrape_interval: {SCRAPE_INTERVAL}}}\n"
        "rule_files: [clopos.rules.yml]\n"
        f"scrape_configs: [{{job_name: clopos, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]\n"
    )
    files = {"clopos.rules.yml": rules, "prometheus.yml": config}
    with running(program, files, "--config.file=prometheus.yml") as own:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(5)
            text = urllib.request.urlopen(f"http://127.0.0.1:{own}/metrics").read().decode()
            evaluated = _by_group(text, "last_evaluation_timestamp_seconds")
            for group, seconds in _by_group(text, "last_duration_seconds").items():
                took[group][evaluated[group]] = float(seconds)
            intervals |= {group: float(value) for group, value in _by_group(text, "interval_seconds").items()}
    # The first evaluations may have been before the first scrape.
    return sum(statistics.median([*found.values()][2:]) / intervals[group] for group, found in took.items())


def _by_group(text: str, name: str) -> dict[str, str]:
    return dict(re.findall(rf'^prometheus_rule_group_{name}{{rule_group="([^"]+)"}} (\S+)', text, re.MULTILINE))
