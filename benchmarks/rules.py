"""What the alerting rules cost a real Prometheus, beside those from before the exporter decided about incidents."""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.measuring import free_port, until_listening
from benchmarks.served import STATIONS, serving

ROOT = Path(__file__).parent.parent
RULES = ROOT / "helm/clopos-exporter/files/rules.yaml"
BEFORE = "2bee10a:monitoring/prometheus/clopos.rules.yml"
"""The last rules that decided for themselves what is wrong."""

THEN = "then"
VENUES, INCIDENTS = 2_000, 100
SECONDS = 480.0
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
        took = _shares(program, served.port, now + _renamed(then).partition("groups:\n")[2])
    shares = {
        then: sum(share for group, share in took.items() if group.startswith(THEN) is then) for then in (True, False)
    }
    what = f"{VENUES:,} x {STATIONS} stations, {INCIDENTS} incidents: share of their intervals that the rules take"
    yield Figure(f"{what}, before", f"{shares[True] * 100:.2f} %")
    yield Figure(f"{what}, now", f"{shares[False] * 100:.2f} %")
    for group, share in took.items():
        if not group.startswith(THEN):
            yield Figure(f"{what}, now, the group {group}", f"{share * 100:.2f} %")
    yield Figure.at_most("now / before", shares[False] / shares[True], 0.1, "{:.3f}")
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
    """Give groups, recorded series and alerts names of their own, so that both can be evaluated beside each other."""
    rules = re.sub(r"\b(venue|station|brand):clopos", rf"\1:{THEN}_clopos", rules)
    rules = re.sub(r"(alert: |alertname=\")Clopos", r"\1ThenClopos", rules)
    return rules.replace("- name: ", f"- name: {THEN}-")


def _shares(program: str, port: int, rules: str) -> dict[str, float]:
    """Return for each group the median time that an evaluation takes, as a share of its interval."""
    took: defaultdict[str, dict[str, float]] = defaultdict(dict)  # by group and time of the evaluation
    intervals: dict[str, float] = {}
    with _running(program, port, rules) as own:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            time.sleep(5)
            text = urllib.request.urlopen(f"http://127.0.0.1:{own}/metrics").read().decode()
            evaluated = _by_group(text, "last_evaluation_timestamp_seconds")
            for group, seconds in _by_group(text, "last_duration_seconds").items():
                took[group][evaluated[group]] = float(seconds)
            intervals |= {group: float(value) for group, value in _by_group(text, "interval_seconds").items()}
    # The first evaluations may have been before the first scrape.
    return {group: statistics.median([*found.values()][2:]) / intervals[group] for group, found in took.items()}


def _by_group(text: str, name: str) -> dict[str, str]:
    return dict(re.findall(rf'^prometheus_rule_group_{name}{{rule_group="[^";]+;([^"]+)"}} (\S+)', text, re.MULTILINE))


@contextmanager
def _running(program: str, target: int, rules: str) -> Iterator[int]:
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        Path(folder, "clopos.rules.yml").write_text(rules, encoding="utf-8")
        Path(folder, "prometheus.yml").write_text(
            f"global: {{scrape_interval: {SCRAPE_INTERVAL}}}\n"
            "rule_files: [clopos.rules.yml]\n"
            f"scrape_configs: [{{job_name: clopos, static_configs: [{{targets: ['127.0.0.1:{target}']}}]}}]\n"
        )
        process = subprocess.Popen(  # noqa: S603 - the program that was found
            [program, "--config.file=prometheus.yml", f"--web.listen-address=127.0.0.1:{port}"],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until_listening(port)
            yield port
        finally:
            process.terminate()
            process.wait()
