"""What all dashboards share: variables, links, targets, and panels that already look as they should."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    logs,
    loki,
    prometheus,
    stat,
    statetimeline,
    statushistory,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as c
from grafana_foundation_sdk.models import dashboard as d
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

LOG = '{app="clopos-exporter"}'
EVENTS = "(station|venue|brand|incident)[.].+"
STATION = "brand, venue_id, station_id"
VENUE = "brand, venue_id"
INCIDENT = "brand, venue, venue_id, station, station_id, kind, severity"

GREEN, ORANGE, RED, BLUE, GREY = "green", "orange", "red", "blue", "#808080"

MINUTES, PER_MINUTE = "suffix: min", "suffix: /min"
"""Grafana's own unit for minutes shows hours, days and weeks above sixty."""

_Mapping = d.ValueMap | d.RangeMap | d.RegexMap | d.SpecialValueMap
States = Mapping[float, tuple[str, str]]
"""What a value means, and its color."""

ACTIVITY: States = {1: ("active", GREEN), 0: ("inactive", RED)}
YES: States = {1: ("yes", GREEN), 0: ("no", RED)}
OPENING: States = {1: ("open", GREEN), 0: ("closed", BLUE)}

SEVERITIES = {"critical": ("critical", RED), "warning": ("warning", ORANGE), "info": ("info", BLUE)}
KINDS = {
    "kitchen_station_inactive": "Kitchen inactive",
    "station_inactive": "Station inactive",
    "venue_no_active_station": "No station active",
    "many_venues_inactive": "Venues inactive",
    "station_not_ready": "Not ready",
    "printing_disabled": "Prints no tickets",
    "station_flapping": "Switched off and on",
    "station_removed": "Gone from Clopos",
    "station_unclear": "Status unclear",
    "venue_data_stale": "No data",
    "brand_unreachable": "Clopos unreachable",
    "login_failing": "Login fails",
    "token_expiring": "Token expires",
    "clock_skew": "Clock is wrong",
    "state_unavailable": "State not written",
    "log_unavailable": "Log not written",
    "reload_failed": "Reload failed",
    "channel_down": "Channel fails",
}
"""The kinds of incidents, short enough for a column."""

PROMETHEUS = c.DataSourceRef(type_val="prometheus", uid="${prometheus_datasource}")
LOKI = c.DataSourceRef(type_val="loki", uid="${loki_datasource}")

_SOURCES = "${prometheus_datasource:queryparam}&${loki_datasource:queryparam}"
VENUE_LINK = (
    "/d/clopos-venue?var-brand=${__data.fields.Brand:percentencode}"
    f"&var-venue=${{__data.fields.venue_id:percentencode}}&{_SOURCES}&${{__url_time_range}}"
)
STATION_LINK = VENUE_LINK.replace(
    f"&{_SOURCES}", f"&var-station=${{__data.fields.station_id:percentencode}}&{_SOURCES}"
)
BRAND_LINK = f"/d/clopos-kitchen?var-brand=${{__data.fields.Brand:percentencode}}&{_SOURCES}&${{__url_time_range}}"


def named(expr: str, selector: str, *, venue_only: bool = False) -> str:
    """Return an expression whose series carry the names that belong to their ids."""
    keys, names, metric = (
        (VENUE, "venue", "clopos_venue_up") if venue_only else (STATION, "venue, station", "clopos_station_active")
    )
    # topk keeps the names unique for the moment in which a pair of exporters does not agree on a new one.
    return (
        f"({expr})\n* on ({keys}) group_left ({names})\n"
        f"topk by ({keys}) (1, group by ({keys}, {names}) ({metric}{selector}))"
    )


