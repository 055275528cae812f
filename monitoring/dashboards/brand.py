"""Brand report: what inactive stations cost over a longer time, and who switches most."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row
from grafana_foundation_sdk.models import units

from monitoring.dashboards import kit
from monitoring.dashboards.kit import STATION, VENUE, query

ALL = 'brand=~"$brand"'
BRAND = f"{{{ALL}}}"
OPEN = f"station:clopos_station_active:open{BRAND}"
INACTIVE = "clopos_station_inactive_open_seconds_total"
TRANSITIONS = f"clopos_station_transitions_total{BRAND}"


def lost(matchers: str, window: str) -> str:
    """Return the minutes of opening hours that each station lost; exporters of the same brand count once."""
    return f"max by ({STATION}, kind) (increase({INACTIVE}{{{matchers}}}[{window}])) / 60"


def build() -> Dashboard:
    """Build the dashboard."""
    return (
        kit.page(
            "clopos-brand",
            "Clopos / Brand report",
            "Over days and weeks: what inactive stations cost in opening hours, the worst, and who switches most.",
            since="now-7d",
        )
        .with_variable(kit.brand(many=True))
        .with_panel(
            kit.number(
                "Availability",
                "The share of the opening hours in which stations were active, all taken together.",
                query(f"avg(avg_over_time({OPEN}[$__range]))", now=True),
                unit=units.PercentUnit,
                thresholds=kit.AVAILABILITY,
                width=6,
            )
        )
        .with_panel(
            kit.number(
                "Kitchen minutes lost",
                "Minutes of opening hours in which kitchen stations were inactive, added up.",
                query(f"""sum({lost('brand=~"$brand",kind="kitchen"', "$__range")}) or vector(0)""", now=True),
                unit=units.Minutes,
                width=6,
            )
        )
        .with_panel(
            kit.number(
                "Other minutes lost",
                "The same for all other stations.",
                query(f"""sum({lost('brand=~"$brand",kind!="kitchen"', "$__range")}) or vector(0)""", now=True),
                unit=units.Minutes,
                width=6,
            )
        )
        .with_panel(
            kit.number(
                "Switched off",
                "How often a station was seen to be switched off.",
                query(
                    "round(sum(max by (brand, venue_id, kind) "
                    '(increase(clopos_station_transitions_total{brand=~"$brand",to="inactive"}[$__range]))))',
                    now=True,
                ),
                width=6,
            )
        )
        .with_panel(
            kit.bars(
                "Minutes lost by venue",
                "The twenty venues whose stations lost most minutes of opening hours.",
                query(
                    kit.named(f"topk(20, sum by ({VENUE}) ({lost(ALL, '$__range')}) > 0)", BRAND, venue_only=True),
                    "{{venue}}",
                    now=True,
                ),
                unit=units.Minutes,
                thresholds=kit.MINUTES,
            )
        )
        .with_panel(
            kit.rows(
                "Worst stations",
                "The twenty stations that lost most minutes of opening hours.",
                query(
                    kit.named(f"topk(20, {lost(ALL, '$__range')} > 0)", BRAND),
                    rows=True,
                ),
                {"brand": "Brand", "venue": "Venue", "station": "Station", "kind": "Kind", "Value": "Minutes lost"},
                unit=units.Minutes,
            )
        )
        .with_row(Row("Over time"))
        .with_panel(
            kit.lines(
                "Minutes lost an hour",
                "Minutes of opening hours that stations lost within the hour before, by kind.",
                query(f"sum by (kind) ({lost(ALL, '1h')})", "{{kind}}"),
                unit=units.Minutes,
                stacked=True,
            )
        )
        .with_panel(
            kit.lines(
                "Availability over a day",
                "The share of the opening hours of the day before in which stations were active, by brand.",
                query(f"avg by (brand) (avg_over_time({OPEN}[1d]))", "{{brand}}"),
                unit=units.PercentUnit,
                most=1,
            )
        )
        .with_row(Row("Changes"))
        .with_panel(
            kit.bars(
                "Changes by venue",
                "The twenty venues whose stations are switched most often, on and off together.",
                query(
                    f"round(topk(20, sum by (brand, venue) "
                    f"(max by (brand, venue, venue_id, kind, to) (increase({TRANSITIONS}[$__range]))) > 0))",
                    "{{venue}}",
                    now=True,
                ),
                unit=units.Short,
                thresholds=kit.PLAIN,
            )
        )
        .with_panel(
            kit.lines(
                "Changes an hour",
                "How often stations were switched within the hour before, by brand and direction.",
                query(
                    f"sum by (brand, to) (max by (brand, venue_id, kind, to) (increase({TRANSITIONS}[1h])))",
                    "{{brand}} {{to}}",
                ),
            )
        )
        .with_row(
            kit.logs_row(
                "What happened",
                kit.log(
                    "Switched off",
                    "Every time a station was seen to be switched off, newest first.",
                    f'{kit.LOG} | json brand="brand", event="event" | brand=~"$brand" | event="station.deactivated"',
                ),
            )
        )
    )
