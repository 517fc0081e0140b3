"""The commands: what each is for, and its flags.

Light: what a command needs is imported once it runs, so that `--version` and `-h` load little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from exporter.cli import flags
from exporter.cli.flags import Flag, Values
from exporter.version import version_text

LIVE = Flag("live", "Make one real call per account and bucket, too.", "false", is_switch=True)
API_ADDRESS = replace(
    flags.LISTEN_ADDRESS,
    name="address",
    help="Address to serve the API on.",
    default="127.0.0.1:10121",
    repeatable=False,
)
DEMO_ADDRESS = replace(flags.LISTEN_ADDRESS, default="127.0.0.1:10120")
DEMO_SCENARIO = replace(flags.SCENARIO, default="node-outage,forbidden/share=1/bucket=demo-backups")


class Command(NamedTuple):
    """A command. It is a function in a module of its name."""

    description: str
    flags: tuple[Flag, ...]
    plays_scenarios: bool = False


COMMANDS = {
    "run": Command(
        """\
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
""",
        (*flags.CONFIG_FLAGS, *flags.WEB_FLAGS, *flags.SHARD_FLAGS, *flags.LOG_FLAGS),
    ),
    "check": Command(
        """\
Checks the configuration file strictly and prints every problem with its place,
then the load that the file asks for. With --live every account and bucket is asked for
once, too. --web.config.file is checked as at a start, with the files that it names: beside
the configuration, or alone where neither --config.file nor --live is there.
Exit code 1 if there is any problem.
""",
        (flags.CONFIG_FILE, flags.WEB_CONFIG_FILE, LIVE, *flags.SHARD_FLAGS),
    ),
    "once": Command(
        """\
Polls every bucket once and prints the exposition to standard output,
without process_* and python_*, which would speak of a process that has ended.
Exit code 0 if all buckets answered, 3 if some failed.
""",
        (
            flags.CONFIG_FILE,
            *flags.SHARD_FLAGS,
            *flags.LOG_FLAGS,
        ),
    ),
    "backfill": Command(
        """\
Asks for past days of each bucket and writes one OpenMetrics file per day, for
`promtool tsdb create-blocks-from openmetrics`. What could not be had is listed, also in
failed.json beside the files; run it again, and it asks for what is missing. --from, --to
and --output are needed. Exit code 3 if anything is missing in the end.
""",
        (
            flags.CONFIG_FILE,
            flags.FROM,
            flags.TO,
            flags.BUCKET,
            flags.LABEL,
            flags.OUTPUT,
            *flags.LOG_FLAGS,
        ),
    ),
    "demo": Command(
        """\
Runs the exporter against a simulator of Flashback's API: no account, no configuration.
""",
        (
            DEMO_ADDRESS,
            *(flag for flag in flags.WEB_FLAGS if flag is not flags.LISTEN_ADDRESS),
            *(DEMO_SCENARIO if flag is flags.SCENARIO else flag for flag in flags.SIMULATOR_FLAGS),
            *flags.LOG_FLAGS,
        ),
        plays_scenarios=True,
    ),
    "simulate": Command(
        """\
Serves a simulation of Flashback's API. Any bucket id exists and any token is accepted;
to try a login and discovery, use the API that `demo` prints.
""",
        (API_ADDRESS, *flags.SIMULATOR_FLAGS, *flags.LOG_FLAGS),
        plays_scenarios=True,
    ),
}


def parse(name: str, words: Sequence[str], environ: Mapping[str, str]) -> Values:
    """The values of a command's flags; a mistake, `-h` and `--version` end the program."""
    command = COMMANDS[name]
    description = command.description + (_scenarios() if command.plays_scenarios else "")
    parser = flags.parser(name, description)
    if name == "run":
        parser.add_argument("--version", action="version", version=version_text())
    return flags.parse(parser, command.flags, words, environ)


def _scenarios() -> str:
    from exporter.simulator import SCENARIOS

    names = "\n".join(f"  {name:<23} {each.summary}" for name, each in SCENARIOS.items())
    return (
        "\nscenarios, to be mixed by comma, each of them limited as in"
        f" hang/share=0.5/bucket=ID/call=stats/window=23:50-00:10:\n{names}\n"
    )