def last_names(names: str, id_: str, series: str, *, at_end: bool = False) -> str:
    """Return an expression with one series for each id: by the name it has, or had last where it is gone.

    `at_end` takes the names of the end of a range query at all of its times, so that a rename does not split a series.
    """
    end = " @ end()" if at_end else ""
    return (
        f"(topk by ({id_}) (1, group by ({id_}, {names}) ({series}{end}))\n"
        f"or on ({id_})\n"
        f"topk by ({id_}) (1, group by ({id_}, {names}) (last_over_time({series}[$__range]{end}))))"
    )


def count(expr: str, known_by: str) -> str:
    """Return an expression that counts series, 0 where `known_by` has any: without data nothing is known to be well."""
    return f"count({expr}) or 0 * count({known_by})"


def query(expr: str, legend: str = "", *, now: bool = False, rows: bool = False) -> prometheus.Dataquery:
    """Make a target: over time, as it is `now`, or as the `rows` of a table."""
    target = prometheus.Dataquery().expr(expr).legend_format(legend).datasource(PROMETHEUS)
    target = target.instant() if now or rows else target.range()
    return target.format(PromQueryFormat.TABLE) if rows else target


def incidents(matchers: str) -> str:
    """Return an expression with when each firing incident began, in milliseconds.

    The recording rule decides which exporter is believed, and what holds while none is scraped.
    """
    return (
        f"1000 * min by ({INCIDENT}) (\n"
        f"  last_over_time(clopos_incident_started_timestamp_seconds{{{matchers}}}[15m])\n)\n"
        "and on (brand, venue_id, station_id, kind) incident:clopos_incident:seen_timestamp_seconds"
    )


def _described(panel: Any, id_: int, title: str, text: str) -> Any:
    return panel.id(id_).title(title).description(text).datasource(PROMETHEUS)


def _asking(panel: Any, targets: Sequence[prometheus.Dataquery], absent: str) -> Any:
    """Add the targets, and the words that are shown while they find nothing."""
    panel = panel.no_value(absent)
    for number, target in enumerate(targets):
        panel = panel.with_target(target.ref_id(chr(ord("A") + number)))
    return panel


def _mapping(states: Mapping[Any, tuple[str, str | None]]) -> list[_Mapping]:
    return [
        d.ValueMap(
            options={
                value if isinstance(value, str) else f"{value:g}": d.ValueMappingResult(
                    text=text, color=color, index=index
                )
                for index, (value, (text, color)) in enumerate(states.items())
            }
        )
    ]


def _steps(*steps: tuple[float | None, str]) -> dashboard.ThresholdsConfig:
    return (
        dashboard.ThresholdsConfig()
        .mode(d.ThresholdsMode.ABSOLUTE)
        .steps([d.Threshold(value=value, color=color) for value, color in steps])
    )


# What is not known has the color of the lowest step.
GOOD_WHEN_ZERO = _steps((None, GREY), (0, GREEN), (1, RED))
PLAIN = _steps((None, GREY), (0, BLUE))
AVAILABILITY = _steps((None, GREY), (0, RED), (0.95, ORANGE), (0.99, GREEN))


def stat_panel(
    id_: int,
    title: str,
    text: str,
    *targets: prometheus.Dataquery,
    unit: str = units.Short,
    thresholds: dashboard.ThresholdsConfig = PLAIN,
    states: States | None = None,
    absent: str = "not known",
    width: int = 4,
) -> stat.Panel:
    """Make one big number, or a word where `states` say what the numbers mean."""
    panel: stat.Panel = _asking(_described(stat.Panel(), id_, title, text), targets, absent).unit(unit)
    panel = panel.span(width).height(3).graph_mode(c.BigValueGraphMode.NONE).thresholds(thresholds)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    return panel.mappings(_mapping(states)) if states else panel


def _legend() -> common.VizLegendOptions:
    legend = common.VizLegendOptions().show_legend(show_legend=True)
    return legend.display_mode(c.LegendDisplayMode.LIST).placement(c.LegendPlacement.BOTTOM)


def _tooltip() -> common.VizTooltipOptions:
    return common.VizTooltipOptions().mode(c.TooltipDisplayMode.MULTI).sort(c.SortOrder.DESCENDING)


