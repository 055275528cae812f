"""The incidents of a venue, brand or process while they are being decided, and the transitions that this makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf
from typing import Any

from exporter.model import Change, Ended, Event, Incident, IncidentKind

Members = tuple[tuple[str, str], ...]
"""Venue id and station id of each station that a grouped incident stands for."""


class Ledger:
    """The incidents by key, the transitions so far, and when to look again; `wall` is now, both epoch seconds.

    Every `incident.firing` has exactly one `incident.resolved`.
    """

    def __init__(self, incidents: Mapping[str, Incident], brand: str, wall: float) -> None:
        self.wall = wall
        # Where the clock was set back, what is pending must not wait until it has caught up.
        self.now = {
            key: replace(one, began_at=wall) if one.began_at > wall and not one.firing else one
            for key, one in incidents.items()
        }
        self.changes: list[Change] = []
        self.look_again_at = inf
        self._before, self._brand = incidents, brand

    @property
    def incidents(self) -> Mapping[str, Incident]:
        """Return the incidents as they are now: the same object where nothing changed."""
        return self._before if self.now == self._before else self.now

    def keys(self, prefix: str) -> list[str]:
        """Return the keys that begin so."""
        return [key for key in self.now if key.startswith(prefix)]

    def hold(self, key: str, kind: IncidentKind, **rest: Any) -> Incident:
        """Return the incident of a condition that holds, pending from now on where it is new."""
        incident = self.now.get(key)
        if incident is None:
            began_at = min(rest.pop("began_at", self.wall), self.wall)
            incident = Incident(kind, kind.severity, self._brand, began_at, **rest)
            self.now[key] = incident
        return incident

    def update(self, key: str, **changed: Any) -> Incident:
        """Replace fields of an incident."""
        incident = self.now[key] = replace(self.now[key], **changed)
        return incident

    def fire(self, key: str, due: float) -> None:
        """Let a pending incident fire if it is due, else look at it again then."""
        incident = self.now[key]
        if incident.firing:
            return
        if self.wall < due:
            self.look(due)
            return
        incident = self.now[key] = replace(incident, fired_at=self.wall)
        self.changes.append(Change(Event.INCIDENT_FIRING, self._brand, self.wall, incident=incident))

    def become(self, key: str, kind: IncidentKind) -> None:
        """Turn an incident into one of another kind that begins now; one that fires fires on as such."""
        incident = self.now[key]
        if incident.kind is kind:
            return
        self._resolved(incident, Ended.REPLACED)
        self.update(key, kind=kind, severity=kind.severity, began_at=self.wall, fired_at=None)
        if incident.firing:
            self.fire(key, self.wall)

    def cover(self, key: str) -> None:
        """Let a grouped incident stand for this one, which is pending meanwhile."""
        if not self.now[key].covered:
            self._resolved(self.now[key], Ended.REPLACED)
            self.update(key, covered=True, fired_at=None)

    def suspend(self, key: str) -> None:
        """Make an incident pending again as the venue closes."""
        self._resolved(self.now[key], Ended.CLOSED)
        self.update(key, fired_at=None)

    def end(self, key: str, ended: Ended, **details: Any) -> None:
        """Drop an incident, if there is one; one that fires is resolved, with details of how it ended."""
        incident = self.now.pop(key, None)
        if incident is not None:
            self._resolved(incident, ended, **details)

    def narrow(self, key: str, members: Members, excused: Mapping[tuple[str, str], Ended], delay: float) -> None:
        """Decide about a grouped incident that no longer holds: it is over, or after a delay in pieces again.

        The delay, in seconds, is for the time that it takes to switch all of its members back.
        """
        group = self.now[key]
        narrowed_at = min(group.details.get("narrowed_at", self.wall), self.wall)  # the clock may have been set back
        if not members:
            ended = (excused[member] for member in group.members if member in excused)
            self.end(key, next(ended, Ended.ACTIVE_AGAIN))
        elif not group.firing or self.wall - narrowed_at >= delay:
            self.end(key, Ended.REPLACED)
        else:
            self.look(narrowed_at + delay)
            self.update(key, members=members, details={**group.details, "narrowed_at": narrowed_at})

    def look(self, at: float) -> None:
        """Look again at a time."""
        self.look_again_at = min(self.look_again_at, at)

    def _resolved(self, incident: Incident, ended: Ended, **details: Any) -> None:
        if incident.firing:
            details = {"ended": ended.value, **details}
            change = Change(Event.INCIDENT_RESOLVED, self._brand, self.wall, details=details, incident=incident)
            self.changes.append(change)
