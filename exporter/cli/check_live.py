"""`flashback-exporter check --live`: polls each bucket once, and runs discovery once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random
from typing import NamedTuple

from tqdm import tqdm

from exporter.app import poll_once
from exporter.clock import SystemClock
from exporter.config import Account, Config
from exporter.model import ApiError, FailedPoll, GoodPoll, Reason, printable
from exporter.polling.manager import PollManager
from exporter.polling.sharding import Shard
from exporter.polling.targets import Target
from exporter.status.text import ADVICE, shown
from exporter.upstream.discovery import DiscoveryState, filtered
from exporter.upstream.login import LOGIN_REFUSED

TOKEN_ACCEPTED = {Reason.BAD_REQUEST, Reason.FORBIDDEN, Reason.NOT_FOUND}
"""Reasons that show that the API accepted the token."""


class Verdict(NamedTuple):
    """The result for an account or a bucket."""

    subject: str
    text: str
    is_good: bool


def live_verdicts(config: Config, shard: Shard) -> list[Verdict]:
    """The results for each account and bucket; progress is shown on a terminal."""
    with tqdm(unit=" polls", leave=False, disable=None) as bar:

        def show(left: int) -> None:
            bar.total = bar.n + left + 1
            bar.update()

        rng = Random()  # noqa: S311 - jitter, no secret
        polling = poll_once(config, SystemClock(), rng, shard=shard, progress=show)
        exporter = asyncio.run(polling)
    return list(verdicts(exporter))


def verdicts(exporter: PollManager) -> Iterator[Verdict]:
    expiries = exporter.token_expiries()
    for account in exporter.config.accounts:
        entries = [each for each in exporter.targets if each.bucket.account == account.name]
        yield _token_verdict(exporter, account, entries, expiries.get(account.name))
        discovery_state = exporter.discovery_states.get(account.name)
        if discovery_state is not None:
            error = discovery_state.error
            text = _found_text(account, discovery_state) if error is None else _error_text(error)
            yield Verdict(f"{account.name}: discovery", text, error is None)
        yield from map(_bucket_verdict, entries)


def verdict_table(found: list[Verdict]) -> str:
    """The results, one per line, with control characters of names and messages escaped."""
    rows = [(each.is_good, shown(each.subject), printable(each.text)) for each in found]
    width = max((len(subject) for _, subject, _ in rows), default=0)
    return "\n".join(
        f"  {'ok  ' if is_good else 'FAIL'}  {subject:<{width}}  {text}"
        for is_good, subject, text in rows
    )


def _token_verdict(
    exporter: PollManager, account: Account, entries: list[Target], expiry: float | None
) -> Verdict:
    discovery_state = exporter.discovery_states.get(account.name)
    errors = [
        each.state.newest.error for each in entries if isinstance(each.state.newest, FailedPoll)
    ]
    errors += (
        [discovery_state.error]
        if discovery_state is not None and discovery_state.error is not None
        else []
    )
    refused = next((error for error in errors if error.reason is Reason.UNAUTHORIZED), None)
    subject = f"{account.name}: token"
    if not entries and account.discovery is None:
        return Verdict(subject, "not used: there is no bucket to poll", is_good=True)
    if refused is not None:
        return Verdict(subject, _error_text(refused), is_good=False)
    heard = any(isinstance(each.state.newest, GoodPoll) for each in entries)
    heard = heard or (discovery_state is not None and discovery_state.error is None)
    if not heard and not any(error.reason in TOKEN_ACCEPTED for error in errors):
        return Verdict(
            subject,
            "not checked: every request failed before the API could check the token",
            is_good=False,
        )
    if expiry is None:
        return Verdict(subject, "accepted", is_good=True)
    until = datetime.fromtimestamp(expiry, UTC)
    return Verdict(subject, f"accepted, until {until:%Y-%m-%d %H:%M:%S} UTC", is_good=True)


def _bucket_verdict(entry: Target) -> Verdict:
    bucket, newest = entry.bucket, entry.state.newest
    name = bucket.id if bucket.name == bucket.id else f"{bucket.id} ({bucket.name})"
    subject = f"{bucket.account}: {name}"
    if isinstance(newest, GoodPoll):
        return Verdict(subject, f"{len(newest.stats.nodes)} nodes", is_good=True)
    if newest is None:
        return Verdict(subject, "not polled: a 429 paused the account", is_good=False)
    return Verdict(subject, _error_text(newest.error), is_good=False)


def _found_text(account: Account, discovery_state: DiscoveryState) -> str:
    found, taken = len(discovery_state.found), len(filtered(account, discovery_state))
    text = f"{found} found, {taken} polled"
    if found and not taken:
        text += ": include and exclude must match the complete name, as in media-.*"
    elif not found:
        text += ": this user has no buckets"
    return text


def _error_text(error: ApiError) -> str:
    return f"{error.reason.value}: {error.message}{_remedy(error)}"


def _remedy(error: ApiError) -> str:
    """What to do, unless the message says so."""
    if error.reason is Reason.UNAUTHORIZED and not error.message.startswith("HTTP"):
        return " (check email and password)" if error.message.startswith(LOGIN_REFUSED) else ""
    return f" ({ADVICE[error.reason].remedy.replace('`', '')})"
