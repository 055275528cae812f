"""Recording rules: every question about a station or venue gets one answer, whatever happens to the exporter.

Several exporters may watch the same brand, a name may change, an exporter may be restarted, Clopos may not answer. The
rules below take all that away, so that an alert or a panel needs no more than a comparison:

- one series per identity: `brand, venue_id` and, for stations, `station_id`. Names are for people; they are looked up
  when a text is written, so that a renamed station keeps its alert.
- unknown is absent. A status that is neither on nor off has no sample.
- short gaps are bridged: what was last known stays for HOLD while nobody knows better.
"""

from __future__ import annotations

from monitoring.rules.model import Record

HOLD = "5m"
INTERVAL = 60
"""Seconds between two evaluations of the slow group, each of which adds this much to what it counts."""

RETIRED_AFTER = 7 * 86400
"""Seconds of opening hours after which an inactive station is taken for retired."""

LONG_AGO = 14 * 86400
"""A station that is first seen inactive, last edited this many seconds ago, counts as retired from the start."""


def _current(metric: str, why: str) -> Record:
    return Record(
        f"station:{metric}:current",
        f"""
        max by (brand, venue_id, station_id, kind) (
          {metric} and ignoring (station_id, station, kind) (clopos_venue_up == 1)
        ) >= 0
        or
        (
          max by (brand, venue_id, station_id, kind) (last_over_time({metric}[{HOLD}])) >= 0
          unless on (brand, venue_id) (venue:clopos_venue_up:max == 1)
        )
        """,
        why,
    )


FAST = (
    Record(
        "venue:clopos_venue_up:max",
        "max by (brand, venue_id) (clopos_venue_up)",
        "A venue is up when any exporter reads it.",
    ),
    Record(
        "venue:clopos_venue_open:current",
        f"""
        max by (brand, venue_id) (clopos_venue_open)
        or
        max by (brand, venue_id) (last_over_time(clopos_venue_open[{HOLD}]))
        or
        1 + 0 * max by (brand, venue_id) (last_over_time(clopos_venue_up[{HOLD}]))
        """,
        "A venue without opening hours is always open.",
    ),
    _current(
        "clopos_station_active",
        "Only exporters that can read the venue are believed; without any, the last value holds for a while.",
    ),
    _current("clopos_station_printable", "The same for printing."),
    Record(
        "station:clopos_station_active:watched",
        f"""
        station:clopos_station_active:current
        unless on (brand, venue_id, station_id) last_over_time(clopos_station_ignored[{HOLD}]) == 1
        unless on (brand, venue_id, station_id) station:clopos_station_inactive_open:seconds > {RETIRED_AFTER}
        """,
        "Stations that count: neither ignored by the configuration nor retired.",
    ),
    Record(
        "station:clopos_station_active:open",
        "station:clopos_station_active:watched and on (brand, venue_id) venue:clopos_venue_open:current == 1",
        "The same in opening hours only: its average over time is the availability.",
    ),
)

SLOW = (
    Record(
        "station:clopos_station_inactive_open:seconds",
        f"""
        (
          (
            last_over_time(station:clopos_station_inactive_open:seconds[2d])
            or on (brand, venue_id, station_id)
            (
              {RETIRED_AFTER + 86400} * (
                time() - max by (brand, venue_id, station_id) (clopos_station_updated_timestamp_seconds)
                > bool {LONG_AGO}
              )
              unless on (brand, venue_id, station_id)
              max_over_time(station:clopos_station_active:current[1h:5m]) == 1
            )
            or on (brand, venue_id, station_id)
            0 * max by (brand, venue_id, station_id) (station:clopos_station_active:current)
          )
          + on (brand, venue_id) group_left ()
          {INTERVAL} * venue:clopos_venue_open:current
          and on (brand, venue_id, station_id)
          station:clopos_station_active:current == 0
        )
        or on (brand, venue_id, station_id)
        (
          0 * (last_over_time(station:clopos_station_inactive_open:seconds[2d]) > 0)
          and on (brand, venue_id, station_id)
          station:clopos_station_active:current == 1
        )
        """,
        "How long a station has been inactive, counted in opening hours only, since it was active last. "
        "It adds to its own last value, which costs less than to look back for weeks and outlives any retention. "
        "One that is inactive and long unedited when first seen starts beyond the limit.",
    ),
    Record(
        "station:clopos_station_lost:minutes",
        f"{INTERVAL / 60:g} * (station:clopos_station_active:open == bool 0)",
        "Minutes of opening hours that an inactive station lost: sum it over any time.",
    ),
)

WINDOWS = ("5m", "30m", "1h", "6h")
POLLS = tuple(
    Record(
        f"brand:clopos_venue_poll_failures:ratio_rate{window}",
        f"""
        sum by (brand) (rate(clopos_venue_poll_failures_total[{window}]))
        /
        sum by (brand) (rate(clopos_venue_polls_total[{window}]))
        """,
        f"The share of polls that failed in the last {window}.",
    )
    for window in WINDOWS
)
