"""Venue drill-down: one restaurant, station by station."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import AnnotationQuery, Dashboard
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models import units

from monitoring.dashboards import kit
from monitoring.dashboards.kit import query

VENUE = '{brand="$brand",venue_id="$venue"}'
STATION = '{brand="$brand",venue_id="$venue",station_id=~"$station"}'
OPEN = f"station:clopos_station_active:open{STATION}"
UP = f"venue:clopos_venue_up:max{VENUE}"
INACTIVE = f"clopos_station_inactive_open_seconds_total{STATION}"
INCIDENTS = f"max by (station, kind) (clopos_incident{VENUE})"


def by_station(expr: str, *, at_end: bool = False) -> str:
    """Return an expression whose series carry the last name of their station."""
    names = kit.last_names("station", "station_id", f"clopos_station_active{STATION}", at_end=at_end)
    return f"({expr})\n* on (station_id) group_left (station)\n{names}"


def build() -> Dashboard:
    """Build the dashboard."""
    return (
        kit.page(
            "clopos-venue",
            "One restaurant: its stations now, over time, and what was changed.",
            since="now-12h",
            one_brand=True,
        )
        .with_variable(kit.brand(many=False))
        .with_variable(kit.by_id("venue", "Venue", "The restaurant.", 'clopos_venue_up{brand="$brand"}', many=False))
        .with_variable(kit.by_id("station", "Station", "Its stations.", f"clopos_station_active{VENUE}", many=True))
        .annotation(
            AnnotationQuery()
            .name("Incidents")
            .datasource(kit.PROMETHEUS)
            .enable(enable=True)
            .icon_color(kit.ORANGE)
            .expr(INCIDENTS)
            .title_format("{{station}} {{kind}}")
            .target(Dataquery().expr(INCIDENTS).datasource(kit.PROMETHEUS).ref_id("A").range())
        )
        .with_panel(
            kit.at(
                (0, 0, 4, 3),
                kit.stat_panel(
                    3,
                    "Inactive now",
                    "Stations that are inactive in opening hours, without those that are ignored or retired.",
                    query(kit.count(f"{OPEN} == 0", f"{UP} == 1"), now=True),
                    thresholds=kit.GOOD_WHEN_ZERO,
                ),
            )
        )
        .with_panel(
            kit.at(
                (0, 3, 4, 3),
                kit.stat_panel(
                    1,
                    "Open",
                    "Whether the venue is open now; one without opening hours always is.",
                    query(f"venue:clopos_venue_open:current{VENUE}", now=True),
                    states=kit.OPENING,
                ),
            )
        )
        .with_panel(
            kit.at(
                (0, 6, 4, 3),
                kit.stat_panel(
                    2,
                    "Changes next",
                    "When it opens or closes next; a venue without opening hours never does.",
                    query(
                        '1000 * min({__name__=~"clopos_venue_next_(open|close)_timestamp_seconds",'
                        'brand="$brand",venue_id="$venue"})',
                        now=True,
                    ),
                    unit=units.DateTimeFromNow,
                    absent="no hours",
                ),
            )
        )
        .with_panel(
            kit.at(
                (0, 15, 4, 3),
                kit.stat_panel(
                    4,
                    "Ignored",
                    "Stations that the configuration ignores.",
                    query(kit.count(f"group by (station_id) (clopos_station_ignored{STATION} == 1)", UP), now=True),
                ),
            )
        )
        .with_panel(
            kit.at(
                (0, 9, 4, 3),
                kit.stat_panel(
                    5,
                    "Read",
                    "Whether the last poll brought every page.",
                    query(UP, now=True),
                    states=kit.YES,
                ),
            )
        )
        .with_panel(
            kit.at(
                (4, 9, 20, 9),
                kit.timeline_panel(
                    8,
                    "Stations",
                    "Each station over time: active or inactive in Clopos. A gap is a time of which nothing is known.",
                    query(
                        by_station(f"max by (station_id) (clopos_station_active{STATION})", at_end=True), "{{station}}"
                    ),
                    kit.ACTIVITY,
                    height=11,
                ),
            )
        )
        .with_panel(
            kit.at(
                (4, 0, 20, 5),
                kit.incidents_panel(
                    7,
                    "The incidents of this venue that fire now, the urgent ones first.",
                    'brand="$brand",venue_id="$venue"',
                    kit.STATION_COLUMN._replace(link=None),
                    height=6,
                ),
            )
        )
        .with_panel(
            kit.at(
                (0, 12, 4, 3),
                kit.stat_panel(
                    6,
                    "Age of the data",
                    "How long ago the last complete poll was.",
                    query(f"time() - max(clopos_venue_last_success_timestamp_seconds{VENUE})", now=True),
                    unit=units.Seconds,
                ),
            )
        )
        .with_panel(
            kit.at(
                (4, 5, 20, 4),
                kit.timeline_panel(
                    9,
                    "Opening hours",
                    "When the venue was open: what happens to stations outside these hours alerts nobody.",
                    query(f"venue:clopos_venue_open:current{VENUE}", "venue"),
                    kit.OPENING,
                    height=4,
                ),
            )
        )
        .with_row(kit.row(10, "Longer ago"))
        .with_panel(
            kit.history_panel(
                11,
                "The last seven days",
                "Each cell is the hour that begins there, red where the station was inactive at any time of it while "
                "the venue was open.",
                query(
                    by_station(
                        f"min by (station_id) (min_over_time({OPEN}[$__interval] offset -$__interval))", at_end=True
                    ),
                    "{{station}}",
                ),
                kit.ACTIVITY,
            )
        )
        .with_panel(
            kit.table_panel(
                12,
                "Availability in opening hours",
                "The share of the opening hours of the chosen time in which the station was active, the worst first.",
                query(by_station(f"avg by (station_id) (avg_over_time({OPEN}[$__range]))"), rows=True),
                kit.Column("station", "Station"),
                kit.Column(
                    "Value",
                    "Availability",
                    unit=units.PercentUnit,
                    decimals=1,
                    thresholds=kit.AVAILABILITY,
                    most=1,
                ),
                sort=["Availability"],
                absent="The venue is not known to have been open in this time.",
            )
        )
        .with_panel(
            kit.table_panel(
                13,
                "Minutes lost",
                "Minutes of opening hours of the chosen time in which the station was inactive, most first.",
                query(by_station(f"max by (station_id) (increase({INACTIVE}[$__range])) / 60 > 0"), rows=True),
                kit.Column("station", "Station"),
                kit.Column("Value", "Minutes lost", unit=kit.MINUTES, decimals=0, thresholds=kit.PLAIN, most=0),
                sort=["-Minutes lost"],
                absent="No station is known to have been inactive in opening hours.",
            )
        )
        .with_panel(
            kit.timeline_panel(
                14,
                "Printing",
                "Which stations print tickets; the others are for screens.",
                query(
                    by_station(f"max by (station_id) (clopos_station_printable{STATION})", at_end=True), "{{station}}"
                ),
                {1: ("prints", kit.GREEN), 0: ("screen only", kit.GREY)},
            )
        )
        .with_row(
            kit.logs_row(
                15,
                "What happened (needs Loki)",
                kit.log_panel(
                    16,
                    "Events",
                    "Every change of this venue that the exporter logged, newest first.",
                    kit.log_lines(
                        ["level", "brand", "venue_id"],
                        f'brand="$brand" | venue_id="$venue" | event=~"{kit.EVENTS}"',
                        shown=["event", "incident", "station", "reason", "message"],
                    ),
                ),
            )
        )
    )
