"""Recording rules: which incidents hold, whichever exporter says so, and what dashboards sum up over time.

Exporters decide what is wrong. Several may watch the same brand, be restarted or not be scraped; these rules make one
series of each incident out of that, so that an alert needs no more than a comparison.
"""

from __future__ import annotations

from monitoring.rules.model import Record

BRIDGED = 15 * 60
"""Seconds for which an incident is kept while no exporter is scraped that would know."""

_INCIDENT = "incident:clopos_incident:seen_timestamp_seconds"
_LABELS = "brand, venue_id, venue, station_id, station, kind"

INCIDENTS = (
    Record(
        "venue:clopos_venue_up:max",
        "max by (brand, venue_id) (clopos_venue_up)",
        "A venue is up when any exporter reads it.",
    ),
    Record(
        _INCIDENT,
        f"""
        time() * max by ({_LABELS}) (
          clopos_incident and on (job, instance, brand, venue_id) (clopos_venue_up == 1 or clopos_brand_up == 1)
          or
          clopos_incident{{brand!=""}}
          unless on (brand, venue_id) (venue:clopos_venue_up:max == 1 or clopos_brand_up == 1)
        )
        or
        {_INCIDENT} > time() - {BRIDGED} unless on (brand, venue_id) (venue:clopos_venue_up:max or clopos_brand_up)
        """,
        "When an incident was last reported: by exporters that can read its venue or brand, or if none can by any. "
        "If none is scraped, it is kept for 15 minutes.",
    ),
    Record(
        "incident:clopos_incident:ended",
        f"""
        last_over_time({_INCIDENT}{{kind=~".*station_inactive|.*_not_ready|venue_no_active.*"}}[20m])
        unless {_INCIDENT}
        """,
        "Incidents of inactive stations that ended, over or not, for longer than Prometheus sends an alert that ended.",
    ),
)

STATIONS = (
    Record(
        "venue:clopos_venue_open:current",
        "max by (brand, venue_id) (clopos_venue_open) or venue:clopos_venue_up:max >= bool 0",
        "A venue without opening hours is always open.",
    ),
    Record(
        "station:clopos_station_active:open",
        """
        max by (brand, venue_id, station_id, kind) (clopos_station_active) >= 0
        and on (brand, venue_id) venue:clopos_venue_open:current == 1
        unless on (brand, venue_id, station_id)
        (clopos_station_ignored == 1 or clopos_station_inactive_since_timestamp_seconds < time() - 1209600)
        """,
        "For dashboards: 1 active, 0 inactive, in opening hours, without stations that are ignored, or inactive for "
        "14 days. Its average over time is the availability.",
    ),
)

POLLS = (
    Record(
        "brand:clopos_venue_poll_failures:ratio_rate5m",
        """
        sum by (brand) (rate(clopos_venue_poll_failures_total[5m]))
        / sum by (brand) (rate(clopos_venue_polls_total[5m]))
        """,
        "The share of polls that failed in the last 5 minutes, and its averages over longer times.",
    ),
    *(
        Record(
            f"brand:clopos_venue_poll_failures:ratio_rate{window}",
            f"avg_over_time(brand:clopos_venue_poll_failures:ratio_rate5m[{window}])",
        )
        for window in ("30m", "1h", "6h")
    ),
)
