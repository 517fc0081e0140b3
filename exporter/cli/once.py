"""`flashback-exporter once`: one poll of each bucket, printed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from random import Random

from exporter.app import polled_once
from exporter.cli import flags
from exporter.cli.process import SOME_FAILED, complaint, read_or_give_up, start_log
from exporter.clock import SystemClock
from exporter.config import ConfigError, load
from exporter.model import Reading
from exporter.polling.manager import Exporter

FLAGS = (
    flags.CONFIG_FILE,
    flags.DISABLE_EXPORTER_METRICS,
    *flags.SHARD_FLAGS,
    *flags.LOG_FLAGS,
)

_DESCRIPTION = """\
Polls every bucket once and prints the exposition to standard output.
Exit code 0 if all buckets answered, 3 if some failed.
"""


def once(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Poll each bucket once; the exit code."""
    parser = flags.parser("once", _DESCRIPTION)
    values = flags.parse(parser, FLAGS, arguments, environ)
    shard = flags.shard(values, parser)
    log = start_log(values[flags.LOG_LEVEL.name], values[flags.LOG_FORMAT.name])
    try:
        config = read_or_give_up(load, values[flags.CONFIG_FILE.name], environ)
    except ConfigError as error:
        return complaint(error)
    exporter = asyncio.run(
        polled_once(
            config,
            SystemClock(),
            Random(),  # noqa: S311 - jitter, no secret
            shard=shard,
            exporter_metrics=not values[flags.DISABLE_EXPORTER_METRICS.name],
            dropped_lines=log.dropped_lines,
        )
    )
    for chunk in exporter.exposition(openmetrics=False):
        sys.stdout.buffer.write(chunk)
    return 0 if _has_all(exporter) else SOME_FAILED


def _has_all(exporter: Exporter) -> bool:
    """Whether every bucket answered, and every listing that tells which buckets there are."""
    listings = [
        exporter.inventory(account.name)
        for account in exporter.config.accounts
        if account.discovery is not None
    ]
    return all(each is not None and each.fault is None for each in listings) and all(
        isinstance(each.state.newest, Reading) for each in exporter.entries()
    )
