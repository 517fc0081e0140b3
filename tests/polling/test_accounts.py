"""Accounts that log in and discover their buckets, against the simulator in virtual time."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from exporter import simulator
from exporter.logs import configure
from exporter.simulator import CallKind, Mfa, Spelling, TokenRules, User
from tests.harness.scrapes import Scrape
from tests.harness.stack import ANYWHERE, Running, running

pytestmark = pytest.mark.virtual_time

PASSWORD = "pa55word-s3cret"
OPS = User("ops@example.com", PASSWORD)
EXPIRY = "flashback_account_token_expiry_timestamp_seconds"
NODES = "flashback_node_uptime_ratio"
REQUESTS = "flashback_api_requests_total"


def logging_in(
    *,
    buckets: tuple[str, ...] = (),
    password: str = PASSWORD,
    discovery: str = "",
    interval: str = "5s",
) -> Callable[[str], str]:
    """A configuration whose account logs in and polls these buckets or discovers its own."""
    lines = [
        "global: {base_url: '%s', poll_interval: " + interval + ", max_requests_per_second: 1000}",
        "accounts:",
        "  - name: main",
        f"    login: {{email: ops@example.com, password: {password}}}",
    ]
    if buckets:
        lines.append(f"    buckets: [{', '.join(buckets)}]")
    if discovery:
        lines.append(f"    discovery: {discovery}")
    return lambda api: "\n".join(lines) % api


def up(page: Scrape) -> set[str]:
    """The buckets that are up."""
    return {each.labels["bucket_id"] for each in page.all("flashback_bucket_up") if each.value}


def reasons(page: Scrape) -> set[str]:
    """The reasons for which buckets are failing."""
    return {each.labels["reason"] for each in page.all("flashback_bucket_failing")}


async def test_login_gives_readings_and_says_when_the_token_ends() -> None:
    """E-mail and password are enough to poll; the token's expiry is exported as a metric."""
    text = logging_in(buckets=("b1", "b2"))
    async with running(text=text, users=[OPS]) as at_work:
        page = await at_work.scrape_when(lambda page: up(page) == {"b1", "b2"})
        issued = at_work.api.record.issued[-1]
        assert page.value(EXPIRY, account="main") == issued.expires_at
        assert page.value("flashback_api_requests_total", call="login", code="200") == 1
        assert page.value("flashback_api_requests_total", call="refresh", code="200") == 0


@pytest.mark.parametrize("spelling", list(Spelling))
async def test_tokens_of_two_seconds_for_five_hundred_polls(spelling: Spelling) -> None:
    """With 2s tokens, rotation and rejected refreshes, no poll fails for lack of a valid token."""
    ids = tuple(f"b{number}" for number in range(100))
    rules = TokenRules(lifetime=2.0, delay=0.01, spelling=spelling)
    text = logging_in(buckets=ids)
    with capture_logs() as events:
        async with running(text=text, users=[OPS], rules=rules) as at_work:
            record = at_work.api.record
            await at_work.wait_until(lambda: record.answers[200] >= 300)
            at_work.api.play("refresh-refused")
            await at_work.wait_until(lambda: record.answers[200] >= 500)
            page = await at_work.scrape()
    assert len(up(page)) == len(ids)
    assert [event for event in events if event["event"] == "bucket_failing"] == []
    assert record.max_concurrent[CallKind.LOGIN] == record.max_concurrent[CallKind.REFRESH] == 1
    assert record.calls_by_kind[CallKind.REFRESH] > 5
    assert record.calls_by_kind[CallKind.LOGIN] > 1


async def test_many_polls_wait_for_one_login() -> None:
    """Polls that are due at the same time share one login."""
    ids = tuple(f"b{number}" for number in range(40))
    rules = TokenRules(delay=0.2)
    async with running(text=logging_in(buckets=ids), users=[OPS], rules=rules) as at_work:
        await at_work.scrape_when(lambda page: len(up(page)) == len(ids))
        assert at_work.api.record.calls_by_kind[CallKind.LOGIN] == 1


