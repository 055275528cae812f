"""A brand whose stations are switched, polled and judged on a simulated clock, so that tests read as histories."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from exporter.changes import advance, advance_brand
from exporter.hours import Hours, parse
from exporter.ignoring import IgnoreRule
from exporter.incidents import BrandFacts, BrandIncidents, Decision, IncidentRules, PartHealth, assess_service
from exporter.model import (
    EMPTY,
    BrandState,
    Change,
    Discovery,
    Ended,
    Event,
    Failure,
    Incident,
    Instant,
    Kind,
    LoggedIn,
    Reason,
    Snapshot,
    Station,
    Venue,
    VenueState,
)
from exporter.views import stale_after_in_force

BRAND = "tandir-group"
LATE, SOON = 180.0, 120.0
"""How long another station and a kitchen station may be inactive, without the delay that both have."""


def wall(text: str, zone: str = "Asia/Baku") -> float:
    """Return the epoch seconds of a local time."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


class Said(NamedTuple):
    """An incident transition in short: what happened, to which station (or venue, or brand), and how it ended."""

    event: str
    kind: str
    scope: str
    ended: str = ""

    @classmethod
    def of(cls, change: Change) -> Said:
        incident = change.incident
        assert incident is not None
        venue = incident.venue.id if incident.venue else ""
        scope = "/".join(filter(None, (venue, incident.station_id))) or incident.brand
        event = "firing" if change.event is Event.INCIDENT_FIRING else "resolved"
        return cls(event, incident.kind.value, scope, change.details.get("ended", ""))


def firing(kind: str, scope: str) -> Said:
    return Said("firing", kind, scope)


def resolved(kind: str, scope: str, ended: str) -> Said:
    return Said("resolved", kind, scope, ended)


