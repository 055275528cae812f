"""Write the metric and event tables into the README from the code: `python -m tools.tables`, `--check` to compare."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from exporter.journal import LEVELS
from exporter.metrics.families import BRAND_FAMILIES, FAMILIES, INCIDENT_FAMILIES, Family
from exporter.metrics.telemetry import Telemetry
from exporter.model import Event, Reason
from exporter.views import ChannelState

README = Path(__file__).parent.parent / "README.md"

WHEN = {
    Event.STATION_DEACTIVATED: "a station became inactive: no new orders go there; with `previous_for_seconds`, "
    "or `previous_for_at_least_seconds` where the status before was there when the exporter first looked",
    Event.STATION_ACTIVATED: "it is active again; likewise",
    Event.STATION_FOUND_INACTIVE: "a station is inactive the first time it is seen",
    Event.STATION_ADDED: "a station is new",
    Event.STATION_REMOVED: "two complete polls in a row did not hold it",
    Event.STATION_RENAMED: "with `previous`",
    Event.STATION_KIND_CHANGED: "kitchen or other; with `previous`",
    Event.STATION_PRINTING_DISABLED: "it no longer prints tickets; with `previous`",
    Event.STATION_PRINTING_ENABLED: "it prints tickets again; with `previous`",
    Event.STATION_TOUCHED: "only `updated_at` moved: perhaps it was switched off and on between two polls",
    Event.VENUE_LOST: "a venue cannot be polled, once per outage; with `reason`, `message`, and where it is known "
    "`down_for_seconds`, the time since the last complete poll",
    Event.VENUE_RECOVERED: "it can be polled again",
    Event.VENUE_ADDED: "discovery found a new venue",
    Event.VENUE_REMOVED: "two discoveries a minute apart did not list it; where most are missing three in half an hour",
    Event.BRAND_LOGIN_FAILED: "login does not work, once per outage; with `reason`, `message`, `remedy`, and "
    "`outage=true` where Clopos did not refuse it but did not answer",
    Event.BRAND_LOGIN_RECOVERED: "it works again",
    Event.BRAND_DISCOVERY_FAILED: "the venue list cannot be read, once per outage; with `reason`, `message`, `remedy`",
    Event.BRAND_DISCOVERY_RECOVERED: "the venue list can be read again",
    Event.BRAND_VENUES_MISSING: "Clopos lists less than half of the venues; they are kept for now; with `message`",
    Event.INCIDENT_FIRING: "something that a person has to know; with `incident`, `severity`, `topic`, `since` "
    "where a station was switched (`since_at_least` where it was so when the exporter first looked), and `began_at`, "
    "from when the delay counts",
    Event.INCIDENT_RESOLVED: "it is over; `ended` says how, `active_since` when a station was switched on in Clopos",
}


def metrics() -> Iterator[str]:
    """Return the rows of the metric table."""
    yield "| metric | type | labels | meaning |"
    yield "| --- | --- | --- | --- |"
    families: tuple[Family[Any], ...] = (*FAMILIES, *INCIDENT_FAMILIES)
    for family in families:
        # Where the age of cached values shows is said once, below the table.
        yield _row(family.name, family.type, family.scope.label_names, family.help.partition(" Cached")[0])
    for metric in _telemetry():
        names = tuple(sorted({name for sample in metric.samples for name in sample.labels} - {"le"}))
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        yield _row(name, metric.type, names, metric.documentation)
    yield "| `process_*`, `python_*` | | | the process, from prometheus-client |"


def events() -> Iterator[str]:
    """Return the rows of the event table."""
    yield "| event | level | when |"
    yield "| --- | --- | --- |"
    for event, when in WHEN.items():
        yield f"| `{event}` | {logging.getLevelName(LEVELS[event]).lower()} | {when} |"


def render(text: str) -> str:
    """Put the tables between their markers."""
    for name, rows in (("metrics", metrics()), ("events", events())):
        begin, end = f"<!-- {name}: made by `make docs` -->", f"<!-- {name} end -->"
        head, _, rest = text.partition(begin)
        _, _, tail = rest.partition(end)
        text = "\n".join((f"{head}{begin}", *rows, f"{end}{tail}"))
    return text


def _telemetry() -> Iterator[Metric]:
    """Return what the process counts, each series touched once so that its labels show."""
    channel = ChannelState("shift", True, None, "", 1, 1.0, {"sent": 1})  # noqa: FBT003 - a fact
    telemetry = Telemetry(lambda: (), lambda: True, lambda: True, channels=lambda: [channel])
    telemetry.serve_certificate(lambda: 1.0)
    telemetry.requested("b", "stations", "200", 0.1)
    telemetry.failed("b", Reason.TIMEOUT)
    telemetry.unusable_row("b")
    shown = {
        family.name.removesuffix("_total") for families in (BRAND_FAMILIES, INCIDENT_FAMILIES) for family in families
    }
    for metric in text_string_to_metric_families(telemetry.text(frozenset(), openmetrics=False).decode()):
        if metric.name.startswith("clopos_") and metric.name not in shown:
            yield metric


def _row(name: str, kind: str, labels: tuple[str, ...], meaning: str) -> str:
    return f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {meaning} |"


def main() -> None:
    """Write the README, or with `--check` exit 1 where it is not up to date."""
    before = README.read_text()
    after = render(before)
    if "--check" in sys.argv:
        sys.exit(0 if before == after else "README.md is not up to date: run `make docs`")
    README.write_text(after)


if __name__ == "__main__":
    main()
