"""Background polling: what is polled, when, and where the results go."""
