"""What `check` warns of: a configuration that is sound, though hardly what a person means by it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path

from exporter.blocking import SECRET_LIMIT, read_file
from exporter.cli.flags import ENVIRONMENT_PREFIX
from exporter.config import Account, Config, Login, Problem
from exporter.status.text import utc
from exporter.upstream.credentials import lifetime


def ended_tokens(config: Config, file: str, wall: float) -> Iterator[Problem]:
    """Each token that says of itself that it is over at `wall`, Unix time."""
    for index, account in enumerate(config.accounts):
        expiry = lifetime(_token(account)).expiry
        if expiry is not None and expiry <= wall:
            message = f"by its own word the token ended at {utc(expiry)}: is it renewed in time?"
            yield Problem(file, None, f"accounts[{index}].authorization", message)


def _token(account: Account) -> str:
    """The token that is given; empty where the account logs in for one, or there is none."""
    given = account.credentials
    if isinstance(given, Login):
        return ""
    if not isinstance(given, Path):
        return given.get_secret_value()
    try:
        return read_file(given, SECRET_LIMIT).decode().strip()
    except (OSError, UnicodeDecodeError):  # since it was checked
        return ""


def useless_variables(environ: Mapping[str, str], known: Collection[str]) -> Iterator[Problem]:
    """Each environment variable that is almost one of the exporter's, and so sets nothing."""
    names = {name.removeprefix(ENVIRONMENT_PREFIX): name for name in known}
    for name in sorted(environ):
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known:
            start = name.removeprefix(ENVIRONMENT_PREFIX)
            for close in get_close_matches(start, names, 1, 0.8):
                message = f"this sets nothing: did you mean {names[close]}?"
                yield Problem("environment", None, name, message)
