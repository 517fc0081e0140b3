"""The metrics: definitions and rendering of bucket and node metrics, and the exporter's own."""
