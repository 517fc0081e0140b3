"""What is wrong beside the buckets: the exporter itself, its configuration, its accounts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from exporter.model import Instant
from exporter.status.snapshot import AccountStatus, Process
from exporter.status.text import counted, relative, span, utc

MOST_ACCOUNTS = 5
"""Accounts whose trouble is told in full."""

_WORTH_TELLING = 60.0
"""Seconds of lag that people are told of."""


class Notice(NamedTuple):
    """Something that people should know, and what to do about it."""

    text: str
    remedy: str
    detail: str = ""  # lines as they came from elsewhere


def notices(process: Process, accounts: Iterable[AccountStatus], now: Instant) -> list[Notice]:
    """Everything that is wrong, the exporter's own trouble first."""
    told = [each for account in accounts for each in _of_account(account, now)]
    more = len(told) - MOST_ACCOUNTS
    own = list(_of_process(process, now))
    if more <= 0:
        return own + told
    rest = Notice(f"{counted(more, 'more notice')} of accounts", "look at the accounts below")
    return [*own, *told[:MOST_ACCOUNTS], rest]


def _of_process(process: Process, now: Instant) -> Iterator[Notice]:
    if not process.is_healthy:
        yield Notice(
            "The poll loop has not beaten for a minute: nothing is polled",
            "restart the exporter, and report the log before it",
        )
    config = process.config
    if config.refused is not None:
        yield Notice(
            f"The configuration was refused {relative(now.wall - config.refused)};"
            f" the one loaded {utc(config.loaded)} runs on",
            "fix the file and reload",
            config.problems,
        )
    if process.lag > _WORTH_TELLING:
        yield Notice(
            f"Polls are late by up to {span(process.lag)}",
            "raise `max_concurrent_requests` or `max_requests_per_second`, or use more shards",
        )


def _of_account(account: AccountStatus, now: Instant) -> Iterator[Notice]:
    name = account.name
    if account.paused_until is not None:
        yield Notice(
            f"Account {name} is paused: it is polled again"
            f" {relative(now.wall - account.paused_until)}",
            "fewer buckets, a longer interval, or a higher quota",
        )
    if account.token_expiry is not None and account.token_expiry <= now.wall:
        yield Notice(
            f"The token of account {name} ended {relative(now.wall - account.token_expiry)}",
            "renew the token",
        )
    discovery = account.discovery
    if discovery is not None and discovery.fault is not None:
        yield Notice(
            f"Buckets of account {name} cannot be listed: {discovery.fault.reason}",
            "the buckets found before are polled on",
            discovery.fault.message,
        )
