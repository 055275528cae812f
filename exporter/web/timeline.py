"""What a station's status was over the last hours, from the journal: pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from exporter.model import Event, StationState
from exporter.web.source import Entry


class Span(NamedTuple):
    """A stretch of time, epoch seconds, and the status during it; None is what we do not know."""

    start: float
    end: float
    active: bool | None


def status_spans(station_state: StationState, entries: Iterable[Entry], start: float, now: float) -> list[Span]:
    """Return the spans of a station from `start` to `now`, oldest first, without gaps.

    `entries` are the station's, newest first; what they do not tell is not known.
    """
    spans: list[Span] = []
    end = now
    for since, active in _statuses(station_state, entries):
        begin = min(max(since, start), end)
        if begin < end:
            spans.append(Span(begin, end, active))
            end = begin
    return list(_merged(reversed(spans)))


def blind_spans(entries: Iterable[Entry], start: float, now: float, *, blind_now: bool) -> list[Span]:
    """Return the spans in which a venue gave no data, oldest first. `entries` are the venue's, newest first."""
    spans: list[Span] = []
    end = now if blind_now else None
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


def _statuses(station_state: StationState, entries: Iterable[Entry]) -> Iterator[tuple[float, bool | None]]:
    """Yield statuses, newest first, each with the time from which it held until the one before."""
    active, known_since = station_state.status, station_state.since
    for entry in entries:
        match entry.event:
            case Event.STATION_ACTIVATED | Event.STATION_DEACTIVATED:
                yield entry.observed_at, active
                active = entry.event is Event.STATION_DEACTIVATED
                known_since = entry.observed_at - _previous_seconds(entry)
            case Event.STATION_ADDED | Event.STATION_FOUND_INACTIVE | Event.STATION_REMOVED:
                yield entry.observed_at, active
                active, known_since = None, -math.inf
    yield known_since, active
    yield -math.inf, None


def _previous_seconds(entry: Entry) -> float:
    """Return how long the status before is known to have lasted."""
    details = entry.details
    return float(details.get("previous_for_seconds", details.get("previous_for_at_least_seconds", 0.0)))


def _merged(spans: Iterable[Span]) -> Iterator[Span]:
    """Join neighbours of one status."""
    for _, group in groupby(spans, key=attrgetter("active")):
        alike = list(group)
        yield alike[0]._replace(end=alike[-1].end)