class History:
    """One brand with venues "1", "2"... of a kitchen "k" and a bar "b" each, polled every `interval` seconds."""

    def __init__(
        self,
        venues: int = 1,
        hours: str | None = None,
        *,
        begin: str = "2026-11-23T12:00",
        ignore: Iterable[IgnoreRule] = (),
        interval: float = 30.0,
        delay: float = 120.0,
    ) -> None:
        self.now = Instant(wall(begin), 5_000.0)
        self.interval = interval
        self.rules = IncidentRules(self.hours(hours), tuple(ignore), delay, stale_after_in_force(300.0, interval))
        self.own_rules: dict[str, IncidentRules] = {}
        self.rows: dict[str, dict[str, Station]] = {
            str(number): {"k": self.station("k", "Tandir"), "b": self.station("b", "Bar", Kind.OTHER)}
            for number in range(1, venues + 1)
        }
        self.states = {id_: VenueState(Venue(BRAND, id_, f"Venue {id_}")) for id_ in self.rows}
        self.brand = BrandState(BRAND)
        self.failing: set[str] = set()
        self.reasons: dict[str, Reason] = {}
        self.partial = False
        self.log: list[tuple[float, Change]] = []
        self._taken = 0
        self.judge = self._judge()
        self.discover()

    @staticmethod
    def hours(text: str | None) -> Hours | None:
        return None if text is None else parse(text, "Asia/Baku")

    def station(self, id_: str, name: str, kind: Kind = Kind.KITCHEN, **rest: Any) -> Station:
        edited = self.now.wall - 86400.0
        row: dict[str, Any] = {"active": True, "printable": True, "created_at": 1.0, "updated_at": edited, **rest}
        return Station(id_, name, kind, **row)

    # What happens in Clopos

    def edit(self, id_: str, venue: str = "1", **changed: Any) -> None:
        changed = {"updated_at": self.now.wall, **changed}
        self.rows[venue][id_] = replace(self.rows[venue][id_], **changed)

    def off(self, id_: str, venue: str = "1") -> None:
        self.edit(id_, venue, active=False)

    def on(self, id_: str, venue: str = "1") -> None:
        self.edit(id_, venue, active=True)

    def lose(self, *venues: str) -> None:
        """Let polls of these venues, or of all, fail."""
        self.failing |= set(venues or self.rows)

    def find(self, *venues: str) -> None:
        self.failing -= set(venues or self.rows)

    # What the exporter does

    def set_clock(self, seconds: float) -> None:
        """Put the wall clock forward or back."""
        self.now = Instant(self.now.wall + seconds, self.now.monotonic)

    def poll(self, venue: str = "1") -> None:
        if venue in self.failing:
            reason = self.reasons.get(venue, Reason.TIMEOUT)
            outcome: Snapshot | Failure = Failure(reason, "no complete answer in time", self.now)
        else:
            outcome = Snapshot(tuple(self.rows[venue].values()), self.now, unusable=("a row",) * self.partial)
        state, changes = advance(self.states[venue], outcome)
        self.take(self.judge.after_poll(self.brand, state, changes, self.now))

    def discover(self, outcome: Discovery | LoggedIn | Failure | None = None, facts: BrandFacts | None = None) -> None:
        venues = tuple(state.venue for state in self.states.values())
        self.brand, _ = advance_brand(self.brand, outcome or Discovery(venues, self.now))
        ids = None if self.brand.venues is None else {venue.id for venue in self.brand.venues}
        gone = [
            (self.states.pop(id_), Ended.REMOVED) for id_ in sorted(self.states) if ids is not None and id_ not in ids
        ]
        self.take(self.judge.after_discovery(self.brand, self.now, facts, gone=gone))

    def fail_login(self, reason: Reason = Reason.CREDENTIALS, message: str = "Invalid credentials") -> None:
        self.discover(Failure(reason, message, self.now, brand_wide=True))

    def restart(self, seconds: float = 60.0) -> None:
        """Let the process be away for a while, and begin again with what is stored."""
        self.now = Instant(self.now.wall + seconds, 9_000.0)
        self.states = {
            id_: replace(
                state,
                restored=True,
                polls=0,
                counted_at=None,
                stations=state.stations
                and {key: replace(one, since_monotonic=None) for key, one in state.stations.items()},
            )
            for id_, state in self.states.items()
        }
        self.brand = replace(self.brand, restored=True, seen=False)
        self.judge = self._judge()
        self.take(self.judge.refresh(self.brand, self.now))

    def reload(self, rules: IncidentRules) -> None:
        self.rules = rules
        self.take(self.judge.refresh(self.brand, self.now, rules))

    def take(self, decision: Decision) -> None:
        for state in decision.venues:
            self.states[state.venue.id] = state
        self.brand = decision.brand or self.brand
        self.log += [(self.now.wall, change) for change in decision.changes]

    def wait(self, seconds: float) -> None:
        """Let time pass without a poll; what time alone brings is decided at its moment."""
        until = self.now.wall + seconds
        while self.judge.look_again_at <= until:
            self._go_to(max(self.judge.look_again_at, self.now.wall))
            self.take(self.judge.due(self.brand, self.now))
        self._go_to(until)

    def sleep(self, seconds: float) -> None:
        """Let the machine sleep: time passes, and nobody decides anything."""
        self._go_to(self.now.wall + seconds)

    def run(self, seconds: float) -> None:
        """Let time pass with polls, spread evenly over the interval."""
        until = self.now.wall + seconds
        step = self.interval / len(self.rows)
        number = 0
        venues = list(self.rows)
        while self.now.wall + step <= until + 1e-6:
            self.poll(venues[number % len(venues)])
            number += 1
            self.wait(step)
        self.wait(max(0.0, until - self.now.wall))

    def run_until(self, text: str) -> None:
        self.run(wall(text) - self.now.wall)

    def _go_to(self, at: float) -> None:
        self.now = Instant(at, self.now.monotonic + at - self.now.wall)

    def _judge(self) -> BrandIncidents:
        return BrandIncidents(lambda venue: self.own_rules.get(venue.id, self.rules), self.rules, self._state, self.now)

    def _state(self, id_: str) -> VenueState:
        return self.states[id_]

    # What came of it

    def said(self) -> list[Said]:
        """Return what was decided since this was asked last."""
        taken, self._taken = self._taken, len(self.log)
        return [Said.of(change) for _, change in self.log[taken:]]

    def incidents(self) -> list[Incident]:
        """Return every incident, pending or firing."""
        found = list(self.brand.incidents.values())
        for state in self.states.values():
            found += state.incidents.values()
        return found

    def firing(self) -> set[tuple[str, str]]:
        """Return kind and scope of what fires."""
        changes = [Change(Event.INCIDENT_FIRING, BRAND, 0.0, incident=one) for one in self.incidents() if one.firing]
        return {(said.kind, said.scope) for said in map(Said.of, changes)}


class Service:
    """The process itself."""

    def __init__(self) -> None:
        self.now = Instant(wall("2026-11-23T12:00"), 5_000.0)
        self.incidents = EMPTY

    def after(self, seconds: float, parts: Mapping[str, bool | None], **problems: str) -> list[Said]:
        self.now = Instant(self.now.wall + seconds, self.now.monotonic + seconds)
        health = {name: PartHealth(works, problems.get(name.split(":")[-1])) for name, works in parts.items()}
        self.incidents, changes = assess_service(self.incidents, health, self.now)
        return [Said.of(change) for change in changes]
