"""Rules as values, and how they look in a Prometheus rule file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from textwrap import dedent
from typing import Any

from exporter.model import IncidentKind, Topic
from monitoring.rules.texts import fill, short

ONE_LINE = 150
"""Characters that an expression may have on one line."""


class Severity(StrEnum):
    """How soon somebody must look."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


class Scope(StrEnum):
    """What an alert is about."""

    STATION = "station"
    VENUE = "venue"
    BRAND = "brand"
    EXPORTER = "exporter"


class Audience(StrEnum):
    """Who can help: the people who run the restaurants, or those who run the exporter."""

    BUSINESS = "business"
    IT = "it"


_SCOPES = {
    IncidentKind.VENUE_NO_ACTIVE_STATION: Scope.VENUE,
    IncidentKind.STATION_UNCLEAR: Scope.VENUE,
    IncidentKind.VENUE_DATA_STALE: Scope.VENUE,
    IncidentKind.MANY_VENUES_INACTIVE: Scope.BRAND,
    IncidentKind.BRAND_UNREACHABLE: Scope.BRAND,
    IncidentKind.LOGIN_FAILING: Scope.BRAND,
    IncidentKind.TOKEN_EXPIRING: Scope.BRAND,
    IncidentKind.CLOCK_SKEW: Scope.BRAND,
}
"""The scopes of incidents that are not about one station."""


@dataclass(frozen=True, slots=True)
class Record:
    """A recording rule; `why`, if there is anything to say, stands above it in the file."""

    name: str
    expr: str
    why: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the rule as a rule file holds it."""
        return {"record": self.name, "expr": _trim(self.expr)}


@dataclass(frozen=True, slots=True)
class Alert:
    """An alerting rule.

    `meaning` is one sentence for the index of the runbooks; `summary` and `description` may use the words of `texts`.
    Alerts for the restaurants carry the short texts of their runbook in Azerbaijani and Russian. Links to runbooks and
    dashboards follow from name and labels: the chart adds them, and so do the templates of Alertmanager.
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

    def as_dict(self) -> dict[str, Any]:
        """Return the rule as a rule file holds it."""
        return {
            "alert": self.name,
            "expr": _trim(self.expr),
            **({"for": self.wait} if self.wait else {}),
            "labels": {"severity": str(self.severity), "scope": str(self.scope), "audience": str(self.audience)},
            "annotations": {
                "summary": fill(self.summary),
                "description": fill(self.description),
                **({} if self.audience is Audience.IT else {lang: short(self.name, lang) for lang in ("az", "ru")}),
            },
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated together, one after the other, each seeing what those above it recorded."""

    name: str
    interval: str
    rules: tuple[Record | Alert, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the group as a rule file holds it."""
        return {"name": self.name, "interval": self.interval, "rules": [rule.as_dict() for rule in self.rules]}


def incident(kind: IncidentKind, name: str, meaning: str, summary: str, **more: str) -> Alert:
    """Return the alert of a kind of incidents: the exporter decides, and with that also the delay and the hours.

    Its description is the short text of its runbook, unless `more` has one.
    """
    return Alert(
        name=name,
        meaning=meaning,
        expr=f'incident:clopos_incident:seen_timestamp_seconds{{kind="{kind}"}} > 0',
        wait=None,
        severity=Severity(kind.severity),
        scope=_SCOPES.get(kind, Scope.STATION),
        audience=Audience.BUSINESS if kind.topic is Topic.STATIONS else Audience.IT,
        summary=summary,
        description=more.get("description") or f"{summary}. {short(name, 'en')}",
    )


def _trim(expr: str) -> str:
    """Return an expression on one line where that is not long, else as it is written."""
    line = re.sub(r"(?<=\() | (?=\))", "", " ".join(expr.split()))
    return line if len(line) <= ONE_LINE else dedent(expr).strip()
