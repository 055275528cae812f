"""Worlds for promtool: what exporters would have said minute by minute, and what is expected to fire.

A course such as `"1 10:0 20:- 25:1"` reads: 1 from the beginning, 0 from minute 10, nothing from minute 20, 1 from
minute 25. `nan` is a status that Clopos did not state clearly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Course = str | float

LONG_AGO = -30 * 86400


def spread(course: Course, minutes: int) -> list[str]:
    """Return one value a minute; `-` where there is none."""
    first, *steps = str(course).split()
    values = [first] * minutes
    for step in steps:
        minute, value = step.split(":")
        values[int(minute) :] = [value] * (minutes - int(minute))
    return values


def written(values: list[str]) -> str:
    """Write values as promtool reads them. What goes missing is marked stale, as Prometheus does at a scrape."""
    words, before = [], "-"
    for value in values:
        words.append(value if value != "-" else "_" if before == "-" else "stale")
        before = value
    return " ".join(words)


@dataclass
class World:
    """One brand, healthy unless said otherwise: call the methods again to change a part of it."""

    minutes: int = 60
    restarts: tuple[tuple[int, int], ...] = ()
    instance: str = "a"
    series: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.exporter().brand().venue()
        self.station("1", "Grill").station("2", "Bar", kind="other")
        self.says("clopos_stations_active", 1, brand="tandir", venue_id="7", venue="White City", kind="other")

    def _set(self, metric: str, course: Course | None, **labels: str) -> None:
        labels = {"job": "clopos", "instance": self.instance, **labels}
        name = metric + "{" + ",".join(f'{key}="{value}"' for key, value in labels.items()) + "}"
        self.series.pop(name, None)
        if course is None:
            return
        values = spread(course, self.minutes)
        for begin, end in self.restarts:
            if metric != "up":
                values[begin:end] = ["-"] * (end - begin)
        self.series[name] = values

    def exporter(self, *, up: Course = 1, reload: Course = 1, store: Course = 1, info: Course = 1) -> World:
        self._set("up", up)
        self._set("clopos_exporter_build_info", info, version="1.0.0")
        self._set("clopos_exporter_config_last_reload_successful", reload)
        self._set("clopos_exporter_store_up", store)
        return self

    def brand(self, brand: str = "tandir", *, up: Course = 1, quota: Course = 200, failing: str | None = None) -> World:
        self._set("clopos_brand_up", up, brand=brand)
        self._set("clopos_exporter_api_quota_limit", 300, brand=brand)
        self._set("clopos_exporter_api_quota_remaining", quota, brand=brand)
        if failing is not None:
            growing = " ".join(["0", *(f"{minute}:{2 * minute}" for minute in range(1, self.minutes))])
            self._set("clopos_exporter_poll_failures_total", growing, brand=brand, reason=failing)
        return self

    def venue(
        self,
        venue_id: str = "7",
        venue: str = "White City",
        *,
        brand: str = "tandir",
        up: Course = 1,
        opened: Course | None = 1,
        next_open: Course | None = 86400,
        interval: Course = 30,
        last_success: Course | None = None,
        failures: float = 0,
    ) -> World:
        labels = {"brand": brand, "venue_id": venue_id, "venue": venue}
        self._set("clopos_venue_up", up, **labels)
        self._set("clopos_venue_open", opened, **labels)
        self._set("clopos_venue_next_open_timestamp_seconds", None if opened is None else next_open, **labels)
        self._set("clopos_venue_poll_interval_seconds", interval, **labels)
        if last_success is None:
            seen = ["-"]
            for minute, value in enumerate(spread(up, self.minutes)):
                seen.append(str(60 * minute) if value == "1" else seen[-1])
            last_success = " ".join([seen[1], *(f"{minute}:{value}" for minute, value in enumerate(seen[1:]))])
        self._set("clopos_venue_last_success_timestamp_seconds", last_success, **labels)
        for metric, rate in (("polls", 2.0), ("poll_failures", 2 * failures)):
            growing = " ".join(["0", *(f"{minute}:{rate * minute:g}" for minute in range(1, self.minutes))])
            self._set(f"clopos_venue_{metric}_total", growing, **labels)
        return self

    def station(
        self,
        station_id: str,
        station: str,
        *,
        kind: str = "kitchen",
        brand: str = "tandir",
        venue_id: str = "7",
        venue: str = "White City",
        active: Course | None = 1,
        printable: Course | None = 1,
        ignored: Course | None = None,
        updated: Course = 0,
    ) -> World:
        labels = {"brand": brand, "venue_id": venue_id, "venue": venue, "station_id": station_id, "station": station}
        labels["kind"] = kind
        self._set("clopos_station_active", active, **labels)
        inactive = ["1" if value == "0" else "-" for value in spread("-" if active is None else active, self.minutes)]
        since = " ".join([inactive[0], *(f"{minute}:{value}" for minute, value in enumerate(inactive))])
        self._set("clopos_station_inactive_since_timestamp_seconds", since, **labels)
        self._set("clopos_station_printable", printable, **labels)
        self._set("clopos_station_ignored", ignored, **labels)
        self._set("clopos_station_updated_timestamp_seconds", updated if active is not None else None, **labels)
        return self

    def incident(
        self, kind: str, course: Course, *, station_id: str = "", venue_id: str = "7", brand: str = "tandir"
    ) -> World:
        """Let an incident fire: 1, or absent."""
        names = {"brand": brand, "venue_id": venue_id, "kind": kind, "severity": "warning", "topic": "stations"}
        names |= {"venue": "White City"} if venue_id else {}
        names |= {"station_id": station_id, "station": "Grill"} if station_id else {}
        return self.says("clopos_incident", course, **{key: value for key, value in names.items() if value})

    def says(self, metric: str, course: Course | None, **labels: str) -> World:
        """Let the exporter serve another metric."""
        self._set(metric, course, **labels)
        return self

    def gone(self, part: str) -> World:
        """Take away every series that has this in its name or labels."""
        self.series = {name: values for name, values in self.series.items() if part not in name}
        return self

    def input_series(self, minutes: int) -> list[dict[str, str]]:
        """Return everything as promtool reads it."""
        return [{"series": name, "values": written(values[:minutes])} for name, values in self.series.items()]

    def beside(self, other: World) -> World:
        """Add what another exporter says."""
        self.series |= other.series
        return self


@dataclass(frozen=True)
class Case:
    """A world and what fires in it: for each minute the alerts, each `Name` or `Name key=value ...`, and no others.

    `every` is how often the rules are evaluated.
    """

    sentence: str
    world: World
    fires: Mapping[int, tuple[str, ...]]
    every: str = "1m"

    def as_test(self) -> dict[str, Any]:
        """Return the test as promtool reads it. It asks for everything that fires, so that nothing else may."""
        return {
            "name": self.sentence,
            "interval": "1m",
            "input_series": self.world.input_series(max(self.fires) + 1),
            "promql_expr_test": [
                {
                    "expr": "sum without (severity, scope, audience, job, kind, venue, station) "
                    '(ALERTS{alertstate="firing",alertname!="CloposWatchdog"})',
                    "eval_time": f"{minute}m",
                    "exp_samples": [{"labels": labels(alert), "value": 1} for alert in alerts],
                }
                for minute, alerts in self.fires.items()
            ],
        }


def labels(alert: str) -> str:
    """Return the label set of a firing alert."""
    name, *pairs = alert.split()
    known = {"alertname": name, "alertstate": "firing"} | dict(pair.split("=") for pair in pairs)
    if "station_id" in known:
        known = {"brand": "tandir", "venue_id": "7"} | known
    elif "venue_id" in known:
        known = {"brand": "tandir"} | known
    return "{" + ",".join(f'{key}="{value}"' for key, value in known.items()) + "}"
