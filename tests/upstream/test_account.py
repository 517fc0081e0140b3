"""An account's connection to the API: TLS settings, proxy and environment variables."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from threading import Event

import pytest
import trustme
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from pydantic import SecretStr

from exporter import config
from exporter.config import Account, Limits, TlsConfig
from exporter.model import Bucket, FailedPoll, GoodPoll, PollResult, Reason, Timing
from exporter.upstream.account import (
    AccountClient,
    ClientContext,
    tls_contexts,
    tls_contexts_now,
)
from exporter.upstream.connections import Resolver
from exporter.upstream.credentials import StaticToken, TokenFile
from exporter.upstream.login import LoginCredentials
from exporter.upstream.parsing import ResponseLimits
from exporter.upstream.rate_limit import RateLimiter
from exporter.upstream.transport import connections
from tests.harness.fakes import FakeClock, Recorder
from tests.upstream.tokens import token_in_memory

NO_TLS = TlsConfig(None, None, None, None, None, insecure_skip_verify=False)
ACCOUNT = Account(
    name="main",
    base_url="http://127.0.0.1:9",
    credentials=SecretStr("t0"),
    tls=NO_TLS,
    proxy_url=None,
    no_proxy=None,
    proxy_from_environment=False,
    timing=Timing(),
    buckets=(),
    discovery=None,
)
GOOD: dict[str, object] = {"success": True, "nodeStats": []}


class Authority:
    """A certificate authority whose files an account can use."""

    def __init__(self, directory: Path) -> None:
        self.ca = trustme.CA()
        self.directory = directory
        self.ca_file = directory / "ca.pem"
        self.ca.cert_pem.write_to_path(self.ca_file)
        client = self.ca.issue_cert("client@example.com")
        self.cert_file, self.key_file = directory / "client.pem", directory / "client.key"
        client.cert_chain_pems[0].write_to_path(self.cert_file)
        client.private_key_pem.write_to_path(self.key_file)

    def server(self, name: str, *, wants_client: bool = False) -> ssl.SSLContext:
        """The TLS context of a server with this name."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.ca.issue_cert(name).configure_cert(context)
        if wants_client:
            context.verify_mode = ssl.CERT_REQUIRED
            self.ca.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One authority for all tests in this module, because generating keys is slow."""
    return Authority(tmp_path_factory.mktemp("tls"))


@asynccontextmanager
async def tls_api(context: ssl.SSLContext) -> AsyncIterator[str]:
    """An API over TLS that returns a good response to every request."""

    async def answer(_request: web.Request) -> web.Response:
        return web.json_response(GOOD)

    app = web.Application()
    app.router.add_route("*", "/{any:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def polled(account: Account, previous: AccountClient | None = None) -> PollResult:
    """The result of one poll of an account, optionally as the successor of `previous`."""
    clock = FakeClock()
    access = access_to(account, clock)
    if previous is not None:
        access.resume(previous)
    try:
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            task = group.create_task(access.client.poll(Bucket("main", "b1", "b1")))
            while not task.done():
                await clock.advance(0.01)
                await asyncio.sleep(0.001)
    finally:
        await access.aclose()
    return task.result()


async def reason(account: Account) -> Reason | None:
    """Why a poll fails, or None if it succeeds."""
    result = await polled(account)
    return result.error.reason if isinstance(result, FailedPoll) else None


async def test_own_authority_is_trusted(authority: Authority) -> None:
    """A private CA's certificate is trusted only by an account whose ca_file contains that CA."""
    trusting = replace(NO_TLS, ca_file=authority.ca_file)
    async with tls_api(authority.server("127.0.0.1")) as url:
        assert await reason(replace(ACCOUNT, base_url=url)) is Reason.TLS
        assert await reason(replace(ACCOUNT, base_url=url, tls=trusting)) is None


