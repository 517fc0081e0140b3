"""Panels: one function per type, with common defaults.

`layout` sets each panel's position and id. The queries come from the callers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from monitoring.boards import colours, links
from monitoring.boards.colours import Thresholds, ValueMappings
from monitoring.boards.sdk import (
    bargauge,
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    statushistory,
    timeseries,
)

SOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")


@dataclass(frozen=True, slots=True)
class Query:
    """An expression of a panel, and its legend."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Values:
    """How a panel displays its values."""

    unit: str
    steps: Thresholds = colours.PLAIN
    meanings: ValueMappings | None = None
    low: float | None = None
    high: float | None = None
    decimals: int | None = None
    none: str | None = None  # the text shown without data


@dataclass(frozen=True, slots=True)
class Text:
    """A panel's title, description and links."""

    title: str
    description: str
    links: tuple[dashboard.DashboardLink, ...] = ()  # from each of its series
    alert: str = ""  # links to this alert's section of the runbook


def lines(
    text: Text,
    values: Values,
    *queries: Query,
    daily: bool = False,
    stacked: bool = False,
    points: int | None = None,
    named: Mapping[str, str] | None = None,
) -> dashboard.Panel:
    """Values over time, with at most `points` points; `daily` has one point per day.

    Lines with a fixed legend get distinguishable colours; `named` has the colours of lines whose
    legend is a label's value.
    """
    custom = timeseries.FieldConfig(
        line_width=2,
        fill_opacity=20 if stacked else 0,
        show_points=common.VisibilityMode.ALWAYS if daily else common.VisibilityMode.AUTO,
        span_nulls=False,
        stacking=common.StackingConfig(
            mode=common.StackingMode.NORMAL if stacked else common.StackingMode.NONE, group="A"
        ),
    )
    options = timeseries.Options(legend=_legend(), tooltip=_tooltip())
    color = dashboard.FieldColor(mode=dashboard.FieldColorModeId.PALETTE_CLASSIC)
    made = _panel("timeseries", text, values, queries, options=options, custom=custom, color=color)
    made.max_data_points = points
    known = [each.legend for each in queries if each.legend and "{{" not in each.legend]
    if made.field_config is not None:
        found = named or dict(zip(known, colours.LINES, strict=False))
        made.field_config.overrides = colours.by_name(found)
    return _daily(made) if daily else made


def number(text: Text, values: Values, *queries: Query, name_only: bool = False) -> dashboard.Panel:
    """The latest value, large; `name_only` shows the legend instead.

    If the values have thresholds, their colour fills the panel.
    """
    has_thresholds = values.steps != colours.PLAIN
    options = stat.Options(
        graph_mode=common.BigValueGraphMode.NONE,
        color_mode=common.BigValueColorMode.BACKGROUND_SOLID
        if has_thresholds
        else common.BigValueColorMode.NONE,
        text_mode=common.BigValueTextMode.NAME if name_only else common.BigValueTextMode.AUTO,
        reduce_options=_newest(),
    )
    return _instant(_panel("stat", text, values, queries, options=options))


def bars(text: Text, values: Values, *queries: Query) -> dashboard.Panel:
    """The newest value of each series, as bars."""
    options = bargauge.Options(
        display_mode=common.BarGaugeDisplayMode.BASIC,
        orientation=common.VizOrientation.HORIZONTAL,
        reduce_options=_newest(),
    )
    return _instant(_panel("bargauge", text, values, queries, options=options))


def days(text: Text, values: Values, query: Query, *, since: str | None = None) -> dashboard.Panel:
    """One coloured cell per day and series; `since` (`28d`) fixes the time range."""
    options = statushistory.Options(
        legend=common.VizLegendOptions(show_legend=False), tooltip=_tooltip(), per_page=30
    )
    made = _panel(
        "status-history", text, values, [query], options=options, custom=statushistory.FieldConfig()
    )
    made.time_from = since
    return _daily(made)


def states(text: Text, values: Values, query: Query) -> dashboard.Panel:
    """States over time, one row per series."""
    options = statetimeline.Options(
        show_value=common.VisibilityMode.NEVER,
        merge_values=True,
        legend=_legend(),
        tooltip=_tooltip(),
        per_page=30,
    )
    custom = statetimeline.FieldConfig(line_width=0, fill_opacity=80)
    return _panel("state-timeline", text, values, [query], options=options, custom=custom)


def distribution(text: Text, values: Values, query: Query) -> dashboard.Panel:
    """A histogram's buckets over time; the query gives one series per `le`."""
    options = heatmap.Options(
        calculate=False,
        color=heatmap.HeatmapColorOptions(
            mode=heatmap.HeatmapColorMode.SCHEME, scheme="Oranges", steps=64
        ),
        cell_gap=1,
        y_axis=heatmap.YAxisConfig(unit=values.unit),
        legend=heatmap.HeatmapLegend(show=True),
        tooltip=heatmap.HeatmapTooltip(mode=common.TooltipDisplayMode.SINGLE, y_histogram=False),
    )
    made = _panel("heatmap", text, values, [query], options=options, custom=heatmap.FieldConfig())
    for target in _targets(made):
        target.format_val = prometheus.PromQueryFormat.HEATMAP
    return made


def _panel(
    kind: str,
    text: Text,
    values: Values,
    queries: Sequence[Query],
    *,
    options: object,
    custom: object = None,
    color: dashboard.FieldColor | None = None,
) -> dashboard.Panel:
    defaults = dashboard.FieldConfig(
        unit=values.unit,
        min_val=values.low,
        max_val=values.high,
        decimals=values.decimals,
        no_value=values.none,
        thresholds=colours.thresholds(values.steps),
        mappings=colours.mappings(values.meanings or {}),
        color=color or dashboard.FieldColor(mode=dashboard.FieldColorModeId.THRESHOLDS),
        links=list(text.links) or None,
        custom=custom,
    )
    return dashboard.Panel(
        type_val=kind,
        title=text.title,
        description=text.description,
        links=[links.runbook(text.alert)] if text.alert else None,
        datasource=SOURCE,
        targets=[target(query, place) for place, query in enumerate(queries)],
        options=options,
        field_config=dashboard.FieldConfigSource(defaults=defaults),
    )


def target(query: Query, place: int) -> prometheus.Dataquery:
    """Grafana's form of a query; `place` is its index in the panel."""
    return prometheus.Dataquery(
        datasource=SOURCE,
        editor_mode=prometheus.QueryEditorMode.CODE,
        expr=query.expr,
        legend_format=query.legend or "__auto",
        ref_id=chr(ord("A") + place),
        range_val=True,
        instant=False,
    )


def _targets(panel: dashboard.Panel) -> list[prometheus.Dataquery]:
    return [each for each in panel.targets or [] if isinstance(each, prometheus.Dataquery)]


def _instant(panel: dashboard.Panel) -> dashboard.Panel:
    for each in _targets(panel):
        each.range_val, each.instant = False, True
    return panel


def _daily(panel: dashboard.Panel) -> dashboard.Panel:
    panel.interval = "1d"
    return panel


def _newest() -> common.ReduceDataOptions:
    return common.ReduceDataOptions(values=False, calcs=["lastNotNull"], fields="")


def _legend(placement: Literal["bottom", "right"] = "bottom") -> common.VizLegendOptions:
    return common.VizLegendOptions(
        display_mode=common.LegendDisplayMode.LIST,
        placement=common.LegendPlacement(placement),
        show_legend=True,
    )


def _tooltip() -> common.VizTooltipOptions:
    return common.VizTooltipOptions(
        mode=common.TooltipDisplayMode.MULTI, sort=common.SortOrder.DESCENDING
    )
