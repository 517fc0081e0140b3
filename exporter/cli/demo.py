"""`flashback-exporter demo`: the exporter against the built-in simulator."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

from exporter import simulator
from exporter.app import Options, run_app
from exporter.cli import flags, write_out
from exporter.cli.commands import DEMO_ADDRESS, DEMO_SCENARIO
from exporter.cli.flags import Values
from exporter.cli.process import print_error, start_log, until_signalled
from exporter.cli.run import web_options
from exporter.cli.simulate import simulated
from exporter.clock import SystemClock
from exporter.config import ConfigError, parse
from exporter.logs import BackgroundStream
from exporter.polling.reload import read_in_time
from exporter.simulator.server import serve
from exporter.web.config import WebConfigError, load_web_config
from exporter.web.server import ListenAddress, ListenError

ANY_FREE_PORT = ListenAddress("127.0.0.1", 0)
_EVERY = {"::", "0.0.0.0"}  # noqa: S104 - compared, not bound


USER = simulator.User("demo@example.com", "demo")
BUCKETS = (
    simulator.SimulatedBucket("demo-media-eu", "media-eu"),
    simulator.SimulatedBucket("demo-media-us", "media-us"),
    simulator.SimulatedBucket("demo-backups", "backups"),
    simulator.SimulatedBucket("demo-scratch", "scratch-test"),
)

FAULTS = """\
Faults:         the bucket backups gets 403, and one node is offline from minute 10 to 20
                of each hour (--scenario= for none)
"""
"""Describes DEMO_SCENARIO's default, which gives the status page and alerts something to show."""

_CONFIG = """\
global:
  base_url: {url}
  poll_interval: 5s
accounts:
  - name: demo
    login: {{email: demo@example.com, password: demo}}
    discovery: {{refresh_interval: 10s, exclude: [".*-test"]}}
    buckets:
      - {{id: demo-media-eu, labels: {{team: media}}}}
"""


def demo(values: Values, _environ: Mapping[str, str]) -> int:
    """Run simulator and exporter until a stop signal. Returns the exit code."""
    log = start_log(values[flags.LOG_LEVEL.name], values[flags.LOG_FORMAT.name])
    uses_default_faults = DEMO_SCENARIO.name not in values.given
    fallback = None if DEMO_ADDRESS.name in values.given else ANY_FREE_PORT
    try:
        api = simulated(values, users=[USER], buckets=BUCKETS)
        work = _serve(
            api, web_options(values), fallback, log, uses_default_faults=uses_default_faults
        )
        asyncio.run(until_signalled(work))
    except (ConfigError, WebConfigError, ListenError) as error:
        return print_error(error)
    return 0


async def _serve(
    api: simulator.Simulator,
    options: Options,
    fallback: ListenAddress | None,
    log: BackgroundStream,
    *,
    uses_default_faults: bool,
) -> None:
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serve(api))
        source = partial(parse, _CONFIG.format(url=url), path=Path("demo.yaml"), environ={})
        start = partial(
            run_app,
            source,
            clock=SystemClock(api.now),
            rng=Random(),  # noqa: S311 - jitter, no secret
            reload_requested=asyncio.Event(),
            dropped_lines=log.dropped_lines,
        )
        try:
            addresses = await stack.enter_async_context(start(options))
        except ListenError:
            if fallback is None:
                raise
            free = replace(options, listen_addresses=(fallback,))
            addresses = await stack.enter_async_context(start(free))
        scheme = "https" if await _has_tls(options) else "http"
        _announce(url, [_base_url(scheme, each) for each in addresses], options.telemetry_path)
        if uses_default_faults:
            write_out(FAULTS)
        write_out("Stop with Ctrl-C.\n")
        await asyncio.Event().wait()


async def _has_tls(options: Options) -> bool:
    """Whether the web configuration enables TLS."""
    file = options.web_config_file
    if file is None:
        return False
    return (await read_in_time(SystemClock(), partial(load_web_config, file))).tls is not None


def _announce(api: str, urls: Sequence[str], telemetry_path: str) -> None:
    bases = dict.fromkeys(urls)
    has_page = telemetry_path != "/"  # otherwise the metrics replace the page
    lines = [f"Page:           {base}/" for base in bases if has_page]
    lines += [f"Metrics:        {base}{telemetry_path}" for base in bases]
    lines += [f"Simulated API:  {api} (log in as {USER.email}, password {USER.password})"]
    write_out("\n".join(lines) + "\n")


def _base_url(scheme: str, address: ListenAddress) -> str:
    """The URL for a browser on this machine, also if the exporter listens on all addresses."""
    host = "localhost" if address.host in _EVERY else address.host
    return f"{scheme}://{replace(address, host=host)}"
