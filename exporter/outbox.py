"""Which channel has to know of which incident, and what is on its way to it: values that store and workers share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from exporter.model import Change, Event, Incident, IncidentKind, Topic

IncidentKey = tuple[str, ...]
"""What identifies one firing of an incident."""


class DeliveryState(StrEnum):
    """How far a delivery is: accepted means that the channel said so, done that nothing is left to do."""

    WAITING = "waiting"
    ACCEPTED = "accepted"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One incident transition on its way to one channel.

    `id` comes from the store and grows. `created_at` and `accepted_at` are epoch seconds; the latter is when the
    channel last accepted a message about it. The delivery of a firing stays accepted until the incident's end is
    delivered too, so that the end goes to those who were notified of the beginning and to nobody else.
    """

    id: int
    channel: str
    change: Change
    created_at: float
    state: DeliveryState = DeliveryState.WAITING
    accepted_at: float | None = None

    @property
    def incident(self) -> Incident:
        """Return the incident that begins or ends."""
        assert self.change.incident is not None  # noqa: S101 - `route` lets nothing else pass
        return self.change.incident

    @property
    def key(self) -> IncidentKey:
        """Return what the firing and the end of one incident have in common."""
        return key(self.incident)

    @property
    def is_end(self) -> bool:
        """Return whether it says that the incident is resolved."""
        return _is_end(self.change)


@dataclass(frozen=True, slots=True)
class Route:
    """What a channel subscribes to; None for brands or venues is all of them."""

    name: str
    topics: frozenset[Topic] = frozenset({Topic.STATIONS})
    brands: frozenset[str] | None = None
    venues: frozenset[str] | None = None

    def wants(self, incident: Incident) -> bool:
        """Return whether the channel subscribes to it. What concerns the whole process passes every brand and venue."""
        return (
            incident.kind.topic in self.topics
            and (self.brands is None or not incident.brand or incident.brand in self.brands)
            and (self.venues is None or incident.venue is None or incident.venue.id in self.venues)
        )


class Outbox(Protocol):
    """Keep deliveries; every method may be called from any thread and raises nothing for the sake of a disk."""

    def deliveries(self, channel: str) -> Sequence[Delivery]:
        """Return the channel's deliveries that are not done, in the order of their ids."""

    def update_deliveries(self, deliveries: Sequence[Delivery]) -> None:
        """Write new states of deliveries in one transaction; those that are done are deleted."""

    def retain_channels(self, names: Collection[str]) -> None:
        """Delete the deliveries of every other channel."""


def key(incident: Incident) -> IncidentKey:
    """Return what identifies one firing of an incident; its end has the same."""
    return (
        incident.kind.value,
        incident.brand,
        incident.venue.id if incident.venue else "",
        incident.station_id or "",
        repr(incident.fired_at),
        # What distinguishes incidents of the same kind and place: channels that are down, bulk edits of a brand.
        str(incident.details.get("channel") or incident.details.get("edit", "")),
    )


def route(
    changes: Iterable[Change], routes: Sequence[Route], deliveries: Collection[Delivery]
) -> list[tuple[str, Change]]:
    """Return the incident transitions among the changes, each with the name of a channel that has to know.

    Of an end, those who have a delivery of the beginning have to know, even where the routes are others by now.
    """
    transitions = [(change, incident) for change in changes if (incident := change.incident) is not None]
    ended = {incident.fired_at for change, incident in transitions if _is_end(change)}
    known: defaultdict[IncidentKey, dict[str, None]] = defaultdict(dict)
    for row in deliveries if ended else ():
        # The time is looked at first, as that is cheap: there may be thousands of rows, and of ends in one commit.
        if row.incident.fired_at in ended and not row.is_end:
            known[row.key][row.channel] = None
    routed: list[tuple[str, Change]] = []
    for change, incident in transitions:
        if _is_end(change):
            channels = known[key(incident)]
        else:
            channels = dict.fromkeys(found.name for found in _wanting(incident, routes))
            if incident.fired_at in ended:
                known[key(incident)].update(channels)
        routed += [(channel, change) for channel in channels]
    return routed


def _is_end(change: Change) -> bool:
    return change.event is Event.INCIDENT_RESOLVED


def _wanting(incident: Incident, routes: Sequence[Route]) -> list[Route]:
    if incident.kind is not IncidentKind.CHANNEL_DOWN:
        return [found for found in routes if found.wants(incident)]
    others = [found for found in routes if found.name != incident.details.get("channel")]
    # Somebody has to hear of it, and the channel itself cannot: without one for the service, all others do.
    return [found for found in others if found.wants(incident)] or others
