"""`flashback-exporter backfill`: writes past days to files, for import into a database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from random import Random
from typing import NoReturn

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from exporter.backfill import (
    Backfill,
    BackfillOptions,
    OutputError,
    UnknownBucketsError,
    available_from,
)
from exporter.cli import flags, write_error, write_out
from exporter.cli.flags import Values
from exporter.cli.process import (
    SOME_FAILED,
    print_error,
    raise_file_limit,
    read_or_give_up,
    start_log,
    until_signalled,
)
from exporter.clock import Clock, SystemClock
from exporter.config import Config, ConfigError, load
from exporter.logs import BackgroundStream
from exporter.model import printable

USAGE = 2
"""Exit code for a usage error, as in argparse."""


def backfill(values: Values, environ: Mapping[str, str]) -> int:
    """Write the missing files and return the exit code."""
    options = _options(values)
    log = start_log(values[flags.LOG_LEVEL.name], values[flags.LOG_FORMAT.name])
    raise_file_limit()
    try:
        config = read_or_give_up(load, values[flags.CONFIG_FILE.name], environ)
    except ConfigError as error:
        return print_error(error)
    clock = SystemClock()
    if fault := _too_early(options, config, clock):
        values.error(fault)
    return _done(config, options, clock, log)


def _done(config: Config, options: BackfillOptions, clock: Clock, log: BackgroundStream) -> int:
    """Run the backfill, print a summary and return the exit code."""
    rng = Random()  # noqa: S311 - jitter, no secret
    try:
        with _bar() as bar:
            work = Backfill(config, options, clock, rng, bar)
            asyncio.run(until_signalled(work.run(), code_when_forced=SOME_FAILED))
    except UnknownBucketsError as error:
        print_error(error)
        return SOME_FAILED if error.may_exist else USAGE
    except (ConfigError, OutputError) as error:
        return print_error(error)
    for line in work.failures.lines():
        write_error(f"failed: {printable(line)}")
    log.drain()  # without a time limit: failures must not be lost
    failed = f", failed: {work.failures.count}" if work.failures.count else ""
    ended = "" if work.is_finished else ", stopped early: run the command again to continue"
    write_out(f"{options.output}: files written: {work.files}{failed}{ended}\n")
    return SOME_FAILED if failed or ended else 0


class _Bar:
    """The progress bar."""

    def __init__(self, bar: tqdm[NoReturn]) -> None:
        self._bar = bar

    def begin(self, total: int) -> None:
        self._bar.reset(total)

    def advance(self, number: int) -> None:
        self._bar.update(number)


@contextmanager
def _bar() -> Iterator[_Bar]:
    """A progress bar, on terminals only; log lines are written above it."""
    with logging_redirect_tqdm(), tqdm(unit=" days of buckets", leave=False, disable=None) as bar:
        yield _Bar(bar)


def _options(values: Values) -> BackfillOptions:
    """The options from the flags. A usage error ends the program."""
    for flag in (flags.FROM, flags.TO, flags.OUTPUT):
        if values[flag.name] is None:
            values.error(f"--{flag.name} is required")
    first, last = values[flags.FROM.name], values[flags.TO.name]
    if first > last:
        values.error(f"--from {first} is after --to {last}")
    labels = dict(values[flags.LABEL.name])
    if len(labels) < len(values[flags.LABEL.name]):
        values.error("--label: duplicate name")
    return BackfillOptions(
        first, last, frozenset(values[flags.BUCKET.name]), labels, values[flags.OUTPUT.name]
    )


def _too_early(options: BackfillOptions, config: Config, clock: Clock) -> str | None:
    """Why the last day is not available yet, or None."""
    now = clock.now()
    if options.last > now.day:
        return f"--to {options.last}: this day is in the future"
    grace = max(account.timing.rollover_grace for account in config.accounts)
    moment = available_from(options.last, grace)
    if now.wall >= moment:
        return None
    at = datetime.fromtimestamp(moment, UTC)
    when = f"available from {at:%Y-%m-%d %H:%M} UTC"
    return f"--to {options.last}: the final values of this day are {when}"
