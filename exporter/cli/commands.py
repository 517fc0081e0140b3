"""The commands, with their descriptions and flags.

Keep imports light: a command's modules are imported when it runs, so `--version` and `-h` are fast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from exporter.cli import flags
from exporter.cli.flags import Flag, Values
from exporter.version import version_text

LIVE = Flag("live", "Also poll each bucket once, and run discovery once.", "false", is_switch=True)
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
    """A command: the function `name` in the module `exporter.cli.name`."""

    description: str
    flags: tuple[Flag, ...]
    plays_scenarios: bool = False


COMMANDS = {
    "run": Command(
        """\
Prometheus exporter for the node statistics of Flashback storage buckets.

commands:
  run       run the exporter (default)
  check     check the configuration and print the expected load
  once      poll every bucket once and print the metrics
  demo      run the exporter against a built-in simulator, without account or configuration
  simulate  run the simulator alone
  backfill  write past days to OpenMetrics files, for import into a database

Use COMMAND -h for the flags of a command. Each flag can also be set by an environment
variable: --web.listen-address by FLASHBACK_EXPORTER_WEB_LISTEN_ADDRESS.
""",
        (*flags.CONFIG_FLAGS, *flags.WEB_FLAGS, *flags.SHARD_FLAGS, *flags.LOG_FLAGS),
    ),
    "check": Command(
        """\
Checks the configuration file and prints all errors with their lines, then the expected
load. With --live it also polls each bucket once, and runs discovery once.
With --web.config.file it also checks the web configuration and the files that it names,
and only these if neither --config.file nor --live is given.
Exit code 1 if there is an error.
""",
        (flags.CONFIG_FILE, flags.WEB_CONFIG_FILE, LIVE, *flags.SHARD_FLAGS),
    ),
    "once": Command(
        """\
Polls every bucket once and prints the metrics to standard output, without process_*
and python_*. Exit code 0 if all polls succeeded, 3 if some failed.
""",
        (
            flags.CONFIG_FILE,
            *flags.SHARD_FLAGS,
            *flags.LOG_FLAGS,
        ),
    ),
    "backfill": Command(
        """\
Requests past days of each bucket and writes one OpenMetrics file per day, for
`promtool tsdb create-blocks-from openmetrics`. Failures are printed and written to
failed.json in the same directory; run the command again to request what is missing.
--from, --to and --output are required. Exit code 3 if anything is missing.
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
Runs the exporter against a simulator of Flashback's API, without account or configuration.
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
Simulates Flashback's API. Every bucket id exists and every token is accepted. To try
login and discovery, use the API whose address `demo` prints.
""",
        (API_ADDRESS, *flags.SIMULATOR_FLAGS, *flags.LOG_FLAGS),
        plays_scenarios=True,
    ),
}


def parse(name: str, words: Sequence[str], environ: Mapping[str, str]) -> Values:
    """The values of a command's flags. A usage error, `-h` and `--version` end the program."""
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
        "\nscenarios (separate several by commas; limit each as in"
        f" hang/share=0.5/bucket=ID/call=stats/window=23:50-00:10):\n{names}\n"
    )
