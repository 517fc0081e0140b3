"""`flashback-exporter run`: the exporter."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from random import Random

from exporter.app import Options, run_app
from exporter.cli import flags
from exporter.cli.flags import Values
from exporter.cli.process import print_error, raise_file_limit, start_log, until_signalled
from exporter.clock import SystemClock
from exporter.config import Config, ConfigError, load
from exporter.logs import BackgroundStream
from exporter.web.config import WebConfigError
from exporter.web.server import ListenError


def run(values: Values, environ: Mapping[str, str]) -> int:
    """Poll and serve until a stop signal. Returns the exit code."""
    options = replace(web_options(values), shard=flags.shard(values))
    log = start_log(values[flags.LOG_LEVEL.name], values[flags.LOG_FORMAT.name])
    raise_file_limit()
    try:
        source = partial(load, values[flags.CONFIG_FILE.name], environ)
        reload_requested = asyncio.Event()
        work = _serve(source, options, reload_requested, log)
        asyncio.run(until_signalled(work, on_sighup=reload_requested.set))
    except (ConfigError, WebConfigError, ListenError) as error:
        return print_error(error)
    return 0


async def _serve(
    source: Callable[[], Config],
    options: Options,
    reload_requested: asyncio.Event,
    log: BackgroundStream,
) -> None:
    rng = Random()  # noqa: S311 - jitter, no secret
    async with run_app(
        source, options, SystemClock(), rng, reload_requested, dropped_lines=log.dropped_lines
    ):
        await asyncio.Event().wait()


def web_options(values: Values) -> Options:
    return Options(
        listen_addresses=tuple(values[flags.LISTEN_ADDRESS.name]),
        telemetry_path=values[flags.TELEMETRY_PATH.name],
        max_requests=values[flags.MAX_REQUESTS.name],
        exporter_metrics=not values[flags.DISABLE_EXPORTER_METRICS.name],
        lifecycle=values[flags.ENABLE_LIFECYCLE.name],
        web_config_file=values[flags.WEB_CONFIG_FILE.name],
        health_without_auth=values[flags.HEALTH_WITHOUT_AUTH.name],
        auto_reload_interval=values.get(flags.AUTO_RELOAD_INTERVAL.name, 0.0),
    )
