"""The HTTP endpoints that Prometheus, probes and people ask."""
