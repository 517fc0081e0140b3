"""The models of Grafana's foundation SDK that the boards are made of, imported in one place.

The SDK warns at import that a newer dashboard schema exists. The classic schema is used on purpose:
every Grafana since 9 reads it, whether provisioned or imported by hand.
"""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.cog import plugins
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models import (
        bargauge,
        common,
        dashboard,
        heatmap,
        prometheus,
        stat,
        statetimeline,
        statushistory,
        table,
        timeseries,
    )

__all__ = [
    "JSONEncoder",
    "bargauge",
    "common",
    "dashboard",
    "heatmap",
    "plugins",
    "prometheus",
    "stat",
    "statetimeline",
    "statushistory",
    "table",
    "timeseries",
]
