"""`python -m exporter` is the console script `flashback-exporter`."""

import sys

from exporter.cli import main

sys.exit(main())
