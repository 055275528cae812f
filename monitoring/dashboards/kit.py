"""What all dashboards share: variables, links, targets, and panels that already look as they should."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from grafana_foundation_sdk.builders import (
    bargauge,
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

TAG = "clopos"
LOG = '{app="clopos-exporter"}'
EVENTS = "(station|venue|brand)[.].+"
STATION = "brand, venue_id, station_id"
VENUE = "brand, venue_id"

GREEN, ORANGE, RED, BLUE, GREY = "green", "orange", "red", "blue", "#808080"

_Mapping = d.ValueMap | d.RangeMap | d.RegexMap | d.SpecialValueMap
States = Mapping[float, tuple[str, str]]
"""What a value means, and its color."""

ACTIVITY: States = {1: ("active", GREEN), 0: ("inactive", RED)}
YES: States = {1: ("yes", GREEN), 0: ("no", RED)}
VENUE_STATES: States = {
    0: ("all stations active", GREEN),
    1: ("station inactive", ORANGE),
    2: ("kitchen station inactive", RED),
    3: ("closed", BLUE),
    4: ("not readable", GREY),
}


_PROMETHEUS = c.DataSourceRef(type_val="prometheus", uid="${prometheus_datasource}")
LOKI = c.DataSourceRef(type_val="loki", uid="${loki_datasource}")


def named(expr: str, selector: str, *, venue_only: bool = False) -> str:
    """Return the series of an expression the names that belong to their ids."""
    keys, names, metric = (
        (VENUE, "venue", "clopos_venue_up") if venue_only else (STATION, "venue, station", "clopos_station_active")
    )
    # topk keeps the names unique for the moment in which a pair of exporters does not agree on a new one.
    return (
        f"({expr})\n* on ({keys}) group_left ({names})\n"
        f"topk by ({keys}) (1, group by ({keys}, {names}) ({metric}{selector}))"
    )


def query(expr: str, legend: str = "", *, now: bool = False, rows: bool = False) -> prometheus.Dataquery:
    """Make a target: over time, as it is `now`, or as the `rows` of a table."""
    target = prometheus.Dataquery().expr(expr).legend_format(legend).datasource(_PROMETHEUS)
    target = target.instant() if now or rows else target.range()
    return target.format(PromQueryFormat.TABLE) if rows else target


def _dressed(panel: Any, title: str, text: str, unit: str, targets: Sequence[prometheus.Dataquery]) -> Any:
    panel = panel.title(title).description(text).unit(unit).datasource(_PROMETHEUS)
    for number, target in enumerate(targets):
        panel = panel.with_target(target.ref_id(chr(ord("A") + number)))
    return panel


def _mapping(states: States) -> list[_Mapping]:
    return [
        d.ValueMap(
            options={
                f"{value:g}": d.ValueMappingResult(text=text, color=color, index=index)
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


GOOD_WHEN_ZERO = _steps((None, GREEN), (1, RED))
PLAIN = _steps((None, BLUE))
AVAILABILITY = _steps((None, RED), (0.95, ORANGE), (0.99, GREEN))
MINUTES = _steps((None, GREEN), (10, ORANGE), (60, RED))


def number(
    title: str,
    text: str,
    *targets: prometheus.Dataquery,
    unit: str = units.Short,
    thresholds: dashboard.ThresholdsConfig = PLAIN,
    states: States | None = None,
    width: int = 4,
    height: int = 4,
) -> stat.Panel:
    """Make one big number, or a word where `states` say what the numbers mean."""
    panel: stat.Panel = _dressed(stat.Panel(), title, text, unit, targets)
    panel = panel.span(width).height(height).graph_mode(c.BigValueGraphMode.NONE).thresholds(thresholds)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    return panel.mappings(_mapping(states)) if states else panel


def tiles(title: str, text: str, target: prometheus.Dataquery, states: States, url: str) -> stat.Panel:
    """Make one colored tile for each series, by its name, that leads somewhere."""
    panel = number(title, text, target, states=states, width=24, height=8)
    link = dashboard.DashboardLink("Open").url(url).type(d.DashboardLinkType.LINK)
    return (
        panel.text_mode(c.BigValueTextMode.VALUE_AND_NAME)
        .color_mode(c.BigValueColorMode.BACKGROUND)
        .text(common.VizTextDisplayOptions().title_size(13).value_size(13))
        .data_links([link])
    )


def lines(
    title: str,
    text: str,
    *targets: prometheus.Dataquery,
    unit: str = units.Short,
    width: int = 12,
    stacked: bool = False,
    most: float | None = None,
) -> timeseries.Panel:
    """Make a graph over time."""
    panel: timeseries.Panel = _dressed(timeseries.Panel(), title, text, unit, targets)
    panel = panel.span(width).height(8).min(0).fill_opacity(10).show_points(c.VisibilityMode.NEVER)
    if most is not None:
        panel = panel.max(most)
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(c.StackingMode.NORMAL)).fill_opacity(40)
    return panel


def states(title: str, text: str, target: prometheus.Dataquery, meaning: States, *, height: int = 8) -> Any:
    """Make one band for each series, colored by its state over time."""
    panel: statetimeline.Panel = _dressed(statetimeline.Panel(), title, text, units.Short, [target])
    panel = panel.span(24).height(height).mappings(_mapping(meaning)).row_height(0.8).fill_opacity(80)
    return panel.show_value(c.VisibilityMode.NEVER).merge_values(merge_values=True)


def history(title: str, text: str, target: prometheus.Dataquery, meaning: States) -> statushistory.Panel:
    """Make one row of cells for each series, over the last week whatever the dashboard shows."""
    panel: statushistory.Panel = _dressed(statushistory.Panel(), title, text, units.Short, [target])
    panel = panel.span(24).height(8).mappings(_mapping(meaning)).row_height(0.9).show_value(c.VisibilityMode.NEVER)
    return panel.time_from("7d").max_data_points(168).interval("1h")


def bars(
    title: str,
    text: str,
    target: prometheus.Dataquery,
    *,
    unit: str,
    thresholds: dashboard.ThresholdsConfig,
    most: float | None = None,
    width: int = 12,
) -> bargauge.Panel:
    """Make one bar for each series."""
    panel: bargauge.Panel = _dressed(bargauge.Panel(), title, text, unit, [target])
    panel = panel.span(width).height(8).min(0).orientation(c.VizOrientation.HORIZONTAL).thresholds(thresholds)
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"])).show_unfilled(show_unfilled=True)
    return panel if most is None else panel.max(most)


def rows(
    title: str,
    text: str,
    target: prometheus.Dataquery,
    columns: Mapping[str, str],
    *,
    unit: str = units.Short,
    first: str = "Value",
) -> table.Panel:
    """Make a table of these columns, from label to heading, in this order, sorted by one of them.

    `Value`, whose unit is `unit`, is sorted from the greatest, a label by the alphabet.
    """
    panel: table.Panel = _dressed(table.Panel(), title, text, units.Short, [target])
    options = {"include": {"names": list(columns)}}
    order = {name: index for index, name in enumerate(columns)}
    panel = panel.with_transformation(
        d.DataTransformerConfig(id_val="filterFieldsByName", options=options)
    ).with_transformation(
        d.DataTransformerConfig(id_val="organize", options={"indexByName": order, "renameByName": dict(columns)})
    )
    if "Value" in columns:
        panel = panel.override_by_name(columns["Value"], [d.DynamicConfigValue(id_val="unit", value=unit)])
    if first in columns:
        by = common.TableSortByFieldState().display_name(columns[first])
        panel = panel.sort_by([by.desc(desc=True) if first == "Value" else by])
    return panel.span(12).height(8)


def log(title: str, text: str, expr: str) -> logs.Panel:
    """Make a panel of log lines."""
    target = loki.Dataquery().expr(expr).datasource(LOKI).query_type("range").ref_id("A")
    return (
        logs.Panel()
        .title(title)
        .description(text)
        .datasource(LOKI)
        .with_target(target)
        .span(24)
        .height(8)
        .show_time(show_time=True)
        .wrap_log_message(wrap_log_message=True)
        .sort_order(c.LogsSortOrder.DESCENDING)
    )


def logs_row(title: str, panel: logs.Panel) -> dashboard.Row:
    """Make a folded row of a log panel: it asks Loki once it is opened, so that a site without Loki sees no error."""
    return dashboard.Row(title).collapsed(collapsed=True).with_panel(panel)


def choice(name: str, label: str, text: str, expr: str, *, many: bool, regex: str = "") -> dashboard.QueryVariable:
    """Make a variable whose values a query gives."""
    variable = (
        dashboard.QueryVariable(name)
        .label(label)
        .description(text)
        .query(expr)
        .regex(regex)
        .datasource(_PROMETHEUS)
        .refresh(d.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(d.VariableSort.ALPHABETICAL_ASC)
    )
    return (
        variable.multi(multi=True)
        .include_all(include_all=True)
        .all_value(".*")
        .current(d.VariableOption(selected=True, text=["All"], value=["$__all"]))
        if many
        else variable
    )


def brand(*, many: bool) -> dashboard.QueryVariable:
    """Make the variable that every dashboard has."""
    return choice("brand", "Brand", "The tenant in Clopos.", "label_values(clopos_brand_up, brand)", many=many)


def by_id(name: str, label: str, text: str, series: str, *, many: bool) -> dashboard.QueryVariable:
    """Make a variable that shows names and stands for ids, which outlive a rename."""
    regex = f'/{name}="(?<text>[^"]+)".*{name}_id="(?<value>[^"]+)"/'
    expr = f"query_result(group by ({name}, {name}_id) (last_over_time({series}[$__range])))"
    return choice(name, label, text, expr, many=many, regex=regex)


def page(uid: str, title: str, text: str, *, since: str = "now-6h") -> dashboard.Dashboard:
    """Begin a dashboard."""
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(text)
        .tags([TAG])
        .readonly()
        .refresh("30s")
        .time(since, "now")
        .timezone("browser")
        .tooltip(d.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Clopos")
            .type(d.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(include_vars=True)
            .keep_time(keep_time=True)
        )
        .with_variable(
            dashboard.DatasourceVariable("prometheus_datasource").label("Prometheus data source").type("prometheus")
        )
        .with_variable(dashboard.DatasourceVariable("loki_datasource").label("Loki data source").type("loki"))
    )