async def test_server_name_is_what_must_be_proven(authority: Authority) -> None:
    """If server_name is set, the certificate must be valid for that name."""
    trusting = replace(NO_TLS, ca_file=authority.ca_file)
    async with tls_api(authority.server("api.example")) as url:
        account = replace(ACCOUNT, base_url=url, tls=trusting)
        assert await reason(account) is Reason.TLS
        named = replace(account, tls=replace(trusting, server_name="api.example"))
        assert await reason(named) is None


async def test_client_certificate_is_shown(authority: Authority) -> None:
    """If the server requires a client certificate, the account's cert_file is sent."""
    trusting = replace(NO_TLS, ca_file=authority.ca_file)
    known = replace(trusting, cert_file=authority.cert_file, key_file=authority.key_file)
    async with tls_api(authority.server("127.0.0.1", wants_client=True)) as url:
        account = replace(ACCOUNT, base_url=url)
        assert await reason(replace(account, tls=trusting)) in {Reason.TLS, Reason.CONNECT}
        assert await reason(replace(account, tls=known)) is None


async def test_verification_can_be_switched_off(authority: Authority) -> None:
    """insecure_skip_verify accepts any certificate."""
    async with tls_api(authority.server("another.example")) as url:
        careless = replace(NO_TLS, insecure_skip_verify=True)
        assert await reason(replace(ACCOUNT, base_url=url, tls=careless)) is None


@pytest.mark.parametrize(
    ("spoken", "least", "expected"),
    [
        (ssl.TLSVersion.TLSv1_2, None, {None}),
        (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2, {None}),
        (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3, {Reason.TLS, Reason.CONNECT}),
        (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2, {None}),
        (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3, {None}),
    ],
)
async def test_older_tls_than_min_version_is_not_spoken(
    authority: Authority,
    spoken: ssl.TLSVersion,
    least: ssl.TLSVersion | None,
    expected: set[Reason | None],
) -> None:
    """A server whose newest TLS version is below min_version is rejected."""
    trusting = replace(NO_TLS, ca_file=authority.ca_file, min_version=least)
    server = authority.server("127.0.0.1")
    server.maximum_version = spoken
    async with tls_api(server) as url:
        assert await reason(replace(ACCOUNT, base_url=url, tls=trusting)) in expected


async def test_accounts_with_the_same_settings_share_a_context(authority: Authority) -> None:
    """Accounts share a TLS context if their settings differ only in server_name."""
    own = replace(NO_TLS, ca_file=authority.ca_file)
    plain, named, trusting, careless = accounts = [
        replace(ACCOUNT, tls=tls)
        for tls in (
            NO_TLS,
            replace(NO_TLS, server_name="api.example"),
            own,
            replace(own, insecure_skip_verify=True),
        )
    ]
    contexts = await tls_contexts(accounts * 100)
    assert contexts[plain.tls] is contexts[named.tls]
    assert len({id(contexts[each.tls]) for each in (plain, trusting, careless)}) == 3
    assert len(set(map(id, contexts.values()))) == 3


async def test_changed_tls_files_are_read_again(authority: Authority, tmp_path: Path) -> None:
    """A reload reads the current content of ca_file, even if its path is unchanged."""
    ca_file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(ca_file)
    account = replace(ACCOUNT, tls=replace(NO_TLS, ca_file=ca_file))
    before = await tls_contexts([account])
    authority.ca.cert_pem.write_to_path(ca_file)
    after = await tls_contexts([account])
    assert after[account.tls].get_ca_certs() != before[account.tls].get_ca_certs()
    ca_file.unlink()
    with pytest.raises(FileNotFoundError):
        await tls_contexts([account])


