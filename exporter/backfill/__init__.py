"""Past days as OpenMetrics files, one a day, for a database to import.

It asks through the accounts' own clients and writes through the metric table. Flags, progress and
exit codes are the command's.
"""

from exporter.backfill.buckets import UnknownBucketsError
from exporter.backfill.failures import Failures
from exporter.backfill.job import Backfill, BackfillOptions, Progress
from exporter.backfill.labels import extra_label
from exporter.backfill.output import OutputError
from exporter.backfill.span import first_moment_to_ask

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
