"""The validated configuration, as the program uses it.

Frozen values in base units; defaults are filled in. `schema` has the YAML's structure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from ssl import TLSVersion
from urllib.parse import urlsplit

from pydantic import SecretStr

from exporter.config import values
from exporter.config.no_proxy import is_direct
from exporter.config.sources import Sources
from exporter.model import Bucket, Timing


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one process, over all accounts."""

    max_concurrent_requests: int
    max_requests_per_second: float
    max_nodes_per_bucket: int
    max_response_bytes: int


@dataclass(frozen=True, slots=True)
class Login:
    """The user that logs in for tokens."""

    email: str
    password: SecretStr | Path  # the password, or the file with it, which may change


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """TLS settings for an API. `cert_file` and `key_file` are both set, or neither."""

    ca_file: Path | None  # None: the system's CA certificates
    cert_file: Path | None
    key_file: Path | None
    server_name: str | None  # None: the host of the URL
    min_version: TLSVersion | None  # None: Python's default
    insecure_skip_verify: bool


@dataclass(frozen=True, slots=True)
class Discovery:
    """How an account's buckets are discovered."""

    workspace_id: str | None  # None: in every workspace
    refresh_interval: float  # seconds
    include: tuple[re.Pattern[str], ...]
    exclude: tuple[re.Pattern[str], ...]

    def includes(self, name: str) -> bool:
        """Whether a bucket of this name is polled: a pattern must match the whole name."""
        included = not self.include or any(each.fullmatch(name) for each in self.include)
        return included and not any(each.fullmatch(name) for each in self.exclude)


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the API, and the buckets to poll as this user."""

    name: str
    base_url: str  # without a trailing slash
    credentials: SecretStr | Path | Login  # the bearer token, the file with it, or a login
    tls: TlsConfig
    proxy_url: SecretStr | None  # may contain a password
    no_proxy: str | None  # hosts to reach without proxy_url; None: none
    proxy_from_environment: bool
    timing: Timing
    buckets: tuple[Bucket, ...]  # without discovered ones
    discovery: Discovery | None  # None: off


@dataclass(frozen=True, slots=True)
class Config:
    """A complete configuration. Account names and bucket ids are unique."""

    limits: Limits
    known_statuses: tuple[str, ...]
    accounts: tuple[Account, ...]
    tls_digests: tuple[str, ...] = field(repr=False)
    """Digests of certificates and keys, so that a `Config` with other content is not equal."""
    sources: Sources = field(repr=False, compare=False)
    """The files it was read from. Not compared: only their content matters."""

    def buckets(self) -> tuple[Bucket, ...]:
        """Every configured bucket, in the order of the accounts."""
        return tuple(bucket for account in self.accounts for bucket in account.buckets)


def proxy_url(account: Account, environ: Mapping[str, str]) -> str | None:
    """The account's proxy, from the environment only with `proxy_from_environment`.

    Raises ValueError if the proxy in the environment is invalid.
    """
    if account.proxy_url is not None:
        if account.no_proxy is not None and is_direct(account.base_url, account.no_proxy):
            return None
        return account.proxy_url.get_secret_value()
    return environment_proxy(account.base_url, environ) if account.proxy_from_environment else None


def environment_proxy(base_url: str, environ: Mapping[str, str]) -> str | None:
    """The proxy for a URL from HTTPS_PROXY, HTTP_PROXY and NO_PROXY, if any. Raises ValueError."""
    name, proxy = _variable(f"{urlsplit(base_url).scheme}_proxy", environ)
    if not proxy or is_direct(base_url, _variable("no_proxy", environ)[1]):
        return None
    try:
        return values.proxy_url(proxy if "://" in proxy else f"http://{proxy}")  # as curl reads it
    except ValueError as error:
        message = f"the environment variable {name} is not a valid proxy: {error}"
        raise ValueError(message) from None


def _variable(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """The name and value of the variable; the lower-case name wins."""
    name = name if name in environ else name.upper()
    return name, environ.get(name, "")
