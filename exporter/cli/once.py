"""`flashback-exporter once`: polls each bucket once and prints the metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from random import Random

from exporter.app import poll_once
from exporter.cli import flags, write_out
from exporter.cli.flags import Values
from exporter.cli.process import SOME_FAILED, print_error, read_or_give_up, start_log
from exporter.clock import SystemClock
from exporter.config import ConfigError, load
from exporter.model import GoodPoll
from exporter.polling.manager import PollManager


def once(values: Values, environ: Mapping[str, str]) -> int:
    shard = flags.shard(values)
    log = start_log(values[flags.LOG_LEVEL.name], values[flags.LOG_FORMAT.name])
    try:
        config = read_or_give_up(load, values[flags.CONFIG_FILE.name], environ)
    except ConfigError as error:
        return print_error(error)
    exporter = asyncio.run(
        poll_once(
            config,
            SystemClock(),
            Random(),  # noqa: S311 - jitter, no secret
            shard=shard,
            dropped_lines=log.dropped_lines,
        )
    )
    for chunk in exporter.exposition(openmetrics=False):
        write_out(chunk)
    return 0 if _has_all(exporter) else SOME_FAILED


def _has_all(exporter: PollManager) -> bool:
    """Whether every poll and every discovery succeeded."""
    listings = [
        exporter.discovery_states.get(account.name)
        for account in exporter.config.accounts
        if account.discovery is not None
    ]
    return all(each is not None and each.error is None for each in listings) and all(
        isinstance(each.state.newest, GoodPoll) for each in exporter.targets
    )
