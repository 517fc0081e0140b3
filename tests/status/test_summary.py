"""Notices about the exporter and its accounts."""

from __future__ import annotations

from dataclasses import replace

from exporter.model import ApiError, Reason
from exporter.status.snapshot import AccountStatus, ConfigStatus, DiscoveryStatus
from exporter.status.summary import MAX_ACCOUNT_NOTICES, notices
from tests.harness.fakes import NOON
from tests.status.snapshots import PROCESS, START


def test_no_notices_without_problems() -> None:
    """Without problems there are no notices."""
    quiet = AccountStatus("main", token_expiry=NOON + 1, discovery=DiscoveryStatus(was_tried=True))
    assert notices(PROCESS, [quiet, AccountStatus("b")], START) == []


def test_trouble_of_the_exporter() -> None:
    """A blocked poll loop, a refused configuration and late polls give notices with remedies."""
    config = ConfigStatus(NOON - 60, NOON - 5, "config.yaml:3: accounts: …\nmore")
    process = replace(PROCESS, is_healthy=False, lag=61.0, config=config)
    dead, refused, late = notices(process, [], START)
    assert "poll loop has been blocked" in dead.text
    assert refused.text == (
        "The configuration reload failed 5 s ago;"
        " the configuration loaded at 2024-01-15 11:59:00 UTC stays active"
    )
    assert refused.detail == config.problems
    assert late.text == "Polls are late by up to 1 min 1 s"
    assert all(notice.remedy for notice in (dead, refused, late))


def test_trouble_of_accounts() -> None:
    """Pauses, expired tokens and failing discovery give notices."""
    fault = ApiError(Reason.FORBIDDEN, "HTTP 403: no")
    account = AccountStatus(
        "main", NOON + 20, NOON - 5, DiscoveryStatus(was_tried=True, error=fault)
    )
    paused, ended, listing = notices(PROCESS, [account], START)
    assert paused.text == "Account main is rate limited and paused: polls resume in 20 s"
    assert ended.text == "The token of account main expired 5 s ago"
    assert listing.text == "Discovery of account main is failing: forbidden"
    assert listing.detail == "HTTP 403: no"


def test_many_accounts_are_summed_up() -> None:
    """The first notices about accounts are listed, and the rest are counted."""
    accounts = [AccountStatus(f"a{number}", NOON + 20) for number in range(MAX_ACCOUNT_NOTICES + 2)]
    told = notices(PROCESS, accounts, START)
    assert len(told) == MAX_ACCOUNT_NOTICES + 1
    assert told[-1].text == "2 more notices about accounts"
    assert len(notices(PROCESS, accounts[:MAX_ACCOUNT_NOTICES], START)) == MAX_ACCOUNT_NOTICES
