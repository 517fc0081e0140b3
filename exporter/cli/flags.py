"""The flags, named as Prometheus names its own, and their environment variables.

A flag wins over its variable, a variable over the default.
"""

from __future__ import annotations

import argparse
import math
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from exporter.cli import NAMES, write_error, write_out
from exporter.polling.sharding import Shard, pod_ordinal
from exporter.version import DISTRIBUTION

if TYPE_CHECKING:  # heavy, and needed only where a command runs
    from exporter.simulator import InjectedFault
    from exporter.web.server import ListenAddress

ENVIRONMENT_PREFIX = "FLASHBACK_EXPORTER_"

LEVELS = ("debug", "info", "warn", "error")
FORMATS = ("logfmt", "json")

_BOOLEANS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag, without its dashes. `default` is written as on a command line, lists with commas."""

    name: str
    help: str
    default: str
    metavar: str = "VALUE"
    convert: Callable[[str], Any] = str
    choices: tuple[str, ...] = ()
    repeatable: bool = False
    is_switch: bool = False

    @property
    def variable(self) -> str:
        return ENVIRONMENT_PREFIX + self.name.upper().replace(".", "_").replace("-", "_")

    def value(self, text: str) -> Any:  # noqa: ANN401 - each flag has a type of its own
        """The value of a text from the environment or the default. Raises ValueError."""
        if self.is_switch:
            if text not in _BOOLEANS:
                raise ValueError(f"{text!r} is invalid: use true or false")
            return _BOOLEANS[text]
        if self.repeatable:
            return [self.convert(item.strip()) for item in text.split(",")] if text else []
        if self.choices and text not in self.choices:
            raise ValueError(f"{text!r} is invalid: use one of {', '.join(self.choices)}")
        return self.convert(text)

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Add it to a parser; a flag that is not given is absent from the result."""
        shared: dict[str, Any] = {
            "dest": self.name,
            "default": argparse.SUPPRESS,
            "help": f"{self.help} Default: {self.default}." if self.default else self.help,
        }
        if self.is_switch:
            parser.add_argument(f"--{self.name}", action="store_true", **shared)
        else:
            parser.add_argument(
                f"--{self.name}",
                action="append" if self.repeatable else "store",
                type=_shown(self.convert),
                choices=self.choices or None,
                metavar=None if self.choices else self.metavar,
                **shared,
            )


