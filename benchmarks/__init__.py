"""How fast the exporter is, as ratios against what runs beside it in the same run.

The exporter imports nothing of this, and no test asserts a time: machines differ and are shared.
"""
