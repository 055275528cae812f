"""Brand report: what inactive stations cost over a longer time, and who switches most."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.models import units

from monitoring.dashboards import kit
from monitoring.dashboards.kit import STATION, VENUE, query

ALL = 'brand=~"$brand"'
BRAND = f"{{{ALL}}}"
OPEN = f"station:clopos_station_active:open{BRAND}"
UP = f"venue:clopos_venue_up:max{BRAND}"
INACTIVE = "clopos_station_inactive_open_seconds_total"
TRANSITIONS = f"clopos_station_transitions_total{BRAND}"


def lost(matchers: str, window: str) -> str:
    """Return the minutes of opening hours that each station lost; exporters of the same brand count once."""
    return f"max by ({STATION}, kind) (increase({INACTIVE}{{{matchers}}}[{window}])) / 60"


def availability(window: str, by: str = "") -> str:
    """Return the share of all opening hours of all stations in which they were active."""
    return (
        f"sum_over_time((sum{by} ({OPEN}))[{window}:$__interval])\n"
        f"/\nsum_over_time((count{by} ({OPEN}))[{window}:$__interval])"
    )


def build() -> Dashboard:
    """Build the dashboard."""
    return (
        kit.page(
            "clopos-brand",
            "Over days and weeks: what inactive stations cost in opening hours, the worst, and who switches most.",
            since="now-7d",
        )
        .with_variable(kit.brand(many=True))
        .with_panel(
            kit.stat_panel(
                1,
                "Availability",
                "The share of the opening hours in which stations were active, all taken together.",
                query(availability("$__range"), now=True),
                unit=units.PercentUnit,
                thresholds=kit.AVAILABILITY,
                width=6,
            )
            .decimals(1)
            .interval("5m")
        )
        .with_panel(
            kit.stat_panel(
                2,
                "Kitchen minutes lost",
                "Minutes of opening hours in which kitchen stations were inactive, added up.",
                query(f"""sum({lost('brand=~"$brand",kind="kitchen"', "$__range")}) or 0 * count({UP})""", now=True),
                unit=kit.MINUTES,
                width=6,
            ).decimals(0)
        )
        .with_panel(
            kit.stat_panel(
                3,
                "Other minutes lost",
                "The same for all other stations.",
                query(f"""sum({lost('brand=~"$brand",kind!="kitchen"', "$__range")}) or 0 * count({UP})""", now=True),
                unit=kit.MINUTES,
                width=6,
            ).decimals(0)
        )
        .with_panel(
            kit.stat_panel(
                4,
                "Switched off",
                "How often a station was seen to be switched off.",
                query(
                    "round(sum(max by (brand, venue_id, kind) "
                    '(increase(clopos_station_transitions_total{brand=~"$brand",to="inactive"}[$__range]))))',
                    now=True,
                ),
                width=6,
            ).decimals(0)
        )
        .with_panel(
            kit.table_panel(
                5,
                "Worst venues",
                "The twenty venues whose stations lost most minutes of opening hours.",
                query(
                    kit.named(f"topk(20, sum by ({VENUE}) ({lost(ALL, '$__range')}) > 0)", BRAND, venue_only=True),
                    rows=True,
                ),
                kit.VENUE_COLUMN,
                kit.BRAND_COLUMN,
                kit.Column("Value", "Minutes lost", unit=kit.MINUTES, decimals=0, thresholds=kit.PLAIN, most=0),
                hidden=["venue_id"],
                sort=["-Minutes lost"],
                absent="No station is known to have been inactive in opening hours.",
            )
        )
        .with_panel(
            kit.table_panel(
                6,
                "Worst stations",
                "The twenty stations that lost most minutes of opening hours.",
                query(kit.named(f"topk(20, {lost(ALL, '$__range')} > 0)", BRAND), rows=True),
                kit.STATION_COLUMN,
                kit.VENUE_COLUMN,
                kit.BRAND_COLUMN,
                kit.Column("Value", "Minutes lost", width=130, unit=kit.MINUTES, decimals=0),
                hidden=["venue_id", "station_id"],
                sort=["-Minutes lost"],
                absent="No station is known to have been inactive in opening hours.",
            )
        )
        .with_row(kit.row(7, "Over time"))
        .with_panel(
            kit.by_kind(
                kit.graph_panel(
                    8,
                    "Minutes lost an hour",
                    "Minutes of opening hours that stations lost within the hour before, by kind.",
                    query(f"sum by (kind) ({lost(ALL, '1h')})", "{{kind}}"),
                    unit=kit.MINUTES,
                    stacked=True,
                    absent="No station is known to have been inactive in opening hours.",
                )
            )
            .decimals(0)
            .interval("1h")
        )
        .with_panel(
            kit.graph_panel(
                9,
                "Availability over a day",
                "The share of the opening hours of the day before in which stations were active, by brand.",
                query(availability("1d", " by (brand)"), "{{brand}}"),
                unit=units.PercentUnit,
                least=None,
                most=1,
            )
            .axis_soft_min(0.9)
            .interval("5m")
        )
        .with_row(kit.row(10, "Changes"))
        .with_panel(
            kit.table_panel(
                11,
                "Changes by venue",
                "The twenty venues whose stations are switched most often, on and off together.",
                query(
                    kit.named(
                        f"round(topk(20, sum by ({VENUE}) "
                        f"(max by (brand, venue_id, kind, to) (increase({TRANSITIONS}[$__range]))) > 0))",
                        BRAND,
                        venue_only=True,
                    ),
                    rows=True,
                ),
                kit.VENUE_COLUMN,
                kit.BRAND_COLUMN,
                kit.Column("Value", "Changes", decimals=0, thresholds=kit.PLAIN, most=0),
                hidden=["venue_id"],
                sort=["-Changes"],
                absent="No station is known to have been switched.",
            )
        )
        .with_panel(
            kit.graph_panel(
                12,
                "Changes an hour",
                "How often stations were switched within the hour before, by brand and direction.",
                query(
                    f"sum by (brand, to) (max by (brand, venue_id, kind, to) (increase({TRANSITIONS}[1h])))",
                    "{{brand}} {{to}}",
                ),
            )
            .height(9)
            .interval("1h")
        )
        .with_row(
            kit.logs_row(
                13,
                "What happened (needs Loki)",
                kit.log_panel(
                    14,
                    "Switched off",
                    "Every time a station was seen to be switched off, newest first.",
                    kit.log_lines(
                        ["level", "event"],
                        'brand=~"$brand" | event="station.deactivated"',
                        shown=["station", "venue", "brand"],
                    ),
                ),
            )
        )
    )
