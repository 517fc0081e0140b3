"""`flashback-exporter run`: the exporter."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from random import Random

from exporter.app import Options, run_app
from exporter.cli import flags
from exporter.cli.process import print_error, raise_file_limit, start_log, until_signalled
from exporter.clock import SystemClock
from exporter.config import Config, ConfigError, load
from exporter.logs import BackgroundStream
from exporter.version import version_text
from exporter.web.config import WebConfigError
from exporter.web.server import ListenError

FLAGS = (*flags.CONFIG_FLAGS, *flags.WEB_FLAGS, *flags.SHARD_FLAGS, *flags.LOG_FLAGS)

_DESCRIPTION = """\
Serves the node statistics of Flashback storage buckets to Prometheus.

commands:
  run       the exporter (implied)
  check     checks the configuration, and says what load it asks for
  once      polls every bucket once and prints the exposition
  demo      the exporter against a built-in simulator: no account, no configuration
  simulate  the simulator alone
  backfill  past days, as files for a database to import

Each command has its own -h. Each flag can also be set by an environment variable
of its name: --web.listen-address by FLASHBACK_EXPORTER_WEB_LISTEN_ADDRESS.
"""


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Poll and serve until a signal comes; the exit code."""
    parser = flags.parser("run", textwrap.dedent(_DESCRIPTION))
    parser.add_argument("--version", action="version", version=version_text())
    values = flags.parse(parser, FLAGS, arguments, environ)
    options = replace(flags.options(values), shard=flags.shard(values, parser))
    log = start_log(values[flags.LOG_LEVEL.name], values[flags.LOG_FORMAT.name])
    raise_file_limit()
    try:
        source = partial(load, values[flags.CONFIG_FILE.name], environ)
        hung_up = asyncio.Event()
        work = _serve(source, options, hung_up, log)
        asyncio.run(until_signalled(work, hung_up=hung_up.set))
    except (ConfigError, WebConfigError, ListenError) as error:
        return print_error(error)
    return 0


async def _serve(
    source: Callable[[], Config],
    options: Options,
    hung_up: asyncio.Event,
    log: BackgroundStream,
) -> None:
    chance = Random()  # noqa: S311 - jitter, no secret
    async with run_app(
        source, options, SystemClock(), chance, hung_up, dropped_lines=log.dropped_lines
    ):
        await asyncio.Event().wait()
