"""`flashback-exporter simulate`: the simulator alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

from exporter import simulator
from exporter.cli import flags, write_out
from exporter.cli.commands import API_ADDRESS
from exporter.cli.flags import Values
from exporter.cli.process import print_error, start_log, until_signalled
from exporter.simulator.server import serve
from exporter.web.server import ListenAddress, ListenError, cannot_listen


def simulate(values: Values, _environ: Mapping[str, str]) -> int:
    """Serve the simulated API until a stop signal. Returns the exit code."""
    start_log(values[flags.LOG_LEVEL.name], values[flags.LOG_FORMAT.name])
    try:
        asyncio.run(until_signalled(_serve(simulated(values), values[API_ADDRESS.name])))
    except ListenError as error:
        return print_error(error)
    return 0


def simulated(
    values: Values,
    users: Sequence[simulator.User] = (),
    buckets: Sequence[simulator.SimulatedBucket] | None = None,
) -> simulator.Simulator:
    """The simulator of SIMULATOR_FLAGS; by default every token and bucket id is accepted."""
    start = values[flags.START.name]
    now = time.time()
    begin = now if start is None else now - now % 86400 + start
    return simulator.Simulator(
        now=simulator.paced(begin, values[flags.SPEED.name]),
        seed=values[flags.SEED.name],
        scenarios=values[flags.SCENARIO.name],
        users=users,
        buckets=buckets,
    )


async def _serve(api: simulator.Simulator, address: ListenAddress) -> None:
    try:
        async with serve(api, address.host, address.port) as url:
            write_out(f"Simulated API:  {url}\nStop with Ctrl-C.\n")
            await asyncio.Event().wait()
    except OSError as error:
        raise cannot_listen(address, error, flag=API_ADDRESS.name) from error
