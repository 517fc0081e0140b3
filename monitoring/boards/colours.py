"""What values mean: colours from a value on, and names of single values."""

from __future__ import annotations

from monitoring.boards.sdk import dashboard

GREEN, YELLOW, ORANGE, RED, BLUE, GREY = "green", "yellow", "orange", "red", "blue", "text"

Steps = tuple[tuple[float | None, str], ...]
"""Colours from a value on; the first value is None."""

PLAIN: Steps = ((None, BLUE),)
NONE_IS_GOOD: Steps = ((None, GREEN), (1, RED))
ALL_IS_GOOD: Steps = ((None, RED), (1, GREEN))
UPTIMES: Steps = ((None, RED), (0.95, ORANGE), (0.99, YELLOW), (0.999, GREEN))
BUDGET: Steps = ((None, RED), (0, ORANGE), (0.25, YELLOW), (0.5, GREEN))
BURN: Steps = ((None, GREEN), (1, YELLOW), (6, ORANGE), (14.4, RED))
LAG: Steps = ((None, GREEN), (30, YELLOW), (60, RED))
LIFETIME: Steps = ((None, RED), (300, ORANGE), (600, GREEN))

Meanings = dict[str, tuple[str, str]]
"""What a value is called, and its colour."""

STATUSES: Meanings = {
    "1": ("ONLINE", GREEN),
    "2": ("other", "purple"),
    "3": ("OFFLINE", ORANGE),
    "4": ("DISCONNECTED", RED),
}
UP: Meanings = {"0": ("failing", RED), "1": ("up", GREEN)}
GOOD: Meanings = {"0": ("failed", RED), "1": ("ok", GREEN)}


def thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    """Colours by absolute value."""
    return dashboard.ThresholdsConfig(
        steps=[dashboard.Threshold(value=value, color=color) for value, color in steps]
    )


def mappings(meanings: Meanings) -> list[dashboard.ValueMapping]:
    """Names and colours of single values."""
    results = {
        value: dashboard.ValueMappingResult(text=name, color=color, index=index)
        for index, (value, (name, color)) in enumerate(meanings.items())
    }
    return [dashboard.ValueMap(options=results)] if results else []
