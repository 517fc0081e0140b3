"""Tables: instant queries side by side, merged on the labels that they share.

Each column has a title and a unit, and may have links.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from monitoring.boards import colours, links, panels
from monitoring.boards.colours import Thresholds, ValueMappings
from monitoring.boards.panels import Text
from monitoring.boards.sdk import common, dashboard, prometheus, table


@dataclass(frozen=True, slots=True)
class Column:
    """A column of values: its query and display. A hidden one only adds labels to the rows."""

    title: str
    expr: str
    unit: str = "short"
    steps: Thresholds = ()
    meanings: ValueMappings = field(default_factory=dict)
    hidden: bool = False
    decimals: int | None = None


WIDTHS = {
    "Severity": 95,
    "Alert": 290,
    "Host": 270,
    "IP": 120,
    "Account": 95,
    "Status": 130,
    "Buckets": 90,
    "For": 90,
    "Since": 162,
    "Last successful poll": 162,
}
"""Widths in pixels of columns whose text is short or must not be cut."""

MIN_WIDTH = 70
"""The minimum width of other columns, in pixels."""


def rows(
    text: Text,
    labels: dict[str, str],
    *columns: Column,
    leads: dict[str, dashboard.DashboardLink] | None = None,
    meanings: dict[str, ValueMappings] | None = None,
    by: tuple[str, bool] | None = None,
) -> dashboard.Panel:
    """A table with a column for each label (by name: its title), then the columns of values.

    `leads` has links from the cells of a label, `meanings` what its values mean. A bucket's id is
    hidden where its name leads to its page. `by` is the title of the column to sort by, and whether
    the largest comes first.
    """
    overrides = [_column(each) for each in columns if not each.hidden]
    overrides += [_link(labels[name], link) for name, link in (leads or {}).items()]
    overrides += [_coloured(labels[name], found) for name, found in (meanings or {}).items()]
    if "name" in (leads or {}):
        overrides.append(_with(labels["bucket_id"], "custom.hidden", value=True))
    titles = [*labels.values(), *(each.title for each in columns)]
    overrides += [
        _with(title, "custom.width", value=WIDTHS[title]) for title in titles if title in WIDTHS
    ]
    order = [common.TableSortByFieldState(display_name=by[0], desc=by[1])] if by else None
    return dashboard.Panel(
        type_val="table",
        title=text.title,
        description=text.description,
        links=[links.runbook(text.alert)] if text.alert else None,
        datasource=panels.SOURCE,
        targets=[_target(each, place) for place, each in enumerate(columns)],
        transformations=[
            dashboard.DataTransformerConfig(id_val="merge", options={}),
            dashboard.DataTransformerConfig(id_val="organize", options=_order(labels, columns)),
        ],
        options=table.Options(
            show_header=True, cell_height=common.TableCellHeight.SM, sort_by=order
        ),
        field_config=dashboard.FieldConfigSource(
            defaults=dashboard.FieldConfig(
                unit="short",
                thresholds=colours.thresholds(colours.PLAIN),
                custom=common.TableFieldOptions(
                    align=common.FieldTextAlignment.AUTO, filterable=True, min_width=MIN_WIDTH
                ),
            ),
            overrides=overrides,
        ),
    )


_FILLED = dashboard.DynamicConfigValue(
    id_val="custom.cellOptions", value={"type": "color-background", "mode": "basic"}
)
"""The cell is filled with the colour of its value."""


def _target(column: Column, place: int) -> prometheus.Dataquery:
    target = panels.target(panels.Query(column.expr), place)
    target.range_val, target.instant = False, True
    target.format_val = prometheus.PromQueryFormat.TABLE
    return target


def _order(labels: dict[str, str], columns: tuple[Column, ...]) -> dict[str, object]:
    values = [_value_field(place, len(columns)) for place in range(len(columns))]
    shown = {name: each.title for name, each in zip(values, columns, strict=True)}
    hidden = [name for name, each in zip(values, columns, strict=True) if each.hidden]
    fields = [*labels, *values]
    return {
        "excludeByName": dict.fromkeys(["Time", *hidden], True),
        "indexByName": {name: place for place, name in enumerate(fields)},
        "renameByName": {**labels, **shown},
    }


def _value_field(place: int, count: int) -> str:
    return "Value" if count == 1 else f"Value #{chr(ord('A') + place)}"


def _column(column: Column) -> dashboard.DashboardFieldConfigSourceOverrides:
    properties = [dashboard.DynamicConfigValue(id_val="unit", value=column.unit)]
    if column.decimals is not None:
        properties.append(dashboard.DynamicConfigValue(id_val="decimals", value=column.decimals))
    if column.meanings:
        found = colours.mappings(column.meanings)
        properties.append(dashboard.DynamicConfigValue(id_val="mappings", value=found))
    if column.steps:
        steps = colours.thresholds(column.steps)
        properties.append(dashboard.DynamicConfigValue(id_val="thresholds", value=steps))
    if column.meanings or column.steps:
        properties.append(_FILLED)
    return _override(column.title, properties)


def _coloured(title: str, meanings: ValueMappings) -> dashboard.DashboardFieldConfigSourceOverrides:
    found = colours.mappings(meanings)
    return _override(title, [dashboard.DynamicConfigValue(id_val="mappings", value=found), _FILLED])


def _link(
    title: str, link: dashboard.DashboardLink
) -> dashboard.DashboardFieldConfigSourceOverrides:
    return _with(title, "links", value=[link])


def _with(title: str, name: str, *, value: object) -> dashboard.DashboardFieldConfigSourceOverrides:
    return _override(title, [dashboard.DynamicConfigValue(id_val=name, value=value)])


def _override(
    title: str, properties: list[dashboard.DynamicConfigValue]
) -> dashboard.DashboardFieldConfigSourceOverrides:
    return dashboard.DashboardFieldConfigSourceOverrides(
        matcher=dashboard.MatcherConfig(id_val="byName", options=title), properties=properties
    )
