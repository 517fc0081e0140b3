"""Writes previous days as OpenMetrics files, one per day, for import into a database.

Requests use the same clients as polling; samples use the definitions in `metrics.families`.
Flags, progress and exit codes belong to the command.
"""

from exporter.backfill.day import available_from, extra_label
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
    "available_from",
    "extra_label",
]
