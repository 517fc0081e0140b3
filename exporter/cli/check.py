"""`flashback-exporter check`: checks the files and prints the expected load."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from difflib import get_close_matches
from itertools import chain
from pathlib import Path

from exporter.blocking import SECRET_LIMIT, read_file
from exporter.cli import FAILURE, flags, write_error, write_out
from exporter.cli.commands import COMMANDS, LIVE
from exporter.cli.flags import ENVIRONMENT_PREFIX, Values
from exporter.cli.load_estimate import LoadEstimate, load_estimate, shortages
from exporter.cli.process import (
    LOG_SECONDS,
    print_error,
    read_or_give_up,
    start_log,
)
from exporter.clock import SystemClock
from exporter.config import Account, Config, ConfigError, Login, Problem, load_and_check
from exporter.model import printable
from exporter.polling.sharding import Shard
from exporter.status.text import utc
from exporter.upstream.credentials import lifetime


def check(values: Values, environ: Mapping[str, str]) -> int:
    """Check the configuration, and the web configuration if named. Returns the exit code."""
    web_file = values[flags.WEB_CONFIG_FILE.name]
    code = 0 if web_file is None else _check_web_config(web_file)
    if _is_about_web_alone(values):
        return code
    return max(code, _check_config(values, environ))


def _is_about_web_alone(values: Values) -> bool:
    """Whether only the web configuration is to be checked.

    Its flag is given, and `config.file` and `live` are set neither by flags nor by variables.
    """
    return (
        flags.WEB_CONFIG_FILE.name in values.given_as_flags
        and values[flags.WEB_CONFIG_FILE.name] is not None
        and flags.CONFIG_FILE.name not in values.given
        and not values[LIVE.name]
    )


def _check_web_config(file: Path) -> int:
    from exporter.web.config import WebConfigError, load_web_config
    from exporter.web.tls import load_context

    def read() -> None:
        load_context(load_web_config(file).tls)

    try:
        read_or_give_up(read)
    except (ConfigError, WebConfigError) as error:
        return print_error(error)
    write_out(f"{file}: valid\n")
    return 0


def _check_config(values: Values, environ: Mapping[str, str]) -> int:
    shard = flags.shard(values)
    file = values[flags.CONFIG_FILE.name]
    try:
        config, remarks = read_or_give_up(load_and_check, file, environ)
    except ConfigError as error:
        return print_error(error)
    mine = _part(config, shard)
    warnings = (
        *remarks,
        *ended_tokens(config, str(file), SystemClock().now().wall),
        *shortages(mine, str(file)),
        *useless_variables(environ, _variables()),
    )
    for warning in warnings:
        write_error(f"warning: {printable(str(warning))}")
    write_out(f"{file}: valid\n{_load_text(mine, load_estimate(mine), shard)}\n")
    if not values[LIVE.name]:
        return 0
    from exporter.cli.check_live import live_verdicts, verdict_table

    log = start_log("error", "logfmt")
    found = live_verdicts(config, shard)
    log.drain(LOG_SECONDS)  # before the table, on the same terminal
    write_out(f"live:\n{verdict_table(found)}\n")
    return 0 if all(each.is_good for each in found) else FAILURE


def _variables() -> set[str]:
    """The environment variables of the commands that read a configuration."""
    every = (COMMANDS[name].flags for name in ("check", "run", "once", "backfill"))
    return {flag.variable for flag in chain.from_iterable(every)}


def _part(config: Config, shard: Shard) -> Config:
    """The configuration with the configured buckets that a shard polls."""
    accounts = (
        replace(account, buckets=tuple(each for each in account.buckets if shard.owns(each.id)))
        for account in config.accounts
    )
    return replace(config, accounts=tuple(accounts))


def _load_text(config: Config, estimate: LoadEstimate, shard: Shard) -> str:
    limits = config.limits
    rows = (
        ("shard", f"ordinal {shard.ordinal}, total {shard.total}; limits apply per process"),
        ("accounts", f"{len(config.accounts)}"),
        ("buckets", _buckets_text(config, estimate)),
        (
            "requests per second",
            f"{estimate.requests_per_second:.2f} of {limits.max_requests_per_second:g} allowed",
        ),
        (
            "response time",
            _response_time_text(estimate, limits.max_concurrent_requests),
        ),
        ("series", f"about {estimate.series}, with 6 nodes per bucket"),
        ("memory", f"about {estimate.memory / 2**20:.0f} MiB"),
        ("CPU", f"about {estimate.cpu:.0%} of a core"),
    )
    return "\n".join(f"  {name:<20} {text}" for name, text in rows)


def _buckets_text(config: Config, estimate: LoadEstimate) -> str:
    if all(account.discovery is None for account in config.accounts):
        return f"{estimate.buckets}"
    return f"{estimate.buckets} configured; figures do not include discovered buckets"


def _response_time_text(estimate: LoadEstimate, at_once: int) -> str:
    if math.isinf(estimate.response_time):
        return "unknown: no bucket is configured, and discovery has not run"
    return (
        f"may be up to {estimate.response_time:.2f}s on average, with {at_once} concurrent requests"
    )


def ended_tokens(config: Config, file: str, wall: float) -> Iterator[Problem]:
    """A warning for each token whose expiry is before `wall`, Unix time."""
    for index, account in enumerate(config.accounts):
        expiry = lifetime(_token(account)).expiry
        if expiry is not None and expiry <= wall:
            message = f"the token expired at {utc(expiry)}: renew it"
            yield Problem(file, None, f"accounts[{index}].authorization", message)


def _token(account: Account) -> str:
    """The configured token; empty if the account logs in, or there is none."""
    given = account.credentials
    if isinstance(given, Login):
        return ""
    if not isinstance(given, Path):
        return given.get_secret_value()
    try:
        return read_file(given, SECRET_LIMIT).decode().strip()
    except (OSError, UnicodeDecodeError):  # it has changed since it was checked
        return ""


def useless_variables(environ: Mapping[str, str], known: Collection[str]) -> Iterator[Problem]:
    """A warning for each environment variable that resembles one of the exporter's."""
    names = {name.removeprefix(ENVIRONMENT_PREFIX): name for name in known}
    for name in sorted(environ):
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known:
            start = name.removeprefix(ENVIRONMENT_PREFIX)
            for close in get_close_matches(start, names, 1, 0.8):
                message = f"unknown variable, ignored: did you mean {names[close]}?"
                yield Problem("environment", None, name, message)
