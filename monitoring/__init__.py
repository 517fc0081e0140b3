"""What people look at: recording rules, alerts and dashboards, rendered from code.

`python -m monitoring` writes them; the rendered files are committed beside this package, for plain
users and for the Helm chart alike. Nothing here is part of the exporter.
"""
