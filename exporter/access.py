"""An account's way to the API: its connections, its token, its client, built from its settings."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from exporter import config
from exporter.files import fingerprint, read_file
from exporter.threads import BlockingCalls
from exporter.upstream.caller import Caller
from exporter.upstream.client import Client
from exporter.upstream.credentials import Credentials, GivenToken, SecretFile, TokenFile
from exporter.upstream.login import Login
from exporter.upstream.transport import Transport, connections
from exporter.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from random import Random

    from exporter.clock import Clock
    from exporter.upstream.events import Observer
    from exporter.upstream.pace import Pace, Turns
    from exporter.upstream.parsing import Guard

TLS_SECONDS = 30.0
"""How long reading TLS files may take, seconds, until a mount is taken for dead."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What all accounts of a process share."""

    limits: config.Limits
    guard: Guard
    pace: Pace
    clock: Clock
    chance: Random
    observer: Observer


class Access:
    """The client of one account, which makes its requests when it is their turn.

    Raises ConfigError where the environment's proxy cannot be used.
    """

    def __init__(
        self, account: config.Account, shared: Shared, context: ssl.SSLContext, turns: Turns
    ) -> None:
        http = connections(shared.limits.max_concurrent_requests, context, proxy_url(account))
        self.account = account
        self._transport = Transport(http, account.tls.server_name)
        caller = Caller(
            account.name,
            account.base_url,
            transport=self._transport,
            timeout=account.timing.poll_timeout,
            max_response_bytes=shared.limits.max_response_bytes,
            user_agent=f"flashback-exporter/{VERSION}",
            clock=shared.clock,
            observer=shared.observer,
        )
        self.credentials = _credentials(account, caller, shared)
        self.client = Client(
            caller,
            self.credentials,
            guard=shared.guard,
            deadline=account.timing.poll_interval,
            pace=turns,
            clock=shared.clock,
            chance=shared.chance,
            observer=shared.observer,
        )

    def resume(self, previous: Access) -> None:
        """Go on with the login of an access to the same account, if it still is the same login."""
        same_user = (self.account.base_url, self.account.credentials) == (
            previous.account.base_url,
            previous.account.credentials,
        )
        if same_user and isinstance(self.credentials, Login):
            self.credentials.resume(previous.credentials)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


def _credentials(account: config.Account, caller: Caller, shared: Shared) -> Credentials:
    given = account.credentials
    if isinstance(given, Path):
        return TokenFile(given)
    if not isinstance(given, config.Login):
        return GivenToken(given.get_secret_value())
    return Login(
        account.name,
        given.email,
        SecretFile(given.password, "password_file")
        if isinstance(given.password, Path)
        else given.password.get_secret_value(),
        caller=caller,
        timing=account.timing,
        pace=shared.pace,
        clock=shared.clock,
        chance=shared.chance,
    )


class TlsContexts:
    """The accounts' TLS contexts, one for all that have the same settings.

    A context is large and slow to make: it is kept for as long as its files stay as they are.
    """

    def __init__(self, clock: Clock) -> None:
        self._calls = BlockingCalls(clock, TLS_SECONDS)
        self._made: Mapping[config.TlsConfig, _Made] = {}

    async def prepare(self, accounts: Iterable[config.Account]) -> None:
        """Have exactly those of these accounts, made off the event loop.

        Raises OSError where TLS files cannot be used; then everything is as before.
        """
        try:
            self._made = await self._calls.run(partial(_contexts, accounts, self._made))
        except TimeoutError:
            message = f"tls_config: files not read within {TLS_SECONDS:g}s: does a mount hang?"
            raise TimeoutError(message) from None

    def prepare_now(self, accounts: Iterable[config.Account]) -> None:
        """The same where nothing else runs: it blocks."""
        self._made = _contexts(accounts, self._made)

    def of(self, account: config.Account) -> ssl.SSLContext:
        """That of an account that is prepared."""
        return self._made[_in_context(account.tls)].context


class _Made(NamedTuple):
    """A context, and how its files looked before they were read for it."""

    context: ssl.SSLContext
    files: tuple[object, ...]


def _contexts(
    accounts: Iterable[config.Account], made: Mapping[config.TlsConfig, _Made]
) -> dict[config.TlsConfig, _Made]:
    found = {}
    for tls in {_in_context(account.tls) for account in accounts}:
        files = tuple(fingerprint(file) for file in (*tls.files(), *_system_files(tls)))
        before = made.get(tls)
        if before is not None and before.files == files:
            found[tls] = before
        else:
            found[tls] = _Made(_tls_context(tls), files)
    return found


def _in_context(tls: config.TlsConfig) -> config.TlsConfig:
    """What of the settings is in a context: the server's name is not."""
    return replace(tls, server_name=None)


def _system_files(tls: config.TlsConfig) -> tuple[Path, ...]:
    """Where the system says whom it trusts, if that counts."""
    paths = ssl.get_default_verify_paths()
    named = (paths.cafile, paths.capath) if tls.ca_file is None else ()
    return tuple(Path(path) for path in named if path)


def _tls_context(tls: config.TlsConfig) -> ssl.SSLContext:
    for file in tls.files():
        read_file(file)  # OpenSSL would wait for ever at a FIFO, and does not say which file it is
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file, _no_passphrase)
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _no_passphrase() -> str:
    """In place of OpenSSL's own way, which would ask on the terminal."""
    raise OSError("key_file has a passphrase: use a key without one")


def proxy_url(account: config.Account) -> str | None:
    """The proxy to use; of the environment only the usual variables, and only where asked for."""
    if account.proxy_url is not None:
        return account.proxy_url.get_secret_value()
    if not account.proxy_from_environment:
        return None
    url = urlsplit(account.base_url)
    proxy = None if proxy_bypass(url.hostname or "") else getproxies().get(url.scheme)
    if proxy is None:
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"  # as curl reads it
    if urlsplit(proxy).scheme not in {"http", "https"}:
        message = "names no http:// or https:// proxy: mend it, or leave proxy_from_environment out"
        raise config.ConfigError(
            [config.Problem("environment", None, f"{url.scheme}_proxy", message)]
        )
    return proxy