@pytest.mark.parametrize(
    "user",
    [
        User("ops@example.com", "another"),
        *(replace(OPS, mfa=mfa) for mfa in Mfa if mfa is not Mfa.OFF),
    ],
    ids=lambda user: "wrong password" if user.mfa is Mfa.OFF else f"mfa {user.mfa.name}",
)
async def test_failing_login_is_retried_rarely(user: User) -> None:
    """A login that cannot succeed marks its buckets as failing and is retried only a few times."""
    ids = tuple(f"b{number}" for number in range(30))
    text = logging_in(buckets=ids, interval="1m, poll_timeout: 1m")
    async with running(text=text, users=[user]) as at_work:
        await at_work.scrape_when(lambda page: reasons(page) == {"unauthorized"})
        await at_work.clock.sleep(600)
        made = at_work.api.record.calls_by_kind
        allowed = 14 if user.mfa is Mfa.PARTIAL else 7
        assert 2 <= made[CallKind.LOGIN] + made[CallKind.REFRESH] <= allowed


async def test_401_of_one_bucket_causes_no_rechecks_of_others() -> None:
    """A bucket that always gets 401 causes no extra re-checks of the account's other buckets."""
    text = logging_in(buckets=("bad", "gone", "good"), interval="1m, poll_timeout: 1m")
    trouble = "unauthorized/share=1/bucket=bad,not-found/share=1/bucket=gone"
    async with running(trouble, text=text, users=[OPS]) as at_work:
        await at_work.clock.sleep(1200)
        calls = at_work.api.record.calls
        assert calls["good"] > 15
        assert calls["gone"] <= 8
        assert calls["bad"] <= 16


async def test_fixed_password_is_used_at_once(tmp_path: Path) -> None:
    """Once the password file is corrected, all buckets of the account are polled again."""
    file = tmp_path / "password"
    file.write_text("wrong")
    base = logging_in(buckets=("b1", "b2"), interval="1h")

    def text(api: str) -> str:
        return base(api).replace(f"password: {PASSWORD}", f"password_file: {file}")

    async with running(text=text, users=[OPS]) as at_work:
        await at_work.scrape_when(lambda page: reasons(page) == {"unauthorized"})
        file.write_text(f"{PASSWORD}\n")
        start = at_work.clock.monotonic()
        await at_work.scrape_when(lambda page: up(page) == {"b1", "b2"})
        assert at_work.clock.monotonic() - start < 600


async def test_swapped_secret_is_followed_without_a_failed_reading(tmp_path: Path) -> None:
    """When Kubernetes swaps the token file, the new token is used and no poll fails."""
    for number in range(4):
        (tmp_path / f"..{number}").mkdir()
        (tmp_path / f"..{number}" / "token").write_text(f"token-{number}\n")
    (tmp_path / "..data").symlink_to("..0")
    (tmp_path / "token").symlink_to("..data/token")

    def text(api: str) -> str:
        return (
            f"global: {{base_url: '{api}', poll_interval: 5s}}\naccounts:\n  - name: main\n"
            f"    authorization: {{credentials_file: {tmp_path}/token}}\n    buckets: [b1, b2]\n"
        )

    async with running(text=text, tokens={"token-0"}) as at_work:
        await at_work.scrape_when(lambda page: up(page) == {"b1", "b2"})
        for number in range(1, 4):
            (tmp_path / "..new").symlink_to(f"..{number}")
            os.replace(tmp_path / "..new", tmp_path / "..data")  # noqa: PTH105 - as Kubernetes does
            at_work.api.tokens = {f"token-{number}"}
            before = at_work.api.record.answers[200]
            page = await at_work.scrape_when(
                lambda _, before=before: at_work.api.record.answers[200] > before + 4  # type: ignore[misc] # bound now
            )
            assert not page.has("flashback_bucket_failing")


@pytest.mark.parametrize("key", ["credentials_file", "password_file"])
async def test_unusable_secret_file_holds_up_nobody_else(tmp_path: Path, key: str) -> None:
    """A FIFO as secret file fails only its own account's buckets; the error says how to fix it."""
    secret = tmp_path / "secret"
    os.mkfifo(secret)
    accesses = {
        "credentials_file": f"authorization: {{credentials_file: {secret}}}",
        "password_file": f"login: {{email: ops@example.com, password_file: {secret}}}",
    }

    def text(api: str) -> str:
        return (
            f"global: {{base_url: '{api}', poll_interval: 5s}}\naccounts:\n"
            f"  - {{name: bad, {accesses[key]}, buckets: [b1, b2]}}\n"
            "  - {name: good, authorization: {credentials: t0}, buckets: [b3]}\n"
        )

    async with running(text=text, users=[OPS], tokens={"t0", "t1"}) as at_work:
        page = await at_work.scrape_when(lambda page: len(page.all("flashback_bucket_up")) == 3)
        assert up(page) == {"b3"}
        assert reasons(page) == {"unauthorized"}
        shown = (await at_work.request("GET", "/api/v1/status")).text
        assert f"{key} cannot be read: it is not a regular file: use a regular" in shown
        secret.unlink()
        secret.write_text("t1" if key == "credentials_file" else PASSWORD)
        await at_work.scrape_when(lambda page: up(page) == {"b1", "b2", "b3"})


