"""Rules as values, and how they look in a Prometheus rule file."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from textwrap import dedent
from typing import Any

from monitoring.rules.texts import fill

RUNBOOKS = "https://clopos-exporter.example.com/runbooks"
"""Where docs/runbooks is published: put your own address here, or into the Helm chart's values."""

GRAFANA = "https://grafana.example.com"
"""Where the dashboards are: put your own address here, or into the Helm chart's values."""


class Severity(StrEnum):
    """How soon somebody must look."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Scope(StrEnum):
    """What an alert is about: a wider one inhibits the narrower ones under it."""

    STATION = "station"
    VENUE = "venue"
    BRAND = "brand"
    EXPORTER = "exporter"


class Audience(StrEnum):
    """Who can help: the people who run the restaurants, or those who run the exporter."""

    BUSINESS = "business"
    IT = "it"


_DASHBOARDS = {
    Scope.STATION: "clopos-venue?var-brand={{ $labels.brand | urlquery }}&var-venue={{ $labels.venue_id | urlquery }}"
    "&var-station={{ $labels.station_id | urlquery }}",
    Scope.VENUE: "clopos-venue?var-brand={{ $labels.brand | urlquery }}&var-venue={{ $labels.venue_id | urlquery }}",
    Scope.BRAND: "clopos-kitchen?var-brand={{ $labels.brand | urlquery }}",
    Scope.EXPORTER: "clopos-exporter",
}


@dataclass(frozen=True, slots=True)
class Record:
    """A recording rule; `why` stands above it in the file."""

    name: str
    expr: str
    why: str

    def as_dict(self) -> dict[str, Any]:
        """Give the rule as a rule file holds it."""
        return {"record": self.name, "expr": _trim(self.expr)}


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule.

    `meaning` is one sentence for the index of the runbooks; `summary` and `description` may use the words of `texts`.
    """

    name: str
    meaning: str
    expr: str
    wait: str | None
    severity: Severity
    scope: Scope
    audience: Audience
    summary: str
    description: str
    dashboard: str | None = None

    @property
    def dashboard_url(self) -> str:
        """Give the address of the dashboard that shows more, its variables filled in."""
        page = _DASHBOARDS[self.scope] if self.dashboard is None else self.dashboard
        return f"{GRAFANA}/d/{page}"

    def as_dict(self) -> dict[str, Any]:
        """Give the rule as a rule file holds it."""
        return {
            "alert": self.name,
            "expr": _trim(self.expr),
            **({"for": self.wait} if self.wait else {}),
            "labels": {"severity": str(self.severity), "scope": str(self.scope), "audience": str(self.audience)},
            "annotations": {
                "summary": fill(self.summary),
                "description": fill(self.description),
                "runbook_url": f"{RUNBOOKS}/{self.name}.md",
                "dashboard_url": self.dashboard_url,
            },
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated together, one after the other, each seeing what those above it recorded."""

    name: str
    interval: str
    rules: tuple[Record | Alert, ...]

    def as_dict(self) -> dict[str, Any]:
        """Give the group as a rule file holds it."""
        return {"name": self.name, "interval": self.interval, "rules": [rule.as_dict() for rule in self.rules]}


def _trim(expr: str) -> str:
    return dedent(expr).strip()
