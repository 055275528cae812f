"""Venue drill-down: one restaurant, station by station."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import AnnotationQuery, Dashboard, Row
from grafana_foundation_sdk.builders.loki import Dataquery
from grafana_foundation_sdk.models import units

from monitoring.dashboards import kit
from monitoring.dashboards.kit import query

VENUE = '{brand="$brand",venue_id="$venue"}'
STATION = '{brand="$brand",venue_id="$venue",station_id=~"$station"}'
OPEN = f"station:clopos_station_active:open{STATION}"
EVENTS = (
    f'{kit.LOG} | json brand="brand", venue_id="venue_id", event="event"'
    f' | brand="$brand" | venue_id="$venue" | event=~"{kit.EVENTS}"'
)


def build() -> Dashboard:
    """Build the dashboard."""
    return (
        kit.page(
            "clopos-venue",
            "Clopos / Venue",
            "One restaurant: its stations now, over time, and what was changed.",
            since="now-12h",
        )
        .with_variable(kit.brand(many=False))
        .with_variable(kit.by_id("venue", "Venue", "The restaurant.", 'clopos_venue_up{brand="$brand"}', many=False))
        .with_variable(kit.by_id("station", "Station", "Its stations.", f"clopos_station_active{VENUE}", many=True))
        .annotation(
            AnnotationQuery()
            .name("Events")
            .datasource(kit.LOKI)
            .enable(enable=True)
            .icon_color(kit.ORANGE)
            .expr(EVENTS)
            .target(Dataquery().expr(EVENTS).datasource(kit.LOKI).ref_id("A"))
        )
        .with_panel(
            kit.number(
                "Open",
                "Whether the venue is open now; one without opening hours always is.",
                query(f"venue:clopos_venue_open:current{VENUE}", now=True),
                states={1: ("open", kit.GREEN), 0: ("closed", kit.BLUE)},
            )
        )
        .with_panel(
            kit.number(
                "Changes next",
                "When it opens or closes next; nothing for a venue without opening hours, or one that never closes.",
                query(
                    '1000 * min({__name__=~"clopos_venue_next_(open|close)_timestamp_seconds",'
                    'brand="$brand",venue_id="$venue"})',
                    now=True,
                ),
                unit=units.DateTimeFromNow,
            )
        )
        .with_panel(
            kit.number(
                "Inactive now",
                "Stations that are inactive in Clopos and count: neither ignored nor retired, and the venue is open.",
                query(f"count({OPEN} == 0) or vector(0)", now=True),
                thresholds=kit.GOOD_WHEN_ZERO,
            )
        )
        .with_panel(
            kit.number(
                "Left out of the alerts",
                "Stations that the configuration ignores.",
                query(f"count(group by (station_id) (clopos_station_ignored{STATION} == 1)) or vector(0)", now=True),
            )
        )
        .with_panel(
            kit.number(
                "Readable",
                "Whether the last poll brought every page.",
                query(f"venue:clopos_venue_up:max{VENUE}", now=True),
                states=kit.YES,
            )
        )
        .with_panel(
            kit.number(
                "Age of the data",
                "How long ago the last complete poll was.",
                query(f"time() - max(clopos_venue_last_success_timestamp_seconds{VENUE})", now=True),
                unit=units.Seconds,
            )
        )
        .with_panel(
            kit.states(
                "Stations",
                "Each station over time: active or inactive in Clopos. A gap is a time of which nothing is known.",
                query(f"max by (station, station_id) (clopos_station_active{STATION})", "{{station}}"),
                kit.ACTIVITY,
                height=10,
            )
        )
        .with_panel(
            kit.states(
                "Opening hours",
                "When the venue was open: what happens to stations outside these hours alerts nobody.",
                query(f"venue:clopos_venue_open:current{VENUE}", "open"),
                {1: ("open", kit.GREEN), 0: ("closed", kit.BLUE)},
                height=4,
            )
        )
        .with_panel(
            kit.states(
                "Printing",
                "Which stations print tickets; the others are for screens.",
                query(f"max by (station, station_id) (clopos_station_printable{STATION})", "{{station}}"),
                {1: ("prints", kit.GREEN), 0: ("screen only", kit.GREY)},
            )
        )
        .with_row(Row("Longer ago"))
        .with_panel(
            kit.history(
                "The last seven days",
                "Each cell is an hour, red where the station was inactive at any time of it while the venue was open.",
                query(kit.named(f"min_over_time({OPEN}[$__interval])", STATION), "{{station}}"),
                kit.ACTIVITY,
            )
        )
        .with_panel(
            kit.bars(
                "Availability in opening hours",
                "The share of the opening hours of the chosen time in which the station was active.",
                query(kit.named(f"avg_over_time({OPEN}[$__range])", STATION), "{{station}}", now=True),
                unit=units.PercentUnit,
                thresholds=kit.AVAILABILITY,
                most=1,
            )
        )
        .with_panel(
            kit.bars(
                "Minutes lost",
                "Minutes of opening hours of the chosen time in which the station was inactive.",
                query(
                    kit.named(
                        f"max by ({kit.STATION})"
                        f" (increase(clopos_station_inactive_open_seconds_total{STATION}[$__range])) / 60",
                        STATION,
                    ),
                    "{{station}}",
                    now=True,
                ),
                unit=units.Minutes,
                thresholds=kit.MINUTES,
            )
        )
        .with_row(
            kit.logs_row(
                "What happened",
                kit.log("Events", "Every change of this venue that the exporter logged, newest first.", EVENTS),
            )
        )
    )