async def test_hanging_login_is_made_once_for_all() -> None:
    """Forty buckets that wait for a hanging login cause at most ten login attempts a minute."""
    ids = tuple(f"b{number}" for number in range(40))
    text = logging_in(buckets=ids, interval="5s")
    async with running("hang/call=login/share=1", text=text, users=[OPS]) as at_work:
        await at_work.scrape_when(lambda page: reasons(page) == {"timeout"})
        await at_work.clock.sleep(60)
        assert 1 <= at_work.api.record.calls_by_kind[CallKind.LOGIN] <= 10
        at_work.api.play("")
        await at_work.scrape_when(lambda page: up(page) == set(ids))


DISCOVERED = (
    simulator.SimulatedBucket("d1", "media-eu"),
    simulator.SimulatedBucket("d2", "media-test"),
    simulator.SimulatedBucket("d3", "backups", "workspace-2"),
)


async def test_buckets_are_found_and_followed() -> None:
    """New buckets are polled after discovery; removed buckets disappear with all their series."""
    text = logging_in(discovery="{refresh_interval: 10s, exclude: ['.*-test']}")
    async with running(text=text, users=[OPS], buckets=DISCOVERED) as at_work:
        page = await at_work.scrape_when(lambda page: up(page) == {"d1", "d3"})
        info = page.all("flashback_bucket_info", bucket_id="d3")[0].labels
        assert (info["name"], info["workspace_id"]) == ("backups", "workspace-2")
        assert info["storage_type"] in {"S3", "GCS", "BLOB"}
        assert page.value("flashback_account_discovery_up") == 1
        assert page.value("flashback_account_discovered_buckets") == 2
        at_work.api.buckets = (*DISCOVERED[1:], simulator.SimulatedBucket("d4", "new"))
        page = await at_work.scrape_when(lambda page: up(page) == {"d3", "d4"})
        assert not [each for each in page if each.labels.get("bucket_id") == "d1"]
        assert len(page.all(NODES, bucket_id="d3")) == 6


async def test_other_filters_keep_what_was_read() -> None:
    """A reload with a new filter drops the excluded buckets and re-polls none of the others."""
    filters = ["{refresh_interval: 1h}", "{refresh_interval: 1h, exclude: [backups]}"]
    options = replace(ANYWHERE, lifecycle=True)

    def text(api: str) -> str:
        return logging_in(discovery=filters[0], interval="1h, stale_after: 3h")(api)

    def calls(page: Scrape) -> float:
        return sum(each.value for each in page.all(REQUESTS, call="stats", code="200"))

    async with running(text=text, users=[OPS], buckets=DISCOVERED, options=options) as at_work:
        await at_work.scrape_when(lambda page: calls(page) == 6)  # today, and the day before
        del filters[0]
        assert (await at_work.request("POST", "/-/reload")).status_code == 200
        page = await at_work.scrape()
        assert up(page) == {"d1", "d2"}
        assert calls(page) == 6
        assert page.value(REQUESTS, call="login", code="200") == 1


async def test_one_workspace_alone() -> None:
    """With workspace_id, only the buckets of that workspace are discovered."""
    text = logging_in(discovery="{workspace_id: workspace-2}")
    async with running(text=text, users=[OPS], buckets=DISCOVERED) as at_work:
        page = await at_work.scrape_when(lambda page: bool(up(page)))
        assert up(page) == {"d3"}


async def test_listing_that_fails_keeps_what_was_found() -> None:
    """While discovery fails the buckets stay; two empty list responses in a row remove them."""
    text = logging_in(discovery="{refresh_interval: 10s}")
    async with running(text=text, users=[OPS], buckets=DISCOVERED) as at_work:
        await at_work.scrape_when(lambda page: len(up(page)) == 3)
        at_work.api.play("list-5xx/share=1")
        page = await at_work.scrape_when(
            lambda page: page.value("flashback_account_discovery_up") == 0
        )
        assert len(up(page)) == 3
        listings = at_work.api.record.calls_by_kind
        at_work.api.play("list-empty/share=1")
        before = listings[CallKind.LIST]
        page = await at_work.scrape_when(lambda _: listings[CallKind.LIST] == before + 1)
        assert page.value("flashback_exporter_buckets") == 3
        page = await at_work.scrape_when(lambda page: not up(page))
        assert listings[CallKind.LIST] >= before + 2
        assert page.value("flashback_account_discovered_buckets") == 0


