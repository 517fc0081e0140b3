"""Past days as OpenMetrics files, one a day, for a database to import.

It asks through the accounts' own clients and writes through the metric table. Flags, progress and
exit codes are the command's.
"""

from exporter.backfill.day import extra_label, first_moment_to_ask
from exporter.backfill.failures import Failures
from exporter.backfill.job import Backfill, BackfillOptions, Progress, UnknownBucketsError
from exporter.backfill.output import OutputError

__all__ = [
    "Backfill",
    "BackfillOptions",
    "Failures",
    "OutputError",
    "Progress",
    "UnknownBucketsError",
    "extra_label",
    "first_moment_to_ask",
]
