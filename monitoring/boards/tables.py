"""Tables: instant queries side by side, merged on the labels that they share.

Each column is named, has a unit, and may lead elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from monitoring.boards import colours, links, panels
from monitoring.boards.colours import Meanings, Steps
from monitoring.boards.panels import Text
from monitoring.boards.sdk import common, dashboard, prometheus, table


@dataclass(frozen=True, slots=True)
class Column:
    """A column of values: what is asked, and how it reads; a hidden one only brings labels."""

    title: str
    expr: str
    unit: str = "short"
    steps: Steps = ()
    meanings: Meanings = field(default_factory=dict)
    hidden: bool = False


def rows(
    text: Text,
    labels: dict[str, str],
    *columns: Column,
    leads: dict[str, dashboard.DashboardLink] | None = None,
    meanings: dict[str, Meanings] | None = None,
    by: tuple[str, bool] | None = None,
    none: str | None = None,
) -> dashboard.Panel:
    """A table with a column for each label (by name: its title), then the columns of values.

    `leads` has links from the cells of a label, `meanings` what its values mean. `by` is the title
    of the column to sort by, and whether the largest comes first. `none` stands there where there
    are no rows.
    """
    overrides = [_column(each) for each in columns if not each.hidden]
    overrides += [_link(labels[name], link) for name, link in (leads or {}).items()]
    overrides += [_coloured(labels[name], found) for name, found in (meanings or {}).items()]
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
                no_value=none,
                thresholds=colours.thresholds(colours.PLAIN),
                custom=common.TableFieldOptions(
                    align=common.FieldTextAlignment.AUTO, filterable=True
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
    if column.meanings:
        found = colours.mappings(column.meanings)
        properties.append(dashboard.DynamicConfigValue(id_val="mappings", value=found))
    if column.steps:
        steps = colours.thresholds(column.steps)
        properties.append(dashboard.DynamicConfigValue(id_val="thresholds", value=steps))
    if column.meanings or column.steps:
        properties.append(_FILLED)
    return _override(column.title, properties)


def _coloured(title: str, meanings: Meanings) -> dashboard.DashboardFieldConfigSourceOverrides:
    found = colours.mappings(meanings)
    return _override(title, [dashboard.DynamicConfigValue(id_val="mappings", value=found), _FILLED])


def _link(
    title: str, link: dashboard.DashboardLink
) -> dashboard.DashboardFieldConfigSourceOverrides:
    return _override(title, [dashboard.DynamicConfigValue(id_val="links", value=[link])])


def _override(
    title: str, properties: list[dashboard.DynamicConfigValue]
) -> dashboard.DashboardFieldConfigSourceOverrides:
    return dashboard.DashboardFieldConfigSourceOverrides(
        matcher=dashboard.MatcherConfig(id_val="byName", options=title), properties=properties
    )