@pytest.mark.parametrize("scenario", ["list-403", "list-malformed", "list-5xx", "login-refused"])
async def test_discovery_that_never_worked_is_tried_and_ready(scenario: str) -> None:
    """If an account's discovery never worked, discovery_up is 0 and the exporter becomes ready."""
    text = logging_in(discovery="{}", buckets=("by-hand",))
    async with running(f"{scenario}/share=1", text=text, users=[OPS]) as at_work:
        page = await at_work.scrape_when(lambda page: page.has("flashback_account_discovery_up"))
        assert page.value("flashback_account_discovery_up") == 0
        assert page.value("flashback_account_discovered_buckets") == 0
        assert not page.has("flashback_account_discovery_last_success_timestamp_seconds")
        await at_work.scrape_when(lambda page: page.has("flashback_bucket_up"))
        assert await at_work.status("/-/ready") == 200


async def test_odd_entries_do_no_harm() -> None:
    """List entries without an id, with '..' or hostile names do not break the metrics page."""
    text = logging_in(discovery="{}")
    async with running("list-odd-entries", text=text, users=[OPS], buckets=DISCOVERED) as at_work:
        page = await at_work.scrape_when(lambda page: len(up(page)) >= 3)
        assert not {".", "..", ""} & {each.labels.get("bucket_id", "x") for each in page}


async def test_429_pauses_the_account_that_got_it_alone() -> None:
    """A 429 pauses only its own account, not another account of the same API."""

    def text(api: str) -> str:
        account = "  - {{name: {0}, authorization: {{credentials: t}}, buckets: [{0}-1, {0}-2]}}\n"
        accounts = "".join(account.format(name) for name in ("calm", "storm"))
        return f"global: {{base_url: '{api}', poll_interval: 5s}}\naccounts:\n{accounts}"

    storm = "429-storm/share=1/bucket=storm-1/bucket=storm-2"
    async with running(storm, text=text) as at_work:
        paused = "flashback_account_paused_until_timestamp_seconds"
        page = await at_work.scrape_when(lambda page: page.has(paused, account="storm"))
        assert not page.has(paused, account="calm")
        await at_work.scrape_when(lambda page: up(page) == {"calm-1", "calm-2"})
        record = at_work.api.record
        storm_before = record.calls["storm-1"] + record.calls["storm-2"]
        calm_before = record.calls["calm-1"]
        await at_work.wait_until(lambda: record.calls["calm-1"] > calm_before + 3)
        assert record.calls["storm-1"] + record.calls["storm-2"] <= storm_before + 1


async def leaks(at_work: Running, log: io.StringIO) -> list[str]:
    """The secrets that appear in the log or on a page."""
    pages = [(await at_work.request("GET", path)).text for path in ("/metrics", "/", "/-/ready")]
    shown = log.getvalue() + "".join(pages)
    secrets = [
        PASSWORD,
        simulator.ACCESS_KEY_PREFIX,
        simulator.SECRET_PREFIX,
        simulator.REFRESH_PREFIX,
        *(grant.access_token for grant in at_work.api.record.issued),
    ]
    return [secret for secret in secrets if secret in shown]


@pytest.mark.parametrize(
    "scenario",
    ["", "tokens-revoked", "refresh-refused", "list-malformed/share=1", "hostile-message/share=1"],
)
async def test_no_secret_is_ever_shown(scenario: str) -> None:
    """No password, token or key from a list response appears in the debug log or on a page."""
    log = io.StringIO()
    configure("debug", "json", log)
    text = logging_in(discovery="{refresh_interval: 10s}", buckets=("by-hand",))
    rules = TokenRules(lifetime=2.0)
    async with running(
        scenario, text=text, users=[OPS], rules=rules, buckets=(*DISCOVERED, "by-hand")
    ) as at_work:
        record = at_work.api.record
        await at_work.wait_until(lambda: record.calls_by_kind[CallKind.LIST] > 2)
        await at_work.wait_until(lambda: record.calls_by_kind[CallKind.STATS] > 20)
        assert "listening" in log.getvalue()
        assert await leaks(at_work, log) == []
