"""`flashback-exporter simulate`: the simulator alone, for whoever wants to try something on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from exporter import simulator
from exporter.cli import flags
from exporter.cli.flags import Values
from exporter.cli.process import print_error, start_log, until_signalled
from exporter.web.server import ListenAddress, ListenError, cannot_listen

ADDRESS = replace(
    flags.LISTEN_ADDRESS,
    name="address",
    help="Address to serve the API on.",
    default="127.0.0.1:10121",
    repeatable=False,
)
FLAGS = (ADDRESS, *flags.SIMULATOR_FLAGS, *flags.LOG_FLAGS)

_DESCRIPTION = """\
Serves a simulation of Flashback's API. Any bucket id exists and any token is accepted;
to try a login and discovery, use the API that `demo` prints.
"""


def simulate(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Serve the simulated API until a signal comes; the exit code."""
    parser = flags.parser("simulate", _DESCRIPTION + scenarios_text())
    values = flags.parse(parser, FLAGS, arguments, environ)
    start_log(values[flags.LOG_LEVEL.name], values[flags.LOG_FORMAT.name])
    try:
        asyncio.run(until_signalled(_serve(simulated(values), values[ADDRESS.name])))
    except ListenError as error:
        return print_error(error)
    return 0


def simulated(
    values: Values,
    users: Sequence[simulator.User] = (),
    buckets: Sequence[simulator.SimulatedBucket] | None = None,
) -> simulator.Simulator:
    """The simulator that SIMULATOR_FLAGS ask for; by default anyone may ask for any bucket."""
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


def scenarios_text() -> str:
    """What `--scenario` takes, for -h."""
    scenarios = simulator.SCENARIOS.items()
    names = "\n".join(f"  {name:<23} {scenario.summary}" for name, scenario in scenarios)
    return (
        "\nscenarios, to be mixed by comma, each of them limited as in"
        f" hang/share=0.5/bucket=ID/call=stats/window=23:50-00:10:\n{names}\n"
    )


async def _serve(api: simulator.Simulator, address: ListenAddress) -> None:
    try:
        async with simulator.serve(api, address.host, address.port) as url:
            print(f"Simulated API:  {url}\nStop with Ctrl-C.", flush=True)  # noqa: T201 - for people
            await asyncio.Event().wait()
    except OSError as error:
        raise cannot_listen(address, error, flag=ADDRESS.name) from error