def graph_panel(
    id_: int,
    title: str,
    text: str,
    *targets: prometheus.Dataquery,
    unit: str = units.Short,
    width: int = 12,
    stacked: bool = False,
    least: float | None = 0,
    most: float | None = None,
    absent: str = "Nothing was recorded in this time.",
) -> timeseries.Panel:
    """Make a graph over time."""
    panel: timeseries.Panel = _asking(_described(timeseries.Panel(), id_, title, text), targets, absent).unit(unit)
    panel = panel.span(width).height(8).fill_opacity(10).show_points(c.VisibilityMode.AUTO)
    panel = panel.legend(_legend()).tooltip(_tooltip())
    if least is not None:
        panel = panel.min(least)
    if most is not None:
        panel = panel.max(most)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(c.StackingMode.NORMAL)).fill_opacity(40)
    return panel


def timeline_panel(
    id_: int, title: str, text: str, target: prometheus.Dataquery, meaning: States, *, height: int = 8
) -> statetimeline.Panel:
    """Make one band for each series, colored by its state over time."""
    absent = "Nothing was recorded in this time."
    panel: statetimeline.Panel = _asking(_described(statetimeline.Panel(), id_, title, text), [target], absent)
    panel = panel.span(24).height(height).mappings(_mapping(meaning)).row_height(0.8).fill_opacity(80)
    panel = panel.legend(_legend()).tooltip(_tooltip())
    return panel.show_value(c.VisibilityMode.NEVER).merge_values(merge_values=True)


def history_panel(
    id_: int, title: str, text: str, target: prometheus.Dataquery, meaning: States
) -> statushistory.Panel:
    """Make one row of cells for each series, over the last week whatever the dashboard shows."""
    absent = "Nothing was recorded in the last seven days."
    panel: statushistory.Panel = _asking(_described(statushistory.Panel(), id_, title, text), [target], absent)
    panel = panel.span(24).height(8).mappings(_mapping(meaning)).row_height(0.9).show_value(c.VisibilityMode.NEVER)
    panel = panel.legend(_legend()).tooltip(_tooltip())
    return panel.time_from("7d").max_data_points(168).interval("1h")


def by_kind(panel: timeseries.Panel) -> timeseries.Panel:
    """Color what is wrong with stations by their kind: none of it is green."""
    for kind, color in (("kitchen", RED), ("other", ORANGE), ("unknown", GREY)):
        fixed = d.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": color})
        panel = panel.override_by_name(kind, [fixed])
    return panel


class Column(NamedTuple):
    """A column of a table: a label of the series, or `Value`, under a heading."""

    label: str
    heading: str
    width: int | None = None
    unit: str | None = None
    decimals: int | None = None
    states: Mapping[Any, tuple[str, str | None]] | None = None
    """What the values mean, shown in its color."""
    thresholds: dashboard.ThresholdsConfig | None = None
    most: float | None = None
    """Draws a bar for the share of this, or, with 0, of the greatest value."""
    link: str | None = None

    def overrides(self) -> list[d.DynamicConfigValue]:
        """Return how the column departs from the others."""
        found: dict[str, object] = {"noValue": "-"}
        if self.width is not None:
            found["custom.width"] = self.width
        if self.unit is not None:
            found["unit"] = self.unit
        if self.decimals is not None:
            found["decimals"] = self.decimals
        if self.states is not None:
            found["mappings"] = _mapping(self.states)
            if any(color for _, color in self.states.values()):
                found["custom.cellOptions"] = {"type": "color-text"}
                found["custom.align"] = "left"
        if self.most is not None:
            found["min"] = 0
            found |= {"max": self.most} if self.most else {}
            found["custom.cellOptions"] = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
        if self.thresholds is not None:
            found["thresholds"] = self.thresholds.build()
            found["color"] = {"mode": "thresholds"}
        if self.link is not None:
            found["links"] = [{"title": f"Open this {self.heading.lower()}", "url": self.link, "targetBlank": False}]
        return [d.DynamicConfigValue(id_val=key, value=value) for key, value in found.items()]


