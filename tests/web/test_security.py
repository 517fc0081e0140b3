"""Security over real sockets: passwords, headers, and reloads of changed files."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import bcrypt
import httpx
import pytest
import trustme
from structlog.testing import capture_logs

from exporter.web import basic_auth
from exporter.web.config import WebConfig
from exporter.web.security import CHECK_INTERVAL, READ_SECONDS, Security
from tests.harness.fakes import FakeClock, settle
from tests.web.guarded import (
    ALICE,
    HASH,
    MUTUAL_TLS,
    PASSWORD,
    TLS,
    USERS,
    Site,
    browser,
    guarded,
    reload,
)

HEADERS = """\
http_server_config:
  headers:
    X-Frame-Options: deny
    Strict-Transport-Security: max-age=60
"""


def refusals(events: Iterable[Mapping[str, object]]) -> list[object]:
    """The logged errors about settings that were refused."""
    return [event["error"] for event in events if event["event"] == "web_config_refused"]


@pytest.mark.parametrize(
    "path", ["/metrics", "/", "/-/healthy", "/-/ready", "/nowhere", "/-/reload"]
)
@pytest.mark.parametrize(
    "auth", [None, httpx.BasicAuth("alice", "x"), httpx.BasicAuth("x", PASSWORD)]
)
async def test_nothing_answers_without_a_password(
    tmp_path: Path, path: str, auth: httpx.Auth | None
) -> None:
    """Every path, even an unknown one, gets 401 without a valid user name and password."""
    async with (
        guarded(Site(tmp_path, USERS).security()) as address,
        browser(address, auth=auth) as client,
    ):
        response = await client.get(path)
        posted = await client.post(path)
    assert response.status_code == posted.status_code == 401
    assert response.headers["WWW-Authenticate"] == 'Basic realm="flashback-exporter"'
    assert response.text == "Unauthorized\n"


async def test_users_get_everything(tmp_path: Path) -> None:
    """With user name and password, the endpoints respond as they do without security."""
    site = Site(tmp_path, USERS)
    async with guarded(site.security()) as address, browser(address, auth=ALICE) as client:
        assert (await client.get("/metrics")).status_code == 200
        assert (await client.get("/nowhere")).status_code == 404
        assert (await client.post("/metrics")).status_code == 405
        assert (await client.head("/")).status_code == 200


async def test_probes_may_be_left_open(tmp_path: Path) -> None:
    """With --web.health-without-auth the two probes need no password; everything else does."""
    security = Security(Site(tmp_path, USERS).read, FakeClock(), health_without_auth=True)
    async with guarded(security) as address, browser(address) as client:
        assert (await client.get("/-/healthy")).status_code == 200
        assert (await client.get("/-/ready")).status_code == 503
        for path in ("/", "/metrics", "/-/healthy/", "//-/healthy", "/-/healthy/../../metrics"):
            assert (await client.get(path)).status_code == 401


async def test_a_scrape_costs_one_check(tmp_path: Path) -> None:
    """A user's password is checked once, and again only after the users have changed."""
    checked: list[bytes] = []

    def check(password: bytes, against: bytes) -> bool:
        checked.append(password)
        return bcrypt.checkpw(password, against)

    site = Site(tmp_path, USERS)
    security = Security(site.read, FakeClock(), check=check)
    async with guarded(security) as address, browser(address, auth=ALICE) as client:
        for _ in range(20):
            assert (await client.get("/metrics")).status_code == 200
        assert len(checked) == 1
        site.write(USERS + HEADERS)
        await reload(security)
        assert (await client.get("/metrics")).headers["X-Frame-Options"] == "deny"
        assert len(checked) == 1
        site.write(f"{USERS}  bob: {HASH}\n")
        await reload(security)
        assert (await client.get("/metrics")).status_code == 200
        assert len(checked) == 2


async def test_change_of_the_users_forgets_what_was_checked(tmp_path: Path) -> None:
    """After a change of users, a new password is accepted, and a removed user gets 401."""
    site = Site(tmp_path, f"{USERS}  bob: {HASH}\n")
    security = site.security()
    bob, renewed = httpx.BasicAuth("bob", PASSWORD), httpx.BasicAuth("alice", "renewed")
    async with guarded(security) as address, browser(address) as client:
        for _ in range(2):
            assert (await client.get("/metrics", auth=bob)).status_code == 200
            assert (await client.get("/metrics", auth=renewed)).status_code == 401
        rehashed = bcrypt.hashpw(b"renewed", bcrypt.gensalt(4)).decode()
        site.write(USERS.replace(HASH, rehashed))
        await reload(security)
        assert (await client.get("/metrics", auth=bob)).status_code == 401
        assert (await client.get("/metrics", auth=renewed)).status_code == 200
        assert (await client.get("/metrics", auth=ALICE)).status_code == 401