async def test_tls_files_cannot_hang_the_exporter(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If reading a TLS file hangs, it fails after a timeout without blocking the event loop."""
    released = Event()
    monkeypatch.setattr("ssl.create_default_context", lambda **_: released.wait())
    monkeypatch.setattr("exporter.upstream.account.TLS_SECONDS", 0.1)
    account = replace(ACCOUNT, tls=replace(NO_TLS, ca_file=authority.ca_file))
    try:
        with pytest.raises(OSError, match="check for a hung mount"):
            await tls_contexts([account])
    finally:
        released.set()


def test_key_with_a_passphrase_is_an_error_and_no_prompt(
    authority: Authority, tmp_path: Path
) -> None:
    """A key file that became encrypted after it was checked raises OSError instead of prompting."""
    key = serialization.load_pem_private_key(authority.key_file.read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"passphrase"),
        )
    )
    tls = replace(NO_TLS, cert_file=authority.cert_file, key_file=locked)
    with pytest.raises(OSError, match="passphrase"):
        access_to(replace(ACCOUNT, tls=tls), FakeClock())


def access_to(account: Account, clock: FakeClock) -> AccountClient:
    """The client of an account that shares nothing with other accounts."""
    return access_beside(account, shared(clock))


def access_beside(account: Account, others: ClientContext) -> AccountClient:
    """The client of an account that shares this context with others."""
    return AccountClient(
        account, others, tls_contexts_now([account])[account.tls], others.rate_limiter
    )


def shared(clock: FakeClock) -> ClientContext:
    """The context that account clients share."""
    limits = Limits(4, 1000, 10, 10_000)
    response_limits = ResponseLimits(frozenset(), 10)
    return ClientContext(
        limits, response_limits, RateLimiter(1000, clock), clock, Random(0), Recorder()
    )


async def test_accounts_share_one_look_up_of_a_name() -> None:
    """Accounts of one API share its DNS lookup, so a lookup that hangs blocks only one thread."""
    asked, end = [], threading.Event()

    def hang(host: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(host)
        end.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    clock = FakeClock()
    for_all = replace(shared(clock), connect=partial(connections, resolver=Resolver(hang)))
    account_clients = [access_beside(replace(FAR, name=name), for_all) for name in ("a", "b", "c")]
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        polls = [
            group.create_task(each.client.poll(Bucket("a", "b1", "b1"))) for each in account_clients
        ]
        await clock.advance(Timing().poll_timeout)
    end.set()
    for each in account_clients:
        await each.aclose()
    results = [each.result() for each in polls]
    assert [isinstance(each, FailedPoll) and each.error.reason for each in results] == [
        Reason.TIMEOUT
    ] * 3
    assert asked == ["api.example"]


class Proxy:
    """A proxy that responds to every request itself and records the request headers."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.url = ""
        self.status = "200 OK"
        self.answer: dict[str, object] = GOOD

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            body = json.dumps(self.answer).encode()
            lines = [f"Content-Length: {len(body)}", "Connection: close"]
            head = "\r\n".join([f"HTTP/1.1 {self.status}", *lines, "", ""])
            writer.write(head.encode() + body)
            await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def proxying() -> AsyncIterator[Proxy]:
    """Run a proxy on a free loopback port."""
    proxy = Proxy()
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
        proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield proxy


FAR = replace(ACCOUNT, base_url="http://api.example:8080")


async def test_proxy_is_asked_with_its_own_password() -> None:
    """Requests go through the account's proxy_url, with its password as Proxy-Authorization."""
    async with proxying() as proxy:
        url = SecretStr(proxy.url.replace("//", "//user:pass@"))
        assert isinstance(await polled(replace(FAR, proxy_url=url)), GoodPoll)
    (head,) = proxy.heads
    assert head.startswith("POST http://api.example:8080/bucket/b1/stats HTTP/1.1\r\n")
    assert "proxy-authorization: basic dxnlcjpwyxnz" in head.lower()
    assert "authorization: bearer t0" in head.lower()


async def test_proxy_that_quotes_its_password_is_not_repeated() -> None:
    """A proxy password in an error message is hidden, even after a reload removed it."""
    async with proxying() as proxy:
        proxy.status = "403 Forbidden"
        proxy.answer = {"message": "user:pa$$word may not"}
        url = SecretStr(proxy.url.replace("//", "//user:pa%24%24word@"))
        account = replace(FAR, proxy_url=url)
        result = await polled(account)
        assert isinstance(result, FailedPoll)
        assert "contains a secret" in result.error.message
        access = access_to(account, FakeClock())
        result = await polled(replace(FAR, proxy_url=SecretStr(proxy.url)), access)
        assert isinstance(result, FailedPoll)
        assert "contains a secret" in result.error.message


async def test_proxy_is_not_asked_for_what_no_proxy_excepts() -> None:
    """Hosts in no_proxy are connected to directly; all others use the account's proxy."""
    async with proxying() as proxy:
        account = replace(
            FAR, base_url="http://no-such-host.invalid", proxy_url=SecretStr(proxy.url)
        )
        assert isinstance(await polled(replace(account, no_proxy="other.invalid")), GoodPoll)
        assert len(proxy.heads) == 1
        assert await reason(replace(account, no_proxy=".invalid")) is Reason.CONNECT
        assert len(proxy.heads) == 1


async def test_proxy_of_the_environment_only_where_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """http_proxy and no_proxy variables are used only with proxy_from_environment."""
    async with proxying() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert isinstance(await polled(replace(FAR, proxy_from_environment=True)), GoodPoll)
        assert len(proxy.heads) == 1
        assert await reason(replace(FAR, base_url="http://no-such-host.invalid")) is Reason.CONNECT
        monkeypatch.setenv("no_proxy", "no-such-host.invalid")
        excepted = replace(FAR, base_url="http://no-such-host.invalid", proxy_from_environment=True)
        assert await reason(excepted) is Reason.CONNECT
        assert len(proxy.heads) == 1


def test_environments_proxy_that_cannot_be_used_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An unsupported proxy URL in http_proxy is a config error that names the variable."""
    monkeypatch.setenv("http_proxy", "socks5://user:s3cret@proxy.corp")
    with pytest.raises(config.ConfigError, match="environment variable http_proxy") as caught:
        access_to(replace(FAR, proxy_from_environment=True), FakeClock())
    assert "s3cret" not in str(caught.value)


async def test_netrc_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Passwords in a netrc file are never sent."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password netrc-s3cret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with proxying() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        await polled(replace(FAR, proxy_from_environment=True))
    assert "Basic" not in proxy.heads[0]


async def test_token_of_the_same_file_goes_on(tmp_path: Path) -> None:
    """A reload keeps the token in memory, unless the account uses another credentials file."""
    (tmp_path / "token").write_text("t1")
    named = [replace(ACCOUNT, credentials=tmp_path / name) for name in ("token", "token", "other")]
    first, same, other = (access_to(account, FakeClock()) for account in named)
    assert await first.credentials.token() == "t1"
    for successor, token in ((same, "t1"), (other, None)):
        successor.resume(first)
        assert await token_in_memory(successor.credentials) == token


def test_credentials_follow_the_settings(tmp_path: Path) -> None:
    """Each kind of credentials gets its class; a reload keeps the session of an unchanged login."""
    login = config.Login("ops@example.com", SecretStr("pw"))
    in_file = config.Login("ops@example.com", tmp_path / "password")
    kinds: list[tuple[SecretStr | Path | config.Login, type]] = [
        (SecretStr("t"), StaticToken),
        (tmp_path / "token", TokenFile),
        (login, LoginCredentials),
        (in_file, LoginCredentials),
    ]
    for given, kind in kinds:
        access = access_to(replace(ACCOUNT, credentials=given), FakeClock())
        assert isinstance(access.credentials, kind)
    first = access_to(replace(ACCOUNT, credentials=login), FakeClock())
    same = access_to(replace(ACCOUNT, credentials=login), FakeClock())
    other = access_to(replace(ACCOUNT, credentials=in_file), FakeClock())
    assert isinstance(first.credentials, LoginCredentials)
    for successor, goes_on in ((same, True), (other, False)):
        successor.resume(first)
        assert isinstance(successor.credentials, LoginCredentials)
        assert (successor.credentials.state is first.credentials.state) is goes_on
