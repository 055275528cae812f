"""The one source of all rules; `python -m monitoring.rules` renders it to every place that needs them."""

from __future__ import annotations

from monitoring.rules import recording, service, stations
from monitoring.rules.model import Alert, Group

GROUPS = (
    Group("clopos-stations", "30s", (*recording.INCIDENTS, *stations.ALERTS)),
    Group("clopos-service", "60s", (*recording.POLLS, *service.ALERTS)),
    Group("clopos-dashboards", "120s", recording.STATIONS),
)

ALERTS = tuple(rule for group in GROUPS for rule in group.rules if isinstance(rule, Alert))