BRAND_COLUMN = Column("brand", "Brand", link=BRAND_LINK)
VENUE_COLUMN = Column("venue", "Venue", link=VENUE_LINK)
STATION_COLUMN = Column("station", "Station", link=STATION_LINK)


def table_panel(
    id_: int,
    title: str,
    text: str,
    target: prometheus.Dataquery,
    *columns: Column,
    absent: str,
    sort: Sequence[str],
    hidden: Sequence[str] = (),
    width: int = 12,
    height: int = 9,
) -> table.Panel:
    """Make a table of these columns in this order.

    `sort` names the headings that order it, a minus before those that begin with the greatest. The labels that are
    `hidden` serve the links alone.
    """
    panel: table.Panel = _asking(_described(table.Panel(), id_, title, text), [target], absent).unit(units.Short)
    order = [*(column.label for column in columns), *hidden]
    headings = {column.label: column.heading for column in columns}
    panel = panel.with_transformation(
        d.DataTransformerConfig(id_val="filterFieldsByName", options={"include": {"names": order}})
    ).with_transformation(
        d.DataTransformerConfig(
            id_val="organize",
            options={"indexByName": {name: index for index, name in enumerate(order)}, "renameByName": headings},
        )
    )
    for column in columns:
        panel = panel.override_by_name(column.heading, column.overrides())
    for label in hidden:
        # Grafana 12.2 and newer know the second of these.
        hide = [d.DynamicConfigValue(id_val=key, value=True) for key in ("custom.hidden", "custom.hideFrom.viz")]
        panel = panel.override_by_name(label, hide)
    return (
        panel.sort_by(
            [common.TableSortByFieldState().display_name(name.lstrip("-")).desc(name.startswith("-")) for name in sort]
        )
        .cell_height(c.TableCellHeight.SM)
        .min_width(90)
        .span(width)
        .height(height)
    )


def incidents_panel(id_: int, text: str, matchers: str, *columns: Column, height: int) -> table.Panel:
    """Make the table of the incidents that fire, the urgent ones first."""
    return table_panel(
        id_,
        "What is wrong now",
        text,
        query(incidents(matchers), rows=True),
        Column("severity", "Severity", width=85, states=SEVERITIES),
        Column("kind", "What", width=165, states={kind: (words, None) for kind, words in KINDS.items()}),
        *columns,
        Column("Value", "Since", width=130, unit=units.DateTimeFromNow),
        hidden=["venue_id", "station_id", *([] if BRAND_COLUMN in columns else ["brand"])],
        sort=["Severity", "-Since"],
        absent="No incident is known.",
        width=24,
        height=height,
    )


def log_panel(id_: int, title: str, text: str, expr: str) -> logs.Panel:
    """Make a panel of log lines; each opens to all of its fields."""
    target = loki.Dataquery().expr(expr).datasource(LOKI).query_type("range").ref_id("A")
    return (
        logs.Panel()
        .id(id_)
        .title(title)
        .description(text)
        .no_value("Nothing was logged in this time.")
        .datasource(LOKI)
        .with_target(target)
        .span(24)
        .height(12)
        .show_time(show_time=True)
        .wrap_log_message(wrap_log_message=True)
        .enable_log_details(enable_log_details=True)
        .sort_order(c.LogsSortOrder.DESCENDING)
    )


def log_lines(fields: Sequence[str], conditions: str, *, shown: Sequence[str]) -> str:
    """Return a query of log lines that reads these fields, and shows some of them as a person would write them."""
    extracted = ", ".join(f'{field}="{field}"' for field in dict.fromkeys([*fields, *shown]))
    first, *others = shown
    template = "".join(f"{{{{if .{field}}}}}  {{{{.{field}}}}}{{{{end}}}}" for field in others)
    return f"{LOG} | json {extracted} | {conditions} | line_format `{{{{.{first}}}}}{template}`"


