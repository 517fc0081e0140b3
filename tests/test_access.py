"""An account's way to the API: TLS of its own, a proxy, and nothing else of the environment."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from contextlib import asynccontextmanager
from dataclasses import replace
from random import Random
from threading import Event
from typing import TYPE_CHECKING

import pytest
import trustme
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from pydantic import SecretStr

from exporter import config
from exporter.access import TLS_SECONDS, Access, Shared, TlsContexts, proxy_url
from exporter.config import Account, Limits, TlsConfig
from exporter.model import Bucket, Failure, Outcome, Reading, Reason, Timing
from exporter.upstream.credentials import GivenToken, TokenFile
from exporter.upstream.login import Login
from exporter.upstream.pace import Pace
from exporter.upstream.parsing import Guard
from tests.fakes import FakeClock, Recorder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable
    from pathlib import Path

NO_TLS = TlsConfig(None, None, None, None, insecure_skip_verify=False)
ACCOUNT = Account(
    name="main",
    base_url="http://127.0.0.1:9",
    credentials=SecretStr("t0"),
    tls=NO_TLS,
    proxy_url=None,
    proxy_from_environment=False,
    timing=Timing(),
    buckets=(),
    discovery=None,
)
GOOD = {"success": True, "nodeStats": []}


class Authority:
    """A certificate authority and its files."""

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
        """The context of a server of this name."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.ca.issue_cert(name).configure_cert(context)
        if wants_client:
            context.verify_mode = ssl.CERT_REQUIRED
            self.ca.configure_trust(context)
        return context


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One authority for all tests here: making keys takes a while."""
    return Authority(tmp_path_factory.mktemp("tls"))


@asynccontextmanager
async def tls_api(context: ssl.SSLContext) -> AsyncIterator[str]:
    """An API that answers any request well, over TLS."""

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


async def polled(account: Account) -> Outcome:
    """How one poll of an account ends."""
    clock = FakeClock()
    access = access_to(account, clock)
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
    """Why a poll fails, or None."""
    outcome = await polled(account)
    return outcome.fault.reason if isinstance(outcome, Failure) else None


async def test_own_authority_is_trusted(authority: Authority) -> None:
    """A server that an account's ca_file vouches for is trusted, by this account alone."""
    trusting = replace(NO_TLS, ca_file=authority.ca_file)
    async with tls_api(authority.server("127.0.0.1")) as url:
        assert await reason(replace(ACCOUNT, base_url=url)) is Reason.TLS
        assert await reason(replace(ACCOUNT, base_url=url, tls=trusting)) is None


async def test_server_name_is_what_must_be_proven(authority: Authority) -> None:
    """With server_name set the certificate must be for that name."""
    trusting = replace(NO_TLS, ca_file=authority.ca_file)
    async with tls_api(authority.server("api.example")) as url:
        account = replace(ACCOUNT, base_url=url, tls=trusting)
        assert await reason(account) is Reason.TLS
        named = replace(account, tls=replace(trusting, server_name="api.example"))
        assert await reason(named) is None


async def test_client_certificate_is_shown(authority: Authority) -> None:
    """A server that wants to know its clients gets the account's certificate."""
    trusting = replace(NO_TLS, ca_file=authority.ca_file)
    known = replace(trusting, cert_file=authority.cert_file, key_file=authority.key_file)
    async with tls_api(authority.server("127.0.0.1", wants_client=True)) as url:
        account = replace(ACCOUNT, base_url=url)
        assert await reason(replace(account, tls=trusting)) in {Reason.TLS, Reason.CONNECT}
        assert await reason(replace(account, tls=known)) is None


async def test_verification_can_be_switched_off(authority: Authority) -> None:
    """insecure_skip_verify takes any certificate, and only where it is set."""
    async with tls_api(authority.server("another.example")) as url:
        careless = replace(NO_TLS, insecure_skip_verify=True)
        assert await reason(replace(ACCOUNT, base_url=url, tls=careless)) is None


async def test_accounts_with_the_same_settings_share_a_context(authority: Authority) -> None:
    """There is one TLS context per settings, the server's name apart, and a reload keeps it."""
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
    contexts = TlsContexts(FakeClock())
    await contexts.prepare(accounts * 100)
    made = [contexts.of(each) for each in accounts]
    assert contexts.of(plain) is contexts.of(named)
    assert len(set(map(id, made))) == 3
    await contexts.prepare([trusting, careless, named])
    assert contexts.of(named) is made[0]
    assert contexts.of(trusting) is made[2]


async def test_changed_tls_files_are_read_again(authority: Authority, tmp_path: Path) -> None:
    """A reload trusts what a ca_file holds by then, under the same name and settings."""
    ca_file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(ca_file)
    account = replace(ACCOUNT, tls=replace(NO_TLS, ca_file=ca_file))
    contexts = TlsContexts(FakeClock())
    await contexts.prepare([account])
    before = contexts.of(account)
    authority.ca.cert_pem.write_to_path(ca_file)
    await contexts.prepare([account])
    assert contexts.of(account) is not before
    assert contexts.of(account).get_ca_certs() != before.get_ca_certs()
    ca_file.unlink()
    with pytest.raises(FileNotFoundError, match=r"ca\.pem"):
        await contexts.prepare([account])