async def test_too_many_checks_get_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with too many waiting password checks gets 503 and Retry-After."""
    monkeypatch.setattr(basic_auth, "MAX_WAITING", 0)
    async with (
        guarded(Site(tmp_path, USERS).security()) as address,
        browser(address, auth=ALICE) as client,
    ):
        response = await client.get("/metrics")
    assert response.status_code == 503
    assert response.text == "Too many password checks, try again later.\n"
    assert response.headers["Retry-After"] == "1"


async def test_every_answer_has_the_headers(tmp_path: Path) -> None:
    """The configured headers are in every response, including errors and 401."""
    security = Site(tmp_path, HEADERS + USERS).security()
    async with guarded(security) as address, browser(address) as client:
        answers = [
            await client.get("/metrics"),
            await client.get("/metrics", auth=ALICE),
            await client.get("/nowhere", auth=ALICE),
            await client.post("/", auth=ALICE),
            await client.get("/-/ready", auth=ALICE),
        ]
    assert [answer.status_code for answer in answers] == [401, 200, 404, 405, 503]
    for answer in answers:
        assert answer.headers["X-Frame-Options"] == "deny"
        assert answer.headers["Strict-Transport-Security"] == "max-age=60"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Server"] == "flashback-exporter"


async def test_no_scrape_is_dropped_by_a_change(tmp_path: Path) -> None:
    """Every scrape is complete while certificate, client CA and users change under load."""
    site = Site(tmp_path, MUTUAL_TLS + USERS)
    security = site.security()
    old = site.client_context(site.client_ca.issue_cert("prometheus"))
    other_ca = trustme.CA()
    new = site.client_context(other_ca.issue_cert("prometheus"))
    changed = asyncio.Event()
    served_with: set[str] = set()

    async def scrape_on(*, keep_alive: bool) -> int:
        count = 0
        async with browser(address, old, ALICE) as client:
            while not changed.is_set():
                headers = {} if keep_alive else {"Connection": "close"}
                response = await client.get("/metrics", headers=headers)
                assert response.status_code == 200
                assert len(response.content) == 400_004
                connection = response.extensions["network_stream"].get_extra_info("ssl_object")
                served_with.add(connection.getpeercert()["serialNumber"])
                count += 1
        return count

    async with guarded(security) as address:
        async with asyncio.TaskGroup() as group:
            scrapes = [
                group.create_task(scrape_on(keep_alive=keep_alive)) for keep_alive in (True, False)
            ]
            for number in range(5):
                site.issue()
                site.trust(site.client_ca, *([other_ca] * (number % 2 + 1)))
                rehashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
                site.write(f"{MUTUAL_TLS}{USERS.replace(HASH, rehashed)}")
                with capture_logs() as events:
                    await reload(security)
                assert [event["event"] for event in events] == ["web_config_reloaded"]
                async with browser(address, new, ALICE) as client:
                    for _ in range(3):
                        assert (await client.get("/metrics")).status_code == 200
            changed.set()
        assert all([await scrape > 5 for scrape in scrapes])
        assert len(served_with) >= 3
        site.trust(other_ca)
        await reload(security)
        with pytest.raises(ssl.SSLError, match="UNKNOWN_CA"):
            async with browser(address, old, ALICE) as client:
                await client.get("/metrics")


async def test_old_connections_end_after_a_change(tmp_path: Path) -> None:
    """A connection from before a change gets one more response, with `Connection: close`."""
    site = Site(tmp_path, TLS)
    security = site.security()
    async with guarded(security) as address, browser(address, site.client_context()) as client:
        assert "Connection" not in (await client.get("/metrics")).headers
        site.issue()
        await reload(security)
        last = await client.get("/metrics")
        assert last.status_code == 200
        assert last.headers["Connection"] == "close"
        assert "Connection" not in (await client.get("/metrics")).headers


async def test_files_that_change_one_by_one_are_taken_up_together(tmp_path: Path) -> None:
    """A new certificate without its key yet is not an error: two checks must see the same files."""
    site = Site(tmp_path, TLS)
    security = site.security()
    renewed = site.server_ca.issue_cert("127.0.0.1")
    with capture_logs() as events:
        await security.reload_if_changed()
        renewed.cert_chain_pems[0].write_to_path(tmp_path / "server.pem")
        await security.reload_if_changed()
        renewed.private_key_pem.write_to_path(tmp_path / "server.key")
        await security.reload_if_changed()
        assert not events
        await security.reload_if_changed()
    assert events == [{"event": "web_config_reloaded", "file": str(site.path), "log_level": "info"}]


async def test_invalid_reload_is_logged_once(tmp_path: Path) -> None:
    """Each broken state of the file is logged once, with its line; a fixed file is loaded."""
    site = Site(tmp_path, USERS)
    security = site.security()
    async with guarded(security) as address, browser(address, auth=ALICE) as client:
        with capture_logs() as events:
            for text in ("", f"{USERS}  bob: hunter2\n"):
                site.write(text)
                for _ in range(5):
                    await security.reload_if_changed()
                assert (await client.get("/metrics")).status_code == 200
                assert (await client.get("/metrics", auth=None)).status_code == 401
            site.path.unlink()
            await reload(security)
            assert (await client.get("/metrics")).status_code == 200
            site.write(USERS)
            await reload(security)
        assert (await client.get("/metrics")).status_code == 200
    assert [event["event"] for event in events] == [
        *["web_config_refused"] * 3,
        "web_config_reloaded",
    ]
    empty, user, missing = refusals(events)
    assert str(empty).startswith(f"{site.path}:1: empty file")
    assert str(user).startswith(f"{site.path}:3: basic_auth_users.bob: not a bcrypt hash")
    assert str(missing).startswith(f"{site.path}: cannot be read (No such file or directory)")


@pytest.mark.parametrize(
    ("before", "after"), [(USERS, USERS + TLS), (USERS + TLS, USERS)], ids=["on", "off"]
)
async def test_tls_is_not_switched_while_running(tmp_path: Path, before: str, after: str) -> None:
    """A reload that would turn TLS on or off is refused, and the old settings stay active."""
    site = Site(tmp_path, before)
    security = site.security()
    site.write(after)
    with capture_logs() as events:
        await reload(security)
    (refusal,) = refusals(events)
    assert refusal == (
        f"{site.path}: tls_server_config: a reload cannot turn TLS on or off: restart the exporter"
    )
    context = site.client_context() if "tls" in before else None
    async with guarded(security) as address, browser(address, context, ALICE) as client:
        assert (await client.get("/metrics")).status_code == 200


async def test_passwords_can_be_switched_while_running(tmp_path: Path) -> None:
    """A reload can turn basic auth on and off."""
    site = Site(tmp_path, HEADERS)
    security = site.security()
    async with guarded(security) as address, browser(address) as client:
        assert (await client.get("/metrics")).status_code == 200
        site.write(HEADERS + USERS)
        await reload(security)
        assert (await client.get("/metrics")).status_code == 401
        site.write(HEADERS)
        await reload(security)
        assert (await client.get("/metrics")).status_code == 200


async def test_files_are_checked_periodically(tmp_path: Path) -> None:
    """A changed certificate is loaded by the regular check, without a reload request."""
    site = Site(tmp_path, TLS)
    security = site.security()
    assert security.tls
    clock = FakeClock()
    context = security.tls.newest
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(security.watch(clock))
        await settle()
        site.issue()
        async with asyncio.timeout(60):
            while security.tls.newest is context:  # a look ends when its thread has read the files
                await clock.advance(CHECK_INTERVAL)
        watching.cancel()


async def test_hung_files_are_logged_once_and_reloaded(tmp_path: Path) -> None:
    """A hung file is logged once; the old settings stay active until it can be read."""
    site, clock, free = Site(tmp_path, USERS), FakeClock(), threading.Event()
    hangs: list[bool] = []

    def read() -> WebConfig:
        if hangs:
            free.wait()
        return site.read()

    security = Security(read, clock)
    hangs.append(True)
    async with guarded(security) as address, browser(address, auth=ALICE) as client:
        with capture_logs() as events:
            for _ in range(3):
                look = asyncio.create_task(security.reload_if_changed())
                await clock.advance(READ_SECONDS)
                await look
                assert (await client.get("/metrics", auth=None)).status_code == 401
            (refusal,) = refusals(events)
            assert refusal == (
                f"{site.path}: this file, or a file that it names, could not be read within 5s: "
                "check for a hung mount"
            )
            site.write(USERS + HEADERS)
            free.set()
            await reload(security)
        assert (await client.get("/metrics")).headers["X-Frame-Options"] == "deny"


async def test_certificate_that_hangs_in_openssl_is_told_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If OpenSSL hangs while it reads the certificate, this is logged and tried again."""
    site, clock = Site(tmp_path, TLS), FakeClock()
    security, begun, free = Security(site.read, clock), threading.Event(), threading.Event()
    assert security.tls
    before = security.tls.newest
    load = ssl.SSLContext.load_cert_chain

    def hang(*arguments: Any, **options: Any) -> None:  # noqa: ANN401 - handed on
        begun.set()
        free.wait()
        load(*arguments, **options)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", hang)
    site.issue()
    await security.reload_if_changed()
    with capture_logs() as events:
        look = asyncio.create_task(security.reload_if_changed())
        while not begun.is_set():  # noqa: ASYNC110 - a thread sets it
            await asyncio.sleep(0)
        await clock.advance(READ_SECONDS)
        await look
        assert "could not be read within 5s" in str(refusals(events))
        free.set()
        await reload(security)
        assert security.tls.newest is not before


async def test_password_is_checked_though_all_threads_of_asyncio_hang(tmp_path: Path) -> None:
    """Password checks do not need asyncio's threads, which hanging name resolution can use up."""
    security, free = Site(tmp_path, USERS).security(), threading.Event()
    loop = asyncio.get_running_loop()
    hanging = [loop.run_in_executor(None, free.wait) for _ in range(100)]
    try:
        async with (
            guarded(security) as address,
            browser(address, auth=ALICE) as client,
        ):
            assert (await client.get("/metrics")).status_code == 200
    finally:
        free.set()
        await asyncio.gather(*hanging)
