"""Kitchen overview: problems first, for whoever runs many restaurants."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models import units

from monitoring.dashboards import kit
from monitoring.dashboards.kit import STATION, VENUE, query

BRAND = '{brand=~"$brand"}'
OPEN = "station:clopos_station_active:open"
DRILL = "/d/clopos-venue?var-brand=${__field.labels.brand}&var-venue=${__field.labels.venue_id}&${__url_time_range}"

FIRING = 'ALERTS{alertstate="firing",audience="business",brand=~"$brand"}'
KITCHEN = f'{OPEN}{{brand=~"$brand",kind="kitchen"}} == 0'
UP = f"venue:clopos_venue_up:max{BRAND}"
VENUE_STATE = f"""4 + ({UP} == 0)
or on ({VENUE}) 3 + (venue:clopos_venue_open:current{BRAND} == 0)
or on ({VENUE}) 2 + max by ({VENUE}) ({KITCHEN})
or on ({VENUE}) 1 + max by ({VENUE}) ({OPEN}{BRAND} == 0)
or on ({VENUE}) 0 * {UP}"""

NOT_READY = 'incident:clopos_incident:seen_timestamp_seconds{brand=~"$brand",kind="station_not_ready"}'

SINCE = f"""1000 * (
  max by ({STATION}, venue, station, kind) (clopos_station_last_transition_timestamp_seconds{BRAND})
  or on ({STATION})
  max by ({STATION}, venue, station, kind) (clopos_station_updated_timestamp_seconds{BRAND})
)
and on ({STATION}) {OPEN} == 0"""


def build() -> Dashboard:
    """Build the dashboard."""
    return (
        kit.page(
            "clopos-kitchen",
            "Clopos / Kitchen overview",
            "What is wrong now in the restaurants, and where. Status is a setting in Clopos, not a heartbeat.",
        )
        .with_variable(kit.brand(many=True))
        .with_panel(
            kit.number(
                "Alerts firing",
                "Alerts for the restaurants that fire now.",
                query('count(ALERTS{alertstate="firing",audience="business",brand=~"$brand"}) or vector(0)', now=True),
                thresholds=kit.GOOD_WHEN_ZERO,
            )
        )
        .with_panel(
            kit.number(
                "Kitchen stations inactive",
                "Kitchen stations that are inactive in Clopos during opening hours.",
                query(f"count({KITCHEN}) or vector(0)", now=True),
                thresholds=kit.GOOD_WHEN_ZERO,
            )
        )
        .with_panel(
            kit.number(
                "Other stations inactive",
                "Bars, counters and the like that are inactive in Clopos during opening hours.",
                query(f'count({OPEN}{{brand=~"$brand",kind!="kitchen"}} == 0) or vector(0)', now=True),
                thresholds=kit.GOOD_WHEN_ZERO,
            )
        )
        .with_panel(
            kit.number(
                "Not ready for opening",
                "Stations that are inactive although their venue opens within half an hour.",
                query(f"count({NOT_READY}) or vector(0)", now=True),
                thresholds=kit.GOOD_WHEN_ZERO,
            )
        )
        .with_panel(
            kit.number(
                "Venues not readable",
                "Venues whose last poll failed: what is shown of them is old.",
                query(f"count({UP} == 0) or vector(0)", now=True),
                thresholds=kit.GOOD_WHEN_ZERO,
            )
        )
        .with_panel(
            kit.number(
                "Venues open",
                "Venues that are open now by their opening hours; those without hours always are.",
                query(f"count(venue:clopos_venue_open:current{BRAND} == 1) or vector(0)", now=True),
            )
        )
        .with_panel(
            kit.rows(
                "Firing alerts",
                "What fires now for the restaurants, critical first.",
                query(FIRING, rows=True),
                {
                    "severity": "Severity",
                    "alertname": "Alert",
                    "brand": "Brand",
                    "venue": "Venue",
                    "station": "Station",
                },
                first="severity",
            )
        )
        .with_panel(
            kit.rows(
                "Inactive stations",
                "Stations that are inactive in opening hours, and since when: by the switch that was seen, or else by "
                "the last edit in Clopos.",
                query(SINCE, rows=True),
                {"brand": "Brand", "venue": "Venue", "station": "Station", "kind": "Kind", "Value": "Since"},
                unit=units.DateTimeFromNow,
            )
        )
        .with_panel(
            kit.tiles(
                "Venues",
                "Each venue by its worst station: red kitchen, orange other, blue closed, grey not readable.",
                query(kit.named(VENUE_STATE, BRAND, venue_only=True), "{{venue}}", now=True),
                kit.VENUE_STATES,
                DRILL,
            )
        )
        .with_panel(
            kit.rows(
                "Not ready for opening",
                "Stations that are inactive although their venue opens within half an hour.",
                query(NOT_READY, rows=True),
                {"brand": "Brand", "venue": "Venue", "station": "Station"},
                first="venue",
            )
        )
        .with_panel(
            kit.lines(
                "Inactive stations in opening hours",
                "How many stations are inactive while their venue is open, by kind.",
                query(f"sum by (kind) ({OPEN}{BRAND} == bool 0)", "{{kind}}"),
                stacked=True,
            )
        )
        .with_row(
            kit.logs_row(
                "What happened",
                kit.log(
                    "Events",
                    "Every change that the exporter logged, newest first.",
                    f'{kit.LOG} | json brand="brand", event="event" | brand=~"$brand" | event=~"{kit.EVENTS}"',
                ),
            )
        )
    )
