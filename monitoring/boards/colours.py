"""Thresholds and value mappings: the colours and names of values.

Colour-blind people can distinguish the colours with a meaning; a test checks that. Unknown values
are grey, never the colour of a good value.
"""

from __future__ import annotations

from collections.abc import Mapping

from monitoring.boards.sdk import dashboard

GOOD, FAIR, WARNING, BAD = "#00A37A", "#A8D5F2", "#FFB52E", "#C8102E"
OTHER = "#7B4FD6"  # neither good nor bad: an unknown status
UNKNOWN = "#4D5056"
PLAIN_TEXT = "text"

Thresholds = tuple[tuple[float, str], ...]
"""Thresholds with their colours. Below the first, and without a value, the colour is grey."""

LOWEST = -1e9
"""Below every value that a panel shows."""

PLAIN: Thresholds = ((LOWEST, PLAIN_TEXT),)
ZERO_IS_GOOD: Thresholds = ((0, GOOD), (1, BAD))
ZERO_IS_BAD: Thresholds = ((0, BAD), (1, GOOD))
BUDGET: Thresholds = ((LOWEST, BAD), (0, WARNING), (0.25, FAIR), (0.5, GOOD))
BURN: Thresholds = ((0, GOOD), (1, FAIR), (6, WARNING), (14.4, BAD))
LAG: Thresholds = ((0, GOOD), (30, WARNING), (60, BAD))
CERTIFICATE: Thresholds = ((LOWEST, BAD), (3 * 86400, WARNING), (7 * 86400, GOOD))
LIFETIME: Thresholds = ((LOWEST, BAD), (300, WARNING), (600, GOOD))


def uptime_thresholds(target: float) -> Thresholds:
    """For a target of 99 %: bad below 95 %, a warning below 99 %, good from 99.9 % on."""
    allowed = 1 - target
    steps = ((1 - 5 * allowed, WARNING), (target, FAIR), (1 - allowed / 10, GOOD))
    return ((0, BAD), *((round(value, 6), color) for value, color in steps if value > 0))


def age_thresholds(warning: float, bad: float) -> Thresholds:
    """Thresholds for an age in seconds."""
    return ((LOWEST, GOOD), (warning, WARNING), (bad, BAD))


ValueMappings = dict[str, tuple[str, str]]
"""The name and colour of each value."""

STATUSES: ValueMappings = {
    "1": ("ONLINE", GOOD),
    "2": ("other", OTHER),
    "3": ("OFFLINE", WARNING),
    "4": ("DISCONNECTED", BAD),
}
STATUS_NAMES: ValueMappings = {
    "ONLINE": ("ONLINE", GOOD),
    "UNKNOWN": ("UNKNOWN", OTHER),
    "OFFLINE": ("OFFLINE", WARNING),
    "DISCONNECTED": ("DISCONNECTED", BAD),
}
SEVERITIES: ValueMappings = {
    "critical": ("critical", BAD),
    "warning": ("warning", WARNING),
    "info": ("info", FAIR),
}
UP: ValueMappings = {"0": ("failing", BAD), "1": ("up", GOOD)}
SUCCESS: ValueMappings = {"0": ("failed", BAD), "1": ("ok", GOOD)}

MEANINGFUL = (GOOD, FAIR, WARNING, BAD, OTHER, UNKNOWN)
"""The colours with a meaning: no two may look alike."""

LINES = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Colours of lines with fixed names: the Okabe-Ito palette."""

REASONS = {
    "not_found": LINES[0],
    "timeout": LINES[1],
    "server_error": LINES[5],
    "unauthorized": LINES[3],
    "connect": LINES[4],
    "rate_limited": "#F0E442",
    "forbidden": OTHER,
}
"""Colours of the frequent reasons; none is green."""


def thresholds(steps: Thresholds) -> dashboard.ThresholdsConfig:
    """Colours by absolute value, grey at the bottom: Grafana draws "No data" in that colour."""
    known = [dashboard.Threshold(value=value, color=color) for value, color in steps]
    return dashboard.ThresholdsConfig(
        steps=[dashboard.Threshold(value=None, color=UNKNOWN), *known]
    )


def mappings(meanings: ValueMappings) -> list[dashboard.ValueMapping]:
    """Names and colours of single values."""
    results = {
        value: dashboard.ValueMappingResult(text=name, color=color, index=index)
        for index, (value, (name, color)) in enumerate(meanings.items())
    }
    return [dashboard.ValueMap(options=results)] if results else []


def by_name(colors: Mapping[str, str]) -> list[dashboard.DashboardFieldConfigSourceOverrides]:
    """Overrides with the colours of lines, by name."""
    return [
        dashboard.DashboardFieldConfigSourceOverrides(
            matcher=dashboard.MatcherConfig(id_val="byName", options=name),
            properties=[
                dashboard.DynamicConfigValue(
                    id_val="color", value={"mode": "fixed", "fixedColor": color}
                )
            ],
        )
        for name, color in colors.items()
    ]
