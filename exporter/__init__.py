"""The Prometheus exporter for Flashback storage buckets. docs/architecture.md shows the way in."""
