"""What is wrong with the process itself: state, log, reload, channels."""

from __future__ import annotations

from collections.abc import Mapping

from exporter.incidents.ledger import Ledger
from exporter.incidents.values import PartHealth
from exporter.model import Change, Ended, Incident, IncidentKind, Instant

UNWRITABLE_SECONDS = 60.0
"""Seconds that state or log may be unwritable."""

CHANNEL = "channel:"
"""What goes before the name of a channel."""

_KINDS = {
    "state": (IncidentKind.STATE_UNAVAILABLE, UNWRITABLE_SECONDS),
    "log": (IncidentKind.LOG_UNAVAILABLE, UNWRITABLE_SECONDS),
    "reload": (IncidentKind.RELOAD_FAILED, 0.0),
}


def assess_service(
    incidents: Mapping[str, Incident], parts: Mapping[str, PartHealth], now: Instant
) -> tuple[Mapping[str, Incident], list[Change]]:
    """Decide about the process by its parts: state, log, reload and each channel. Return incidents and transitions."""
    ledger = Ledger(incidents, "", now.wall)
    for key in incidents:
        if key not in parts:
            ledger.end(key, Ended.REMOVED)
    for key, part in parts.items():
        if part.works is None:
            continue  # A channel that was not tried since the process began: nothing is known that could end it.
        if part.works:
            ledger.end(key, Ended.RECOVERED)
            continue
        kind, delay = _KINDS.get(key, (IncidentKind.CHANNEL_DOWN, 0.0))
        details = {} if key in _KINDS else {"channel": key.removeprefix(CHANNEL)}
        if part.problem:
            details["message"] = part.problem
        incident = ledger.hold(key, kind, details=details)
        ledger.fire(key, incident.began_at + delay)
    return ledger.incidents, ledger.changes