async def test_tls_files_cannot_hang_the_exporter(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A FIFO is refused, and a file on a mount that hangs is given up while the loop goes on."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    contexts, clock = TlsContexts(FakeClock()), FakeClock()
    with pytest.raises(OSError, match="regular file"):
        await contexts.prepare([replace(ACCOUNT, tls=replace(NO_TLS, ca_file=fifo))])
    released = Event()
    monkeypatch.setattr("exporter.access.read_file", lambda _path: released.wait())
    hanging = TlsContexts(clock)
    account = replace(ACCOUNT, tls=replace(NO_TLS, ca_file=authority.ca_file))
    async with asyncio.TaskGroup() as group:
        preparing = group.create_task(_failure(hanging.prepare([account])))
        await clock.advance(TLS_SECONDS)
    released.set()
    assert "does a mount hang?" in preparing.result()


async def _failure(work: Awaitable[None]) -> str:
    try:
        await work
    except OSError as error:
        return str(error)
    return ""


def test_key_with_a_passphrase_is_an_error_and_no_prompt(
    authority: Authority, tmp_path: Path
) -> None:
    """A key file that became unusable since it was checked is an OSError."""
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


def access_to(account: Account, clock: FakeClock) -> Access:
    """An account's way to the API, with nobody beside it."""
    contexts, with_others = TlsContexts(clock), shared(clock)
    contexts.prepare_now([account])
    return Access(account, with_others, contexts.of(account), with_others.pace)


def shared(clock: FakeClock) -> Shared:
    """What an access shares with others."""
    limits = Limits(4, 1000, 10, 10_000)
    guard = Guard(frozenset(), 10)
    return Shared(limits, guard, Pace(1000, clock), clock, Random(0), Recorder())


class Proxy:
    """A proxy that answers everything itself, and keeps the heads of what it was asked."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            self.heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            body = json.dumps(GOOD).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            writer.write(head.encode() + body)
            await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def proxying() -> AsyncIterator[Proxy]:
    """A proxy on a free loopback port."""
    proxy = Proxy()
    async with await asyncio.start_server(proxy.serve, "127.0.0.1", 0) as server:
        proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield proxy


FAR = replace(ACCOUNT, base_url="http://api.example:8080")


async def test_proxy_is_asked_with_its_own_password() -> None:
    """Requests go to the account's proxy, which gets the password of its URL."""
    async with proxying() as proxy:
        url = SecretStr(proxy.url.replace("//", "//user:pass@"))
        assert isinstance(await polled(replace(FAR, proxy_url=url)), Reading)
    (head,) = proxy.heads
    assert head.startswith("POST http://api.example:8080/bucket/b1/stats HTTP/1.1\r\n")
    assert "proxy-authorization: basic dxnlcjpwyxnz" in head.lower()
    assert "authorization: bearer t0" in head.lower()


async def test_proxy_of_the_environment_only_where_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """http_proxy and no_proxy count with proxy_from_environment, and not without."""
    async with proxying() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert isinstance(await polled(replace(FAR, proxy_from_environment=True)), Reading)
        assert len(proxy.heads) == 1
        assert await reason(replace(FAR, base_url="http://no-such-host.invalid")) is Reason.CONNECT
        monkeypatch.setenv("no_proxy", "no-such-host.invalid")
        excepted = replace(FAR, base_url="http://no-such-host.invalid", proxy_from_environment=True)
        assert await reason(excepted) is Reason.CONNECT
        assert len(proxy.heads) == 1


@pytest.mark.parametrize(
    ("value", "url"), [("proxy.corp:3128", "http://proxy.corp:3128"), ("https://p", "https://p")]
)
def test_environments_proxy_may_lack_a_scheme(
    monkeypatch: pytest.MonkeyPatch, value: str, url: str
) -> None:
    """host:port is read as curl reads it."""
    monkeypatch.setenv("http_proxy", value)
    assert proxy_url(replace(FAR, proxy_from_environment=True)) == url


def test_environments_proxy_that_cannot_be_used_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A proxy of another kind is said by the variable's name, not met with a traceback."""
    monkeypatch.setenv("http_proxy", "socks5://user:s3cret@proxy.corp")
    with pytest.raises(
        config.ConfigError, match="environment: http_proxy: names no http"
    ) as caught:
        access_to(replace(FAR, proxy_from_environment=True), FakeClock())
    assert "s3cret" not in str(caught.value)


async def test_netrc_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody's netrc ends up in a request."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password netrc-s3cret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with proxying() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        await polled(replace(FAR, proxy_from_environment=True))
    assert "Basic" not in proxy.heads[0]


def test_credentials_follow_the_settings(tmp_path: Path) -> None:
    """A token, a file and a login each become what they are, and only a login goes on."""
    login = config.Login("ops@example.com", SecretStr("pw"))
    in_file = config.Login("ops@example.com", tmp_path / "password")
    kinds: list[tuple[SecretStr | Path | config.Login, type]] = [
        (SecretStr("t"), GivenToken),
        (tmp_path / "token", TokenFile),
        (login, Login),
        (in_file, Login),
    ]
    for given, kind in kinds:
        access = access_to(replace(ACCOUNT, credentials=given), FakeClock())
        assert isinstance(access.credentials, kind)
    first = access_to(replace(ACCOUNT, credentials=login), FakeClock())
    same = access_to(replace(ACCOUNT, credentials=login), FakeClock())
    other = access_to(replace(ACCOUNT, credentials=in_file), FakeClock())
    assert isinstance(first.credentials, Login)
    for successor, goes_on in ((same, True), (other, False)):
        successor.resume(first)
        assert isinstance(successor.credentials, Login)
        assert (successor.credentials.memory is first.credentials.memory) is goes_on
