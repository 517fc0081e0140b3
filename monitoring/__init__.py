"""Recording rules, alerts and dashboards, rendered from code.

`python -m monitoring` writes them; the rendered files are committed in this directory, and are used
with and without the Helm chart. Nothing here is part of the exporter.
"""
