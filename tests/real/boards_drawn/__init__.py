"""Draws the pictures of the dashboards from a simulated week, with Grafana's own components.

`week` simulates the week and what Prometheus would have recorded, `answers` runs the queries of a
dashboard's panels, and `drawing` shows the results in a browser. The dashboards themselves are in
`monitoring`.
"""

from __future__ import annotations

from tests.real.boards_drawn.drawing import BoardShot

SHOTS = (
    BoardShot("overview", "dark", 1064),
    BoardShot("overview", "light", 1064),
    BoardShot("bucket", "light", 874),
    BoardShot("node", "dark", 874),
    BoardShot("slo", "light", 836),
    BoardShot("exporter", "dark", 874),
)
"""The pictures in the documentation, with their heights in pixels."""
