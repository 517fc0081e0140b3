"""The status pages and `/api/v1/status`, both made from a snapshot of the exporter.

Only `api` and `pages` handle requests; the other modules do no I/O.
"""
