"""The labels that `--label` adds to every series: what they may be, and how they are written.

Pure. The labels of the metrics themselves are `metrics`'.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from exporter.config.values import LABEL_NAME_PATTERN, label_value
from exporter.metrics.families import PREVIOUS_DAY, label_pair

METRIC_LABELS = frozenset(name for figure in PREVIOUS_DAY for name in figure.labels)
RESERVED = frozenset({"le", "quantile"})

_NAME = re.compile(LABEL_NAME_PATTERN)


def extra_label(text: str) -> tuple[str, str]:
    """Name and value of `name=value`. Raises ValueError."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError("write it as name=value")
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} is not a label name: use letters, digits and _, with no digit in front"
        )
    if name.startswith("__") or name in RESERVED:
        raise ValueError(f"{name} means something else to Prometheus: choose another")
    if name in METRIC_LABELS:
        raise ValueError(f"the metrics have a label {name} of their own: choose another")
    if not value:
        raise ValueError(f"{name} has no value, which is the same as no label: remove it")
    return name, label_value(value)


def label_suffix(labels: Mapping[str, str]) -> str:
    """What follows a series' own labels."""
    return "".join(f",{label_pair(name, value)}" for name, value in labels.items())
