"""The exporter's speed, compared with a baseline in the same run.

The exporter imports nothing from here, and no test asserts a time: machines differ.
"""
