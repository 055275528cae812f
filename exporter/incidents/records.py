"""What is counted: the time that venues are open and read, and that their stations are inactive meanwhile."""

from __future__ import annotations

from dataclasses import replace
from math import inf

from exporter.model import Instant, StationRecord, StationState, VenueState

RETIRED_SECONDS = 7 * 86400.0
"""Seconds of opening time after which a station counts as off for good."""

UNEDITED_SECONDS = 14 * 86400.0
"""A station that is inactive when first seen, and unedited for so long by then, is off for good as well."""


def count_open(state: VenueState, now: Instant, *, is_open: bool, most: float) -> VenueState:
    """Count the time since the venue was last counted, where it was open and read; at most `most` seconds at once."""
    counts = state.outage is None and not state.restored and state.stations is not None
    seconds = 0.0
    if counts and state.counted_at is not None:
        seconds = now.monotonic - state.counted_at
        if seconds > most:
            seconds = 0.0  # The process stood still meanwhile, or nobody polled: it was not read.
    counted_at = now.monotonic if counts and is_open else None
    if not seconds and counted_at == state.counted_at:
        return state
    return replace(state, open_seconds=state.open_seconds + seconds, counted_at=counted_at)


def inactive_open_seconds(state: VenueState, station_id: str) -> float | None:
    """Return how long a station was inactive in opening hours, seconds; None where it never was."""
    record = state.records.get(station_id)
    if record is None:
        return None
    running = 0.0 if record.inactive_from is None else state.open_seconds - record.inactive_from
    return (record.inactive_seconds + running) or None


def record_active(record: StationRecord, clock: float) -> StationRecord:
    """Return the record of a station that is active; `clock` is the venue's `open_seconds`."""
    if record.inactive_from is None:
        return record
    total = record.inactive_seconds + clock - record.inactive_from
    return StationRecord(inactive_seconds=total, transitions=record.transitions)


def record_inactive(
    record: StationRecord | None, station_state: StationState, clock: float, *, is_ignored: bool
) -> StationRecord:
    """Return the record of a station that is inactive; `clock` is the venue's `open_seconds`."""
    if record is None or record.inactive_from is None:
        retired = not is_ignored and _is_unedited(station_state)
        record = replace(record or StationRecord(), inactive_from=clock, retired=retired)
    if is_ignored:
        if record.unexcused_from is None:
            return record
        seconds = record.unexcused_seconds + clock - record.unexcused_from
        return replace(record, unexcused_seconds=seconds, unexcused_from=None)
    if record.unexcused_from is None:
        record = replace(record, unexcused_from=clock)
    if retires_in(record, clock) <= 0:
        record = replace(record, retired=True)
    return record


def retires_in(record: StationRecord, clock: float) -> float:
    """Return the seconds of opening time after which a station counts as off for good."""
    if record.retired or record.unexcused_from is None:
        return inf
    return RETIRED_SECONDS - record.unexcused_seconds - (clock - record.unexcused_from)


def _is_unedited(station_state: StationState) -> bool:
    edited, since = station_state.station.updated_at, station_state.since
    return station_state.last_transition != since and edited is not None and since - edited >= UNEDITED_SECONDS
