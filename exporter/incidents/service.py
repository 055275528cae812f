"""What is wrong with the process itself: state, log, reload, channels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from exporter.incidents.ledger import Ledger
from exporter.incidents.values import ServiceFacts
from exporter.model import EMPTY, Change, Ended, Incident, IncidentKind, Instant

UNWRITABLE_SECONDS = 60.0
"""Seconds that state or log may be unwritable."""

_CHANNEL = "channel:"


def assess_service(
    incidents: Mapping[str, Incident], facts: ServiceFacts, now: Instant
) -> tuple[Mapping[str, Incident], list[Change], float]:
    """Decide about the process: return its incidents, the transitions, and when to look again, epoch seconds."""
    ledger = Ledger(incidents, "", now.wall)
    for key, kind, works, delay in (
        ("state", IncidentKind.STATE_UNAVAILABLE, facts.state_writable, UNWRITABLE_SECONDS),
        ("log", IncidentKind.LOG_UNAVAILABLE, facts.log_writable, UNWRITABLE_SECONDS),
        ("reload", IncidentKind.RELOAD_FAILED, facts.reload_successful, 0.0),
    ):
        _works(ledger, key, kind, works, delay, details=_why(facts, key))
    for key in [key for key in ledger.now if key.startswith(_CHANNEL)]:
        if key.removeprefix(_CHANNEL) not in facts.channels:
            ledger.end(key, Ended.REMOVED)
    for name, works in facts.channels.items():
        if works is None:
            continue  # Not tried since the process began: nothing is known that could end it.
        details = {"channel": name, **_why(facts, _CHANNEL + name)}
        _works(ledger, _CHANNEL + name, IncidentKind.CHANNEL_DOWN, works, 0.0, details=details)
    return ledger.incidents, ledger.changes, ledger.look_again_at


def _why(facts: ServiceFacts, key: str) -> Mapping[str, str]:
    return {"message": facts.problems[key]} if key in facts.problems else EMPTY


def _works(ledger: Ledger, key: str, kind: IncidentKind, works: bool | None, delay: float, **rest: Any) -> None:  # noqa: FBT001 - a fact, not a switch
    if works is False:
        incident = ledger.hold(key, kind, **rest)
        ledger.fire(key, incident.began_at + delay)
    else:
        ledger.end(key, Ended.RECOVERED)
