"""Incidents, an outbox and channels of the tests' own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import count
from threading import Lock
from typing import Any

from fakes import NOON, venue

from exporter.model import Change, Event, Incident, IncidentKind, Kind, Severity
from exporter.notify.transport import Message, Outcome
from exporter.outbox import Delivery, DeliveryState, Route, route
from exporter.store.rows import CHANGE, decode, encode


def incident(
    kind: IncidentKind = IncidentKind.KITCHEN_STATION_INACTIVE, seconds: float = 0.0, **fields: Any
) -> Incident:
    """Return an incident that began at noon and fired two minutes later, `seconds` later all in all."""
    station = {"venue": venue(), "station_id": "1", "station": "Mətbəx", "station_kind": Kind.KITCHEN}
    values: dict[str, Any] = {
        "severity": Severity.CRITICAL,
        "brand": "tandir-group",
        "began_at": NOON + seconds,
        "fired_at": NOON + seconds + 120.0,
        **station,
        **fields,
    }
    return Incident(kind=kind, **values)


def firing(of: Incident) -> Change:
    assert of.fired_at is not None
    return Change(Event.INCIDENT_FIRING, of.brand, of.fired_at, incident=of)


def resolved(of: Incident, at: float, ended: str = "active again") -> Change:
    return Change(Event.INCIDENT_RESOLVED, of.brand, at, details={"ended": ended}, incident=of)


class MemoryOutbox:
    """An outbox that keeps JSON, as a database does, and everything that was ever written to it."""

    def __init__(self, routes: Sequence[Route] = (Route("shift"),)) -> None:
        self.routes = routes
        self._rows: dict[int, tuple[Delivery, str]] = {}
        self._ids = count(1)
        self._lock = Lock()

    def record(self, changes: Sequence[Change], now: float) -> None:
        """Take in changes as the store does."""
        with self._lock:
            for channel, change in route(changes, self.routes, [row for row, _ in self._rows.values()]):
                row = Delivery(next(self._ids), channel, change, now)
                self._rows[row.id] = (row, encode(change))

    def deliveries(self, channel: str) -> Sequence[Delivery]:
        with self._lock:
            return [
                replace(row, change=decode(CHANGE, text)) for row, text in self._rows.values() if row.channel == channel
            ]

    def update_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        with self._lock:
            for row in deliveries:
                if row.state is DeliveryState.DONE:
                    self._rows.pop(row.id, None)
                elif row.id in self._rows:
                    self._rows[row.id] = (row, self._rows[row.id][1])

    def retain_channels(self, names: Collection[str]) -> None:
        with self._lock:
            self._rows = {id_: kept for id_, kept in self._rows.items() if kept[0].channel in names}


class FakeTransport:
    """A service that accepts messages, or fails as `outcomes` say, one each, the last for ever."""

    message_length = 3500

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes) or [ACCEPTED]
        self.accepted: list[Message] = []
        self.attempts = 0

    def send(self, message: Message) -> Outcome:
        self.attempts += 1
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if outcome.accepted:
            self.accepted.append(message)
        return outcome

    @property
    def titles(self) -> list[str]:
        return [message.title for message in self.accepted]


ACCEPTED = Outcome(accepted=True)
FAILED = Outcome(accepted=False, problem="HTTP 502: the service did not accept the message")
