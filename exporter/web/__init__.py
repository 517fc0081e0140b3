"""The HTTP server: metrics, health, reload, TLS and authentication."""
