"""`python -m exporter` is the console script `flashback-exporter`."""

from exporter.cli import main

main()
