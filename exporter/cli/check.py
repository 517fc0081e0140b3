"""`flashback-exporter check`: is the configuration right, and what does it ask for?"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

from exporter.cli import flags
from exporter.cli.advice import ended_tokens, useless_variables
from exporter.cli.backfill import FLAGS as BACKFILL_FLAGS
from exporter.cli.check_live import live_verdicts, verdict_table
from exporter.cli.load_estimate import LoadEstimate, load_estimate, shortages
from exporter.cli.once import FLAGS as ONCE_FLAGS
from exporter.cli.process import (
    BAD_START,
    LOG_SECONDS,
    print_error,
    read_or_give_up,
    start_log,
)
from exporter.cli.run import FLAGS as RUN_FLAGS
from exporter.clock import SystemClock
from exporter.config import Config, ConfigError, load_and_check
from exporter.model import printable
from exporter.polling.sharding import Shard

LIVE = flags.Flag(
    "live", "Make one real call per account and bucket, too.", "false", is_switch=True
)
FLAGS = (flags.CONFIG_FILE, LIVE, *flags.SHARD_FLAGS)

_DESCRIPTION = """\
Checks the configuration file strictly and prints every problem with its place,
then the load that the file asks for. With --live every account and bucket is asked for
once, too. Exit code 1 if there is any problem.
"""


def check(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Print the verdict on the configuration; the exit code."""
    parser = flags.parser("check", _DESCRIPTION)
    values = flags.parse(parser, FLAGS, arguments, environ)
    shard = flags.shard(values, parser)
    file = values[flags.CONFIG_FILE.name]
    try:
        config, remarks = read_or_give_up(load_and_check, file, environ)
    except ConfigError as error:
        return print_error(error)
    mine = _part(config, shard)
    warnings = (
        *remarks,
        *ended_tokens(config, str(file), SystemClock().now().wall),
        *shortages(mine, str(file)),
        *useless_variables(environ, _variables()),
    )
    for warning in warnings:
        print(f"warning: {printable(str(warning))}", file=sys.stderr)  # noqa: T201 - the command's output
    print(f"{file}: good\n{_load_text(mine, load_estimate(mine), shard)}")  # noqa: T201 - the command's output
    if not values[LIVE.name]:
        return 0
    log = start_log("error", "logfmt")
    found = live_verdicts(config, shard)
    log.drain(LOG_SECONDS)  # a bar on the same terminal, and what was logged, come first
    print(f"live:\n{verdict_table(found)}")  # noqa: T201 - the command's output
    return 0 if all(each.is_good for each in found) else BAD_START


def _variables() -> set[str]:
    """The environment variables of the commands that read a configuration."""
    every = (*FLAGS, *RUN_FLAGS, *ONCE_FLAGS, *BACKFILL_FLAGS)
    return {flag.variable for flag in every}


def _part(config: Config, shard: Shard) -> Config:
    """The configuration with the listed buckets that a shard polls."""
    accounts = (
        replace(account, buckets=tuple(each for each in account.buckets if shard.owns(each.id)))
        for account in config.accounts
    )
    return replace(config, accounts=tuple(accounts))


def _load_text(config: Config, asked: LoadEstimate, shard: Shard) -> str:
    limits = config.limits
    rows = (
        ("shard", f"{shard.ordinal} of {shard.total}; limits are of each process"),
        ("accounts", f"{len(config.accounts)}"),
        ("buckets", f"{asked.buckets}"),
        (
            "requests per second",
            f"{asked.requests_per_second:.2f} of {limits.max_requests_per_second:g} allowed",
        ),
        (
            "time for an answer",
            _answer_time_text(asked, limits.max_concurrent_requests),
        ),
        ("series", f"about {asked.series}, with 6 nodes a bucket"),
        ("memory", f"about {asked.memory / 2**20:.0f} MiB"),
        ("processor", f"about {asked.cpu:.0%} of a core"),
    )
    return "\n".join(f"  {name:<20} {text}" for name, text in rows)


def _answer_time_text(asked: LoadEstimate, at_once: int) -> str:
    if math.isinf(asked.answer_time):
        return "known once buckets are found: none is listed"
    return f"{asked.answer_time:.2f}s on average with {at_once} at once"
