"""Annotations on the graphs: starts of exporters, with their version, and reloads."""

from __future__ import annotations

from monitoring.boards import colours
from monitoring.boards.panels import SOURCE
from monitoring.boards.queries import select
from monitoring.boards.sdk import dashboard


def annotation_queries() -> list[dashboard.AnnotationQuery]:
    """The annotations of every dashboard; each can be switched off."""
    version = f"max by (job, instance, version) ({select('flashback_exporter_build_info')})"
    started = f"max by (job, instance) ({select('process_start_time_seconds')})"
    reloaded = select("flashback_exporter_config_last_reload_success_timestamp_seconds")
    return [
        _mark(
            "Starts",
            f"{started} * on (job, instance) group_right () {version} * 1000",
            colours.OTHER,
            "Exporter {{version}} started",
        ),
        _mark(
            "Reloads",
            f"max by (job, instance) ({reloaded}) * 1000",
            colours.FAIR,
            "Configuration loaded",
        ),
    ]


def _mark(name: str, expr: str, color: str, title: str) -> dashboard.AnnotationQuery:
    """Annotations at the times that are the values of a series, in milliseconds."""
    mark = dashboard.AnnotationQuery(
        name=name,
        datasource=SOURCE,
        enable=True,
        hide=False,
        icon_color=color,
        expr=expr,
        step="60s",
        title_format=title,
        text_format="{{instance}}",
        use_value_for_time=True,
    )
    mark.placement = None  # type: ignore[assignment] # else the SDK hides it in a menu
    return mark
