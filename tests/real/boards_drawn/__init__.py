"""The boards' pictures: a simulated week, and Grafana's own components that draw it.

`week` makes the week and what Prometheus would have recorded of it, `answers` asks what a board's
panels ask, `drawing` shows the answers in a browser. What is on the boards is not decided here.
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
"""The pictures in the documentation, with the height of each in pixels."""
