"""Kitchen overview: problems first, for whoever runs many restaurants."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard

from monitoring.dashboards import kit
from monitoring.dashboards.kit import VENUE, query

BRAND = '{brand=~"$brand"}'
OPEN = "station:clopos_station_active:open"
KITCHEN = f'{OPEN}{{brand=~"$brand",kind="kitchen"}} == 0'
UP = f"venue:clopos_venue_up:max{BRAND}"
READ = f"{UP} == 1"

VENUE_STATES: kit.States = {
    4: ("kitchen inactive", kit.RED),
    3: ("not read", kit.GREY),
    2: ("other inactive", kit.ORANGE),
    1: ("all active", kit.GREEN),
    0: ("closed", kit.BLUE),
}
VENUE_STATE = f"""3 + ({UP} == 0)
or on ({VENUE}) venue:clopos_venue_open:current{BRAND} == 0
or on ({VENUE}) 4 + max by ({VENUE}) ({KITCHEN})
or on ({VENUE}) 2 + max by ({VENUE}) ({OPEN}{BRAND} == 0)
or on ({VENUE}) {UP}"""


def build() -> Dashboard:
    """Build the dashboard."""
    return (
        kit.page(
            "clopos-kitchen",
            "What is wrong now in the restaurants, and where. Status is a setting in Clopos, not a heartbeat.",
        )
        .with_variable(kit.brand(many=True))
        .with_panel(
            kit.at(
                (0, 0, 5, 3),
                kit.stat_panel(
                    1,
                    "Incidents",
                    "What fires now for the restaurants and is listed below.",
                    query(kit.count(kit.incidents('brand=~"$brand",topic="stations"'), READ), now=True),
                    thresholds=kit.GOOD_WHEN_ZERO,
                ),
            )
        )
        .with_panel(
            kit.at(
                (0, 3, 5, 3),
                kit.stat_panel(
                    2,
                    "Kitchen inactive",
                    "Kitchen stations that are inactive in Clopos during opening hours, for however short.",
                    query(kit.count(KITCHEN, READ), now=True),
                    thresholds=kit.GOOD_WHEN_ZERO,
                ),
            )
        )
        .with_panel(
            kit.at(
                (0, 6, 5, 3),
                kit.stat_panel(
                    3,
                    "Other inactive",
                    "Bars, counters and the like that are inactive in Clopos during opening hours.",
                    query(kit.count(f'{OPEN}{{brand=~"$brand",kind!="kitchen"}} == 0', READ), now=True),
                    thresholds=kit.GOOD_WHEN_ZERO,
                ),
            )
        )
        .with_panel(
            kit.at(
                (0, 12, 5, 3),
                kit.stat_panel(
                    4,
                    "Not ready",
                    "Stations that are inactive although their venue opens within half an hour.",
                    query(
                        kit.count(
                            'incident:clopos_incident:seen_timestamp_seconds{brand=~"$brand",kind="station_not_ready"}',
                            READ,
                        ),
                        now=True,
                    ),
                    thresholds=kit.GOOD_WHEN_ZERO,
                ),
            )
        )
        .with_panel(
            kit.at(
                (0, 9, 5, 3),
                kit.stat_panel(
                    5,
                    "Venues not read",
                    "Venues whose last poll failed: what is shown of them is old.",
                    query(kit.count(f"{UP} == 0", UP), now=True),
                    thresholds=kit.GOOD_WHEN_ZERO,
                ),
            )
        )
        .with_panel(
            kit.at(
                (5, 0, 19, 9),
                kit.incidents_panel(
                    7,
                    "The incidents that fire now for the restaurants, the urgent ones first: a station counts once "
                    "it was inactive for some minutes in opening hours.",
                    'brand=~"$brand",topic="stations"',
                    kit.VENUE_COLUMN,
                    kit.STATION_COLUMN,
                    kit.BRAND_COLUMN,
                    height=9,
                ),
            )
        )
        .with_panel(
            kit.at(
                (0, 15, 5, 3),
                kit.stat_panel(
                    6,
                    "Venues open",
                    "Venues that are open now by their opening hours; those without hours always are.",
                    query(kit.count(f"venue:clopos_venue_open:current{BRAND} == 1", UP), now=True),
                ),
            )
        )
        .with_panel(
            kit.at(
                (5, 9, 10, 9),
                kit.table_panel(
                    8,
                    "Venues",
                    "Each venue by its worst station, the worst first.",
                    query(kit.named(VENUE_STATE, BRAND, venue_only=True), rows=True),
                    kit.VENUE_COLUMN,
                    kit.Column("Value", "State", width=145, states=VENUE_STATES),
                    kit.BRAND_COLUMN,
                    hidden=["venue_id"],
                    sort=["-State", "Venue"],
                    absent="No venue is known. Is an exporter scraped, and are the recording rules loaded?",
                    height=12,
                ),
            )
        )
        .with_panel(
            kit.at(
                (15, 9, 9, 9),
                kit.by_kind(
                    kit.graph_panel(
                        9,
                        "Inactive stations in opening hours",
                        "How many stations are inactive while their venue is open, by kind.",
                        query(f"sum by (kind) ({OPEN}{BRAND} == bool 0)", "{{kind}}"),
                        stacked=True,
                        absent="No venue is known to have been open in this time.",
                    )
                ),
            )
        )
        .with_row(
            kit.logs_row(
                10,
                "What happened (needs Loki)",
                kit.log_panel(
                    11,
                    "Events",
                    "Every change that the exporter logged, newest first.",
                    kit.log_lines(
                        ["level"],
                        f'brand=~"$brand" | event=~"{kit.EVENTS}"',
                        shown=["event", "incident", "station", "venue", "brand"],
                    ),
                ),
            )
        )
    )