def at(place: tuple[int, int, int, int], panel: Any) -> Any:
    """Place a panel by column, line, width and height.

    A phone shows one below the other, ordered by their line, then their column.
    """
    x, y, width, height = place
    return panel.grid_pos(d.GridPos(x=x, y=y, w=width, h=height))


def row(id_: int, title: str) -> dashboard.Row:
    """Begin a row of panels."""
    return dashboard.Row(title).id(id_)


def logs_row(id_: int, title: str, panel: logs.Panel) -> dashboard.Row:
    """Make a folded row of a log panel: it asks Loki once it is opened, so that a site without Loki sees no error."""
    return row(id_, title).collapsed(collapsed=True).with_panel(panel)


def choice(
    name: str, label: str, text: str, expr: str, *, many: bool, regex: str = "", all_value: str = ".*"
) -> dashboard.QueryVariable:
    """Make a variable whose values a query gives."""
    variable = (
        dashboard.QueryVariable(name)
        .label(label)
        .description(text)
        .query(expr)
        .regex(regex)
        .datasource(PROMETHEUS)
        .refresh(d.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(d.VariableSort.ALPHABETICAL_ASC)
    )
    return (
        variable.multi(multi=True)
        .include_all(include_all=True)
        .all_value(all_value)
        .current(d.VariableOption(selected=True, text=["All"], value=["$__all"]))
        if many
        else variable
    )


def brand(*, many: bool) -> dashboard.QueryVariable:
    """Make the variable that every dashboard has."""
    return choice("brand", "Brand", "The tenant in Clopos.", "label_values(clopos_brand_up, brand)", many=many)


def by_id(name: str, label: str, text: str, series: str, *, many: bool) -> dashboard.QueryVariable:
    """Make a variable that shows names and stands for ids, which outlive a rename."""
    # Grafana writes the labels without escaping: a name may hold quotes, and ends before the last label.
    regex = rf'/^\{{{name}="(?<text>[\s\S]*)",{name}_id="(?<value>[\s\S]*)"\}} /'
    # Grafana reads this function on one line alone.
    expr = last_names(name, f"{name}_id", series).replace("\n", " ")
    return choice(name, label, text, f"query_result({expr})", many=many, regex=regex)


_TITLES = {
    "clopos-kitchen": "Kitchen overview",
    "clopos-venue": "Venue",
    "clopos-brand": "Brand report",
    "clopos-exporter": "Exporter health",
}


def _link(uid: str, *, from_one_brand: bool) -> dashboard.DashboardLink:
    link = dashboard.DashboardLink(_TITLES[uid]).type(d.DashboardLinkType.LINK).icon("dashboard")
    link = link.keep_time(keep_time=True)
    if uid == "clopos-venue" and not from_one_brand:
        # It shows one brand: "All" would be none of its choices.
        return link.url(f"/d/{uid}?{_SOURCES}")
    return link.url(f"/d/{uid}").include_vars(include_vars=True)


def page(uid: str, text: str, *, since: str = "now-6h", one_brand: bool = False) -> dashboard.Dashboard:
    """Begin a dashboard, with links to the others."""
    begun = (
        dashboard.Dashboard(f"Clopos / {_TITLES[uid]}")
        .uid(uid)
        .description(text)
        .tags(["clopos"])
        .readonly()
        .refresh("30s")
        .time(since, "now")
        .timezone("browser")
        .tooltip(d.DashboardCursorSync.CROSSHAIR)
        .with_variable(
            dashboard.DatasourceVariable("prometheus_datasource").label("Prometheus data source").type("prometheus")
        )
        .with_variable(dashboard.DatasourceVariable("loki_datasource").label("Loki data source").type("loki"))
    )
    for other in _TITLES:
        if other != uid:
            begun = begun.link(_link(other, from_one_brand=one_brand))
    return begun
