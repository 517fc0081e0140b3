"""The Prometheus exporter for Flashback storage buckets. Start with docs/architecture.md."""
