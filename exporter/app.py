"""The composition root: builds, starts, reloads and stops all parts.

This module only connects the parts. Behaviour belongs in the parts themselves.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, TypeAlias

import structlog
from aiohttp import web
from prometheus_client import disable_created_metrics

from exporter.blocking import BlockingCalls
from exporter.clock import Clock, SystemClock
from exporter.config import Config, ConfigError
from exporter.gc_tuning import GcTuner
from exporter.metrics.self_metrics import SelfMetrics
from exporter.polling.collector import PollingCollector
from exporter.polling.manager import PollManager
from exporter.polling.reload import READ_SECONDS, ConfigFiles, Reloader
from exporter.polling.sharding import Shard
from exporter.status.pages import add_status_routes
from exporter.status.snapshot import take_snapshot
from exporter.upstream.account import tls_contexts
from exporter.upstream.transport import Connect
from exporter.version import VERSION, revision
from exporter.web.app import Endpoints, make_app
from exporter.web.config import WebConfig, WebConfigError, load_web_config
from exporter.web.server import ListenAddress, serve
from exporter.web.tls import RenewableContext

if TYPE_CHECKING:  # imported at run time only if there is a web configuration
    from exporter.web.security import Security

BUCKET_FILES_INTERVAL = 5.0
"""Interval in seconds at which bucket files are checked for changes."""

SWITCH_INTERVAL = 0.002
"""The interpreter's switch interval in seconds: how long a busy thread keeps the GIL.

