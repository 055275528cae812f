"""Draw a dashboard from a Prometheus without Grafana: what a panel would show, plainly.

`python -m monitoring.dashboards.picture http://localhost:9090 docs/images '$brand=tandir' '$venue=7' '$station=.*'`
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import requests

from monitoring.dashboards.render import BUILDERS, render

COLUMN, LINE, GAP, TITLE = 50, 34, 8, 26
INK, FAINT, PAPER = "#1f2328", "#8c959f", "#ffffff"
COLORS = {"green": "#2da44e", "orange": "#d4881c", "red": "#cf222e", "blue": "#4a7fc1"}
SERIES = ("#4a7fc1", "#2da44e", "#d4881c", "#8250df", "#cf222e", "#1b7c83", "#9a6700", "#57606a")
SECONDS, POINTS = 600.0, 120
LEGENDS = 4


class Series(NamedTuple):
    """One series: what it is called, its labels, and its points."""

    name: str
    labels: Mapping[str, str]
    points: Sequence[tuple[float, float]]

    @property
    def last(self) -> float:
        """Return the newest value."""
        return self.points[-1][1]


class Box(NamedTuple):
    """Where to draw."""

    x: float
    y: float
    width: float
    height: float


def text(x: float, y: float, words: str, size: int = 12, color: str = INK, *, anchor: str = "start") -> str:
    """Draw words."""
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" fill="{color}" text-anchor="{anchor}">{escape(words)}</text>'
    )


def block(x: float, y: float, width: float, height: float, color: str) -> str:
    """Draw a rectangle."""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{height:.1f}" fill="{color}"/>'


class Look(NamedTuple):
    """How a panel shows a value."""

    unit: str
    words: Mapping[str, Mapping[str, str]]
    steps: Sequence[Mapping[str, Any]]

    @classmethod
    def of(cls, panel: Mapping[str, Any]) -> Look:
        """Read it from the panel."""
        default = panel.get("fieldConfig", {}).get("defaults", {})
        mappings = default.get("mappings") or [{"options": {}}]
        return cls(default.get("unit", ""), mappings[0]["options"], default.get("thresholds", {}).get("steps", []))

    def word(self, value: float, unit: str = "") -> str:
        """Return a value as a person reads it."""
        unit = unit or self.unit
        if found := self.words.get(f"{value:g}"):
            return found["text"]
        if unit == "dateTimeFromNow":
            minutes = abs(value / 1000 - time.time()) / 60
            return f"{minutes:.0f} min ago" if value / 1000 < time.time() else f"in {minutes:.0f} min"
        shown = {
            "percentunit": f"{100 * value:.1f} %",
            "s": f"{float(f'{value:.2g}'):g} s",
            "m": f"{value:.0f} min",
        }
        shown |= {"bytes": f"{value / 2**20:.0f} MiB", "opm": f"{value:.3g} /min"}
        return shown.get(unit, f"{value:.4g}")

    def color(self, value: float) -> str:
        """Return the color of a value."""
        if found := self.words.get(f"{value:g}"):
            return COLORS.get(found["color"], found["color"])
        color = "blue"
        for step in self.steps:
            if step["value"] is None or value >= step["value"]:
                color = step["color"]
        return COLORS.get(color, color)


Draw = Callable[[Box, Look, Sequence[Series], Mapping[str, Any]], Iterator[str]]


def _stat(box: Box, look: Look, found: Sequence[Series], panel: Mapping[str, Any]) -> Iterator[str]:
    if panel["options"].get("colorMode") == "background":
        for index, one in enumerate(found):
            x, y = box.x + 10 + index % 6 * (box.width - 10) / 6, box.y + index // 6 * 48
            yield block(x, y, box.width / 6 - 12, 42, look.color(one.last))
            yield text(x + 8, y + 18, one.name, 13, PAPER) + text(x + 8, y + 34, look.word(one.last), 11, PAPER)
        return
    for index, one in enumerate(found):
        x = box.x + (index + 0.5) * box.width / len(found)
        word = one.name if panel["options"].get("textMode") == "name" else look.word(one.last)
        yield text(x, box.y + box.height / 2 + 4, word, 24, look.color(one.last), anchor="middle")
        if len(found) > 1:
            yield text(x, box.y + box.height / 2 + 24, one.name, 11, FAINT, anchor="middle")


def _lines(box: Box, look: Look, found: Sequence[Series], _: Mapping[str, Any]) -> Iterator[str]:
    top = max((value for one in found for _, value in one.points), default=0) or 1
    left, floor = box.x + 70, box.y + box.height - 30
    for share in (0, 0.5, 1):
        y = floor - share * (box.height - 50)
        yield block(left, y, box.width - 80, 0.5, FAINT) + text(
            left - 6, y + 4, look.word(share * top), 10, FAINT, anchor="end"
        )
    end = time.time()
    for index, one in enumerate(found):
        path = " ".join(
            f"{left + (1 - (end - at) / SECONDS) * (box.width - 80):.0f},{floor - value / top * (box.height - 50):.0f}"
            for at, value in one.points
        )
        color = SERIES[index % len(SERIES)]
        yield f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.6"/>'
        if index < LEGENDS:
            yield text(left + index * (box.width - 80) / LEGENDS, floor + 20, f"— {one.name}"[:24], 10, color)


def _bands(box: Box, look: Look, found: Sequence[Series], _: Mapping[str, Any]) -> Iterator[str]:
    end, height = time.time(), min(26.0, (box.height - 6) / max(len(found), 1))
    for index, one in enumerate(found):
        y = box.y + index * height
        yield text(box.x + 92, y + height / 2 + 4, one.name, 11, INK, anchor="end")
        for value, run in groupby(one.points, key=lambda point: point[1]):
            times = [at for at, _value in run]
            begin, after = (1 - (end - at) / SECONDS for at in (times[0], times[-1] + SECONDS / POINTS))
            left, span = box.x + 100, box.width - 110
            yield block(left + begin * span, y + 2, (min(after, 1) - begin) * span, height - 4, look.color(value))


def _bars(box: Box, look: Look, found: Sequence[Series], panel: Mapping[str, Any]) -> Iterator[str]:
    top = panel["fieldConfig"]["defaults"].get("max") or max((one.last for one in found), default=0) or 1
    for index, one in enumerate(sorted(found, key=lambda one: -one.last)[: int(box.height / 28)]):
        y = box.y + index * 28
        yield text(box.x + 110, y + 16, one.name, 11, INK, anchor="end")
        yield block(box.x + 120, y + 4, box.width - 210, 16, "#eef1f4")
        yield block(box.x + 120, y + 4, (box.width - 210) * one.last / top, 16, look.color(one.last))
        yield text(box.x + box.width - 80, y + 16, look.word(one.last), 11)


def _table(box: Box, look: Look, found: Sequence[Series], panel: Mapping[str, Any]) -> Iterator[str]:
    options = panel["transformations"][1]["options"]
    names = dict(sorted(options["renameByName"].items(), key=lambda name: int(options["indexByName"][name[0]])))
    units = [rule["properties"][0]["value"] for rule in panel["fieldConfig"].get("overrides", [])]
    step = (box.width - 20) / len(names)
    first = next(iter(panel["options"]["sortBy"]))["displayName"]
    label = next(label for label, heading in names.items() if heading == first)
    ordered = sorted(found, key=lambda one: -one.last if label == "Value" else one.labels.get(label, ""))
    for column, (label, heading) in enumerate(names.items()):
        yield text(box.x + 10 + column * step, box.y + 14, heading, 11, FAINT)
        for row, one in enumerate(ordered[:7]):
            value = look.word(one.last, *units) if label == "Value" else one.labels.get(label, "")
            yield text(box.x + 10 + column * step, box.y + 36 + row * 22, value[: int(step / 6.2)], 11)


def _log(box: Box, *_: object) -> Iterator[str]:
    yield text(box.x + 10, box.y + 20, "Lines of the log, from Loki.", 12, FAINT)


DRAW: Mapping[str, Draw] = {
    "stat": _stat,
    "timeseries": _lines,
    "state-timeline": _bands,
    "status-history": _bands,
    "bargauge": _bars,
    "table": _table,
    "logs": _log,
}


def ask(url: str, target: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[Series]:
    """Ask Prometheus what a target asks."""
    expr = target["expr"]
    for name, value in variables.items():
        expr = expr.replace(name, value)
    now = time.time()
    span = {"start": now - SECONDS, "end": now, "step": SECONDS / POINTS}
    answer = requests.get(f"{url}/api/v1/query_range", {"query": expr, **span}, timeout=30).json()
    for series in answer["data"]["result"]:
        labels = series["metric"]
        name = target.get("legendFormat") or ""
        for label, value in labels.items():
            name = name.replace(f"{{{{{label}}}}}", value)
        points = [(float(at), float(value)) for at, value in series["values"] if value != "NaN"]
        if not points:
            continue
        if not target.get("instant") or points[-1][0] > now - SECONDS / 60:
            yield Series(name, labels, points)


def draw(uid: str, url: str, variables: Mapping[str, str]) -> str:
    """Draw a dashboard as SVG."""
    dashboard = json.loads(render(uid))
    parts, bottom = [], 0.0
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        x, y, width = place["x"] * COLUMN + GAP, place["y"] * LINE + 48, place["w"] * COLUMN - GAP
        height = place["h"] * LINE - GAP
        bottom = max(bottom, y + height)
        if panel["type"] == "row":
            parts.append(text(x, y + 18, panel["title"], 15))
            continue
        parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="4" fill="{PAPER}" stroke="#d0d7de"/>'
        )
        parts.append(text(x + 10, y + 18, panel["title"], 13))
        prometheus = [target for target in panel["targets"] if target["datasource"]["type"] == "prometheus"]
        found = [series for target in prometheus for series in ask(url, target, variables)]
        box = Box(x, y + TITLE, width, height - TITLE)
        parts += DRAW[panel["type"]](box, Look.of(panel), found, panel)
    size = f'width="{24 * COLUMN + GAP}" height="{bottom + GAP:.0f}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="DejaVu Sans, sans-serif">',
            block(0, 0, 24 * COLUMN + GAP, bottom + GAP, "#f6f8fa"),
            text(GAP, 28, dashboard["title"], 18),
            *parts,
            "</svg>\n",
        ]
    )


def main(url: str, folder: str, *variables: str) -> None:
    """Draw every dashboard into a folder."""
    known = {"$__range": "10m", "$__interval": "10s", "$__rate_interval": "30s"}
    known |= dict(variable.split("=", 1) for variable in variables)
    for uid in BUILDERS:
        Path(folder, f"dashboard-{uid.removeprefix('clopos-')}.svg").write_text(draw(uid, url, known), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
