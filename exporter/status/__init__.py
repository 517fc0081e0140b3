"""The status pages and `/api/v1/status`, both made from a snapshot of the exporter.

All modules but `api` and `pages`, which handle requests, are pure.
"""