The event loop waits for the GIL after each system call, so a thread that parses a large response or
configuration delays every scrape. Python's default is 5 ms. With much less than 2 ms, scrapes would
delay a reload instead.
"""

UNSHARDED = Shard()
"""The default: one process polls every bucket."""

Serve: TypeAlias = Callable[
    [web.Application, Sequence[ListenAddress], RenewableContext | None],
    AbstractAsyncContextManager[tuple[ListenAddress, ...]],
]

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Options:
    """The settings from the command line."""

    listen_addresses: tuple[ListenAddress, ...]
    telemetry_path: str = "/metrics"
    max_requests: int = 40
    exporter_metrics: bool = True
    shard: Shard = UNSHARDED
    lifecycle: bool = False  # whether POST /-/reload is allowed
    web_config_file: Path | None = None  # None: no TLS, no authentication
    health_without_auth: bool = False
    auto_reload_interval: float = 0.0  # seconds; 0: never


@asynccontextmanager
async def run_app(
    load: Callable[[], Config],
    options: Options,
    clock: Clock,
    rng: Random,
    reload_requested: asyncio.Event,
    *,
    dropped_lines: Callable[[], int] = lambda: 0,
    connect: Connect | None = None,
    serve: Serve = serve,
) -> AsyncIterator[tuple[ListenAddress, ...]]:
    """Poll and serve while the body runs; yields the addresses that the exporter listens on.

    `load` returns the configuration. It is called in a thread, at the start and whenever
    `reload_requested` is set. Deadlines for files use real time, whatever `clock` is.
    `dropped_lines` returns the number of log lines that were dropped. `connect` makes the
    connections to the API and `serve` the HTTP server: tests replace both.

    Raises ConfigError if the configuration cannot be used or takes too long to load, OSError if TLS
    files cannot be used, WebConfigError if the web configuration cannot be used, and ListenError if
    an address cannot be listened on. A bug in a background task cancels the body and is raised.
    """
    sys.setswitchinterval(SWITCH_INTERVAL)
    self_metrics = _self_metrics(dropped_lines, runtime_metrics=options.exporter_metrics)
    files = ConfigFiles(load, SystemClock())
    config = await files.load()
    contexts = await tls_contexts(config.accounts)
    manager = PollManager(
        config, self_metrics, clock, rng, contexts, shard=options.shard, connect=connect
    )
    self_metrics.register(PollingCollector(manager))
    files.note_active(config)
    reloader = Reloader(
        files, manager.replace_config, manager.refuse_config, clock, reload_requested
    )
    endpoints = Endpoints(
        telemetry_path=options.telemetry_path,
        max_requests=options.max_requests,
        exposition=manager.exposition,
        is_healthy=manager.is_healthy,
        is_ready=manager.is_ready,
        reload=reloader.reload if options.lifecycle else None,
        add_routes=partial(
            add_status_routes, take_snapshot=lambda: take_snapshot(manager, clock.now())
        ),
    )
    app, security = make_app(endpoints), await _security(options)
    if security is not None:
        security.protect(app)
    tls = None if security is None else security.tls
    _log_start(config)
    async with serve(app, options.listen_addresses, tls) as addresses:
        for address in addresses:
            _log.info("listening", address=str(address), tls=tls is not None)
        work = [
            manager.run(),
            reloader.run(),
            # Also with auto-reload, which checks all files at its own interval:
            reloader.watch(BUCKET_FILES_INTERVAL, everything=False),
            GcTuner(clock).run(),
        ]
        if options.auto_reload_interval:
            work.append(reloader.watch(options.auto_reload_interval, everything=True))
        if security is not None:
            work.append(security.watch(clock))
        async with asyncio.TaskGroup() as group:
            background = [group.create_task(each) for each in work]
            try:
                yield addresses
            finally:
                for task in background:
                    task.cancel()


def _log_start(config: Config) -> None:
    files = list(config.sources.config)  # none if the configuration is built in, as in the demo
    _log.info(
        "starting",
        version=VERSION,
        revision=revision(),
        config_file=str(files[0]) if files else "built in",
        accounts=len(config.accounts),
        buckets=len(config.buckets()),
        discovering=sum(account.discovery is not None for account in config.accounts),
    )


async def _security(options: Options) -> Security | None:
    file, clock = options.web_config_file, SystemClock()
    if file is None:
        return None
    from exporter.web.security import Security, read_timeout_message  # noqa: PLC0415 - loads bcrypt

    read = partial(_web_config, file)
    make = partial(Security, read, clock, health_without_auth=options.health_without_auth)
    try:
        return await BlockingCalls(clock, READ_SECONDS).run(make)
    except TimeoutError as error:
        raise WebConfigError(read_timeout_message(str(file), READ_SECONDS)) from error


def _web_config(file: Path) -> WebConfig:
    try:
        return load_web_config(file)
    except ConfigError as error:
        raise WebConfigError(str(error)) from error


async def poll_once(
    config: Config,
    clock: Clock,
    rng: Random,
    *,
    shard: Shard = UNSHARDED,
    progress: Callable[[int], None] = lambda _left: None,
    dropped_lines: Callable[[], int] = lambda: 0,
) -> PollManager:
    """Poll every bucket once; returns the manager, which no longer polls.

    `progress` is called with the number of polls that are left. Process metrics are left out,
    because this process is about to end. A bucket that was not polled because a 429 paused its
    account has no result.
    """
    self_metrics = _self_metrics(dropped_lines, runtime_metrics=False)
    manager = PollManager(
        config,
        self_metrics,
        clock,
        rng,
        await tls_contexts(config.accounts),
        shard=shard,
        progress=progress,
        requests_previous_days=False,
    )
    self_metrics.register(PollingCollector(manager))
    async with asyncio.TaskGroup() as group:
        polling = group.create_task(manager.run())
        if not manager.is_ready():  # it is ready at once if there is nothing to poll
            await manager.first_round_done.wait()
        polling.cancel()
    return manager


def _self_metrics(dropped_lines: Callable[[], int], *, runtime_metrics: bool) -> SelfMetrics:
    # The client library can switch off _created series only globally.
    disable_created_metrics()  # type: ignore[no-untyped-call] # the library's
    self_metrics = SelfMetrics(VERSION, revision(), runtime_metrics=runtime_metrics)
    self_metrics.watch_log(dropped_lines)
    return self_metrics
