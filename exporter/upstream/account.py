"""Builds the API client of one account from its settings: connections, credentials, secrets."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

from exporter import config
from exporter.blocking import BlockingCalls
from exporter.clock import Clock, SystemClock
from exporter.upstream.client import Client
from exporter.upstream.credentials import Credentials, SecretFile, StaticToken, TokenFile
from exporter.upstream.events import Observer
from exporter.upstream.login import LoginCredentials
from exporter.upstream.parsing import ResponseLimits
from exporter.upstream.rate_limit import RateLimiter, RequestTurns
from exporter.upstream.request import Requester
from exporter.upstream.transport import Connect, Transport, connector
from exporter.version import VERSION

TLS_SECONDS = 30.0
"""Seconds for reading TLS files. After that the mount counts as hanging."""

TlsContexts: TypeAlias = "Mapping[config.TlsConfig, ssl.SSLContext]"


@dataclass(frozen=True, slots=True)
class ClientContext:
    """What all accounts of a process share."""

    limits: config.Limits
    response_limits: ResponseLimits
    rate_limiter: RateLimiter
    clock: Clock
    rng: Random
    observer: Observer
    connect: Connect = field(default_factory=connector)


class AccountClient:
    """The client of one account; its requests wait for their turn in `turns`.

    Raises ConfigError if the proxy in the environment cannot be used.
    """

    def __init__(
        self,
        account: config.Account,
        shared: ClientContext,
        context: ssl.SSLContext,
        turns: RequestTurns,
    ) -> None:
        proxy = _proxy_url(account)
        http = shared.connect(shared.limits.max_concurrent_requests, context, proxy)
        self.account = account
        self._transport = Transport(http, account.tls.server_name)
        requester = Requester(
            account.name,
            account.base_url,
            transport=self._transport,
            timeout=account.timing.poll_timeout,
            max_response_bytes=shared.limits.max_response_bytes,
            user_agent=f"flashback-exporter/{VERSION}",
            clock=shared.clock,
            observer=shared.observer,
        )
        self.server_info = requester.server_info
        self._secrets = requester.secrets
        self._secrets.add("proxy", unquote(urlsplit(proxy or "").password or ""))
        self.credentials = _credentials(account, requester, shared)
        self.client = Client(
            requester,
            self.credentials,
            response_limits=shared.response_limits,
            deadline=account.timing.poll_interval,
            turns=turns,
            clock=shared.clock,
            rng=shared.rng,
        )

    def resume(self, previous: AccountClient) -> None:
        """Take over what the client before a reload knows, as far as it still applies.

        Server information applies if the base URL is the same, tokens if the credentials are too.
        """
        self._secrets.take_over(previous._secrets)
        if self.account.base_url == previous.account.base_url:
            self.server_info.resume(previous.server_info)
        same_credentials = (self.account.base_url, self.account.credentials) == (
            previous.account.base_url,
            previous.account.credentials,
        )
        if same_credentials:
            self.credentials.resume(previous.credentials)

    async def aclose(self) -> None:
        await self._transport.aclose()


def _credentials(
    account: config.Account, requester: Requester, shared: ClientContext
) -> Credentials:
    given = account.credentials
    if isinstance(given, Path):
        return TokenFile(given, shared.clock)
    if not isinstance(given, config.Login):
        return StaticToken(given.get_secret_value())
    return LoginCredentials(
        account.name,
        given.email,
        SecretFile(given.password, "password_file", shared.clock)
        if isinstance(given.password, Path)
        else given.password.get_secret_value(),
        requester=requester,
        timing=account.timing,
        rate_limiter=shared.rate_limiter,
        clock=shared.clock,
        rng=shared.rng,
    )


async def tls_contexts(accounts: Iterable[config.Account]) -> TlsContexts:
    """The accounts' TLS contexts, created in a thread.

    Raises OSError if TLS files cannot be used, and TimeoutError if reading them takes too long.
    """
    calls = BlockingCalls(SystemClock(), TLS_SECONDS)  # files take real time in tests, too
    try:
        return await calls.run(partial(tls_contexts_now, accounts))
    except TimeoutError as error:
        message = f"tls_config: files not read within {TLS_SECONDS:g}s: check for a hung mount"
        raise TimeoutError(message) from error


def tls_contexts_now(accounts: Iterable[config.Account]) -> TlsContexts:
    """The same as `tls_contexts`, but blocking: for commands that have no event loop to keep free.

    A context is large and slow to create, so accounts with the same settings share one.
    """
    made: dict[config.TlsConfig, ssl.SSLContext] = {}
    contexts = {}
    for tls in {account.tls for account in accounts}:
        in_context = replace(tls, server_name=None)  # it is set per connection instead
        if in_context not in made:
            made[in_context] = _tls_context(in_context)
        contexts[tls] = made[in_context]
    return contexts


def _tls_context(tls: config.TlsConfig) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=tls.ca_file)
    if tls.cert_file is not None:
        context.load_cert_chain(tls.cert_file, tls.key_file, _no_passphrase)
    if tls.min_version is not None:
        context.minimum_version = tls.min_version
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _no_passphrase() -> str:
    """Called by OpenSSL for an encrypted key; by default it would prompt on the terminal."""
    raise OSError("key_file has a passphrase: use a key without one")


def _proxy_url(account: config.Account) -> str | None:
    try:
        return config.proxy_url(account, os.environ)
    except ValueError as error:
        place = f"{account.name}: proxy_from_environment"
        raise config.ConfigError([config.Problem("environment", None, place, str(error))]) from None