def _shown(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """Wrap `convert` to raise ArgumentTypeError, the only error whose text argparse prints."""

    def converted(text: str) -> Any:  # noqa: ANN401 - each flag has a type of its own
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return converted


def _address(text: str) -> ListenAddress:
    from exporter.web.server import ListenAddress

    return ListenAddress.parse(text)


RESERVED_PATHS = ("/bucket", "/help")
"""Other paths of the exporter."""

RESERVED_PREFIXES = ("/-/", "/api/", "/assets/")
"""The beginnings of its remaining paths."""


def _url_path(text: str) -> str:
    if text in RESERVED_PATHS or text.startswith(RESERVED_PREFIXES):
        raise ValueError(f"{text!r} is used by the exporter: choose another path")
    if not text.startswith("/") or any(char in text for char in "?#{}") or not text.isprintable():
        raise ValueError(f"{text!r} is not a path: start it with '/', without ? # {{ }}")
    return text


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def _factor(text: str) -> float:
    try:
        factor = float(text)
    except ValueError:
        factor = 0.0
    if not 0 < factor < math.inf:
        raise ValueError(f"{text!r} is not a number above 0")
    return factor


def _time(text: str) -> float | None:
    """Seconds after 00:00, or None for now."""
    if not text:
        return None
    try:
        parsed = time.fromisoformat(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not a time such as 23:55") from error
    return parsed.hour * 3600.0 + parsed.minute * 60 + parsed.second


def _scenario(text: str) -> tuple[InjectedFault, ...]:
    from exporter.simulator import text_to_faults

    return text_to_faults(text)


def _ordinal(text: str) -> int:
    return pod_ordinal(socket.gethostname()) if text == "auto" else _count(text)


def path_or_none(text: str) -> Path | None:
    """The path that a text names; None where it is empty."""
    return Path(text) if text else None


def _duration(text: str) -> float:
    from exporter.config.values import duration

    try:
        return 0.0 if text == "0" else duration(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a duration such as 30s, at most 292y") from None


CONFIG_FILE = Flag(
    "config.file", "Path of the configuration file.", "config.yaml", "PATH", convert=Path
)
AUTO_RELOAD_INTERVAL = Flag(
    "config.auto-reload-interval",
    "Interval at which the configuration is checked for changes and reloaded; 0 disables this.",
    "0",
    "DURATION",
    convert=_duration,
)
ENABLE_LIFECYCLE = Flag(
    "web.enable-lifecycle", "Enable reloads by POST or PUT to /-/reload.", "false", is_switch=True
)
LISTEN_ADDRESS = Flag(
    "web.listen-address",
    "Address to listen on: ':port', 'host:port' or '[::1]:port'. Repeatable.",
    ":10120",
    "ADDRESS",
    convert=_address,
    repeatable=True,
)
TELEMETRY_PATH = Flag(
    "web.telemetry-path",
    "Path under which to expose metrics.",
    "/metrics",
    "PATH",
    convert=_url_path,
)
WEB_CONFIG_FILE = Flag(
    "web.config.file",
    "Path of a file with TLS and basic auth settings, in exporter-toolkit's format.",
    "",
    "PATH",
    convert=path_or_none,
)
HEALTH_WITHOUT_AUTH = Flag(
    "web.health-without-auth",
    "Serve /-/healthy and /-/ready without a password.",
    "false",
    is_switch=True,
)
MAX_REQUESTS = Flag(
    "web.max-requests",
    "Maximum number of parallel scrapes; 0 disables the limit.",
    "40",
    "COUNT",
    convert=_count,
)
DISABLE_EXPORTER_METRICS = Flag(
    "web.disable-exporter-metrics",
    "Exclude metrics about the exporter's process (process_*, python_*).",
    "false",
    is_switch=True,
)
LOG_LEVEL = Flag("log.level", "Only log events of this severity or above.", "info", choices=LEVELS)
LOG_FORMAT = Flag("log.format", "Output format of log messages.", "logfmt", choices=FORMATS)

SEED = Flag("seed", "Seed of the simulated data.", "0", "NUMBER", convert=_count)
SPEED = Flag(
    "speed", "Speed of the simulated clock, relative to real time.", "1", "FACTOR", convert=_factor
)
SCENARIO = Flag(
    "scenario", "Faults to simulate, separated by commas.", "", "NAMES", convert=_scenario
)


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text) if text else None
    except ValueError:
        day = date.min
    if text and str(day) != text:
        raise ValueError(f"{text!r} is not a day such as 2024-01-15")
    return day


def _label(text: str) -> tuple[str, str]:
    from exporter.backfill import extra_label

    return extra_label(text)


FROM = Flag("from", "First UTC day, such as 2024-01-01. Required.", "", "DATE", convert=_day)
TO = Flag(
    "to",
    "Last UTC day. By default it is available from 01:14 UTC of the next day. Required.",
    "",
    "DATE",
    convert=_day,
)
BUCKET = Flag(
    "bucket",
    "Id of a bucket; without this flag, all buckets. Repeatable.",
    "",
    "ID",
    repeatable=True,
)
LABEL = Flag(
    "label",
    "Label for every series, such as job=flashback-exporter; use your scrape's labels. Repeatable.",
    "",
    "NAME=VALUE",
    convert=_label,
    repeatable=True,
)
OUTPUT = Flag("output", "Directory for the files. Required.", "", "DIR", convert=path_or_none)

START = Flag(
    "start",
    "Time of day (HH:MM, UTC) at which the simulation starts; empty means now.",
    "",
    "TIME",
    convert=_time,
)

SIMULATOR_FLAGS = (SEED, SPEED, SCENARIO, START)
LOG_FLAGS = (LOG_LEVEL, LOG_FORMAT)
CONFIG_FLAGS = (CONFIG_FILE, AUTO_RELOAD_INTERVAL)
WEB_FLAGS = (
    LISTEN_ADDRESS,
    TELEMETRY_PATH,
    WEB_CONFIG_FILE,
    HEALTH_WITHOUT_AUTH,
    ENABLE_LIFECYCLE,
    MAX_REQUESTS,
    DISABLE_EXPORTER_METRICS,
)


SHARD_ORDINAL = Flag(
    "shard.ordinal",
    "Ordinal of this shard, from 0; 'auto' reads it from the name of a StatefulSet's pod.",
    "0",
    "ORDINAL",
    convert=_ordinal,
)
SHARD_TOTAL = Flag("shard.total", "Total number of shards.", "1", "COUNT", convert=_count)
SHARD_FLAGS = (SHARD_ORDINAL, SHARD_TOTAL)


class Values(dict[str, Any]):
    """The flags' values by name, and which were set by a variable or as flags."""

    def __init__(
        self,
        variables: Mapping[str, Any],
        arguments: Mapping[str, Any],
        flags: Sequence[Flag],
        parser: argparse.ArgumentParser,
    ) -> None:
        given = {**variables, **arguments}
        super().__init__({flag.name: flag.value(flag.default) for flag in flags} | given)
        self.given = frozenset(given)
        self.given_as_flags = frozenset(arguments)
        self._parser = parser

    def error(self, message: str) -> NoReturn:
        """End the program with a usage error about a combination of values."""
        self._parser.error(message)


class _Parser(argparse.ArgumentParser):
    """Prints a usage error on one line, without the usage text."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see -h)\n")

    def _print_message(self, message: str, file: object = None) -> None:
        if message:
            (write_out if file is sys.stdout else write_error)(message)


def parser(command: str, description: str) -> argparse.ArgumentParser:
    return _Parser(
        prog=f"{DISTRIBUTION} {command}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )


def shard(values: Values) -> Shard:
    """The shard that SHARD_FLAGS name. A usage error ends the program."""
    try:
        return Shard(values[SHARD_ORDINAL.name], values[SHARD_TOTAL.name])
    except ValueError as error:
        values.error(f"--{SHARD_ORDINAL.name} and --{SHARD_TOTAL.name}: {error}")


def parse(
    parser: argparse.ArgumentParser,
    flags: Sequence[Flag],
    arguments: Sequence[str],
    environ: Mapping[str, str],
) -> Values:
    """The values of `flags`. A usage error ends the program with exit code 2."""
    for flag in flags:
        flag.add_to(parser)
    variables: dict[str, Any] = {}
    for flag in flags:
        if environ.get(flag.variable):
            try:
                variables[flag.name] = flag.value(environ[flag.variable])
            except ValueError as error:
                parser.error(f"environment variable {flag.variable}: {error}")
    given, unknown = parser.parse_known_args(arguments)
    if unknown:
        message = f"unrecognized arguments: {' '.join(unknown)}"
        parser.error(message + _meant(unknown[0], flags))
    return Values(variables, vars(given), flags, parser)


def _meant(word: str, flags: Sequence[Flag]) -> str:
    """A suggestion, if a word is almost the name of a flag or a command."""
    name = word.partition("=")[0]
    known = [f"--{flag.name}" for flag in flags] if name.startswith("-") else NAMES
    close = [] if name in known else get_close_matches(name, known, 1, 0.75)
    return f" (did you mean {close[0]}?)" if close else ""
