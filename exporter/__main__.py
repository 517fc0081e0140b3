"""Makes `python -m exporter` the same as the console script `flashback-exporter`."""

from exporter.cli import main

main()
