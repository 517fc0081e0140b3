"""What is polled, when, and what becomes of the results."""
