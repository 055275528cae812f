"""What a station's status was over the last hours, from the journal: pure."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import groupby, zip_longest
from operator import attrgetter
from typing import NamedTuple

from exporter.journal import Entry
from exporter.model import Event, StationState

DAY_SLOTS = 48
SLOT_SECONDS = 1800.0
"""A day in little: so many slots of half an hour."""

_SWITCHED = frozenset({Event.STATION_ACTIVATED, Event.STATION_DEACTIVATED})
_STATION_EVENTS = _SWITCHED | {Event.STATION_ADDED, Event.STATION_FOUND_INACTIVE, Event.STATION_REMOVED}

STATUS_EVENTS = _STATION_EVENTS | {Event.VENUE_LOST, Event.VENUE_RECOVERED}
"""The events that spans are made of."""

_NEAREST = 0.17
"""How close to the end of a timeline a mark may be, as a share of it: the time of the end stands there."""


class Span(NamedTuple):
    """A stretch of time, epoch seconds, and the status during it; None is what we do not know."""

    start: float
    end: float
    active: bool | None


def status_spans(station_state: StationState, entries: Iterable[Entry], start: float, now: float) -> list[Span]:
    """Return the spans of a station from `start` to `now`, oldest first, without gaps.

    `entries` are the station's, newest first; what they do not say is unknown.
    """
    spans: list[Span] = []
    end = now
    for since, active in _statuses(station_state, entries):
        begin = min(max(since, start), end)
        if begin < end:
            spans.append(Span(begin, end, active))
            end = begin
    return list(_merged(reversed(spans)))


def outage_spans(entries: Iterable[Entry], start: float, now: float, *, ongoing: bool) -> list[Span]:
    """Return the spans in which a venue gave no data, oldest first. `entries` are the venue's, newest first."""
    spans: list[Span] = []
    end = now if ongoing else None
    for entry in entries:
        if entry.event is Event.VENUE_RECOVERED:
            end = entry.observed_at
        elif entry.event is Event.VENUE_LOST and end is not None:
            spans.append(Span(max(start, entry.observed_at), end, None))
            end = None
    if end is not None:
        spans.append(Span(start, end, None))
    return [span for span in reversed(spans) if span.start < span.end]


def share_active(spans: Iterable[Span]) -> float | None:
    """Return which part of the known time a station was active, 0 to 1; None where nothing is known."""
    known = [span for span in spans if span.active is not None]
    total = sum(span.end - span.start for span in known)
    return sum(span.end - span.start for span in known if span.active) / total if total else None


@dataclass(frozen=True, slots=True)
class Slots:
    """Neighbouring slots of a day that are alike: `off` of `total` stations inactive, or nothing known (`off` None)."""

    first: int
    count: int
    off: int | None
    total: int


@dataclass(frozen=True, slots=True)
class DayHistory:
    """The last 24 hours of a venue in little. `times` counts how often stations were inactive."""

    slots: tuple[Slots, ...]
    times: int
    is_known: bool


def day_history(
    stations: Collection[StationState], entries: Collection[Entry], now: float, seen_at: float
) -> DayHistory:
    """Return the last day of a venue, up to the end of the slot of `now`; what came after `seen_at` is not known.

    `entries` are the venue's, newest first. A slot is off where a station was inactive in any part of it, and known
    where any station was known and the venue gave data for at least half of it.
    """
    end = (now // SLOT_SECONDS + 1) * SLOT_SECONDS
    start = end - DAY_SLOTS * SLOT_SECONDS
    seen_at = min(seen_at, now)
    off, known, times = [0] * DAY_SLOTS, [False] * DAY_SLOTS, 0
    for one in stations:
        mine = [entry for entry in entries if entry.station_id == one.station.id]
        for span in status_spans(one, mine, start, max(start, seen_at)) if seen_at > start else ():
            first, last = int((span.start - start) // SLOT_SECONDS), int((span.end - start - 0.001) // SLOT_SECONDS)
            times += span.active is False
            for slot in range(first, last + 1):
                known[slot] = known[slot] or span.active is not None
                off[slot] += span.active is False
    for span in outage_spans(entries, start, now, ongoing=False):
        for slot in range(DAY_SLOTS):
            begin = start + slot * SLOT_SECONDS
            if min(span.end, begin + SLOT_SECONDS) - max(span.start, begin) > SLOT_SECONDS / 2:
                known[slot] = False
    values = [count if is_known else None for count, is_known in zip(off, known, strict=True)]
    slots, first = [], 0
    for value, group in groupby(values):
        count = len(list(group))
        slots.append(Slots(first, count, value, len(stations)))
        first += count
    return DayHistory(tuple(slots), times, all(known))


class Mark(NamedTuple):
    """A mark of the time axis: where it is, 0 to 1, and when, epoch seconds."""

    place: float
    wall: float


def marks(start: float, now: float, step: timedelta, zone: tzinfo | None) -> list[Mark]:
    """Return the marks of a time axis: at round times of the day in a time zone, UTC where there is none."""
    day = datetime.fromtimestamp(start, zone or UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    found: list[Mark] = []
    at = day
    while (wall := at.timestamp()) < now:
        place = (wall - start) / (now - start)
        if 0 <= place <= 1 - _NEAREST:
            found.append(Mark(place, wall))
        at += step  # of the wall clock: the day on which clocks are changed has its midnights too
    return found


def _statuses(station_state: StationState, entries: Iterable[Entry]) -> Iterator[tuple[float, bool | None]]:
    """Yield statuses, newest first, each with the time from which it held until the one before."""
    active, known_since = station_state.status, station_state.since
    mine = [entry for entry in entries if entry.event in _STATION_EVENTS]
    for entry, before in zip_longest(mine, mine[1:]):
        if entry.event in _SWITCHED:
            yield _switched_at(entry, before), active
            active = entry.event is Event.STATION_DEACTIVATED
            known_since = entry.observed_at - _previous_seconds(entry)
        else:
            yield entry.observed_at, active
            active, known_since = None, -math.inf
    yield known_since, active
    yield -math.inf, None


def _switched_at(entry: Entry, before: Entry | None) -> float:
    """Return when a station was switched: its edit time, unless the status before is known to have lasted longer."""
    edited, earliest = entry.updated_at, -math.inf if before is None else before.observed_at
    if "detected" not in entry.details:  # Else nobody looked for a while: it lasted until the edit, not until now.
        earliest = max(earliest, entry.observed_at - entry.details.get("previous_for_seconds", math.inf))
    return entry.observed_at if edited is None or edited < earliest else min(edited, entry.observed_at)


def _previous_seconds(entry: Entry) -> float:
    """Return how long the status before is known to have lasted."""
    details = entry.details
    return float(details.get("previous_for_seconds", details.get("previous_for_at_least_seconds", 0.0)))


def _merged(spans: Iterable[Span]) -> Iterator[Span]:
    """Join neighbours of one status."""
    for _, group in groupby(spans, key=attrgetter("active")):
        alike = list(group)
        yield alike[0]._replace(end=alike[-1].end)
