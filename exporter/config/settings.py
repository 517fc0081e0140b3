"""What the program uses: the configuration once it is known to be sound.

Frozen values in base units, nothing optional that has a default. What the YAML may look like
is in `schema`.
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
    """What one process allows itself, over all accounts."""

    max_concurrent_requests: int
    max_requests_per_second: float
    max_nodes_per_bucket: int
    max_response_bytes: int


@dataclass(frozen=True, slots=True)
class Login:
    """Who logs in to get tokens."""

    email: str
    password: SecretStr | Path  # the password, or the file that holds it from time to time


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """What is particular about TLS to an API. `cert_file` and `key_file` come together."""

    ca_file: Path | None  # None: whom the system trusts
    cert_file: Path | None
    key_file: Path | None
    server_name: str | None  # None: the host of the URL
    min_version: TLSVersion | None  # None: what Python has by itself
    insecure_skip_verify: bool


@dataclass(frozen=True, slots=True)
class Discovery:
    """How an account's buckets are found."""

    workspace_id: str | None  # None: in every workspace
    refresh_interval: float  # seconds
    include: tuple[re.Pattern[str], ...]
    exclude: tuple[re.Pattern[str], ...]

    def includes(self, name: str) -> bool:
        """Whether a bucket of this name is polled: a pattern counts for the whole of it."""
        included = not self.include or any(each.fullmatch(name) for each in self.include)
        return included and not any(each.fullmatch(name) for each in self.exclude)


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the API and the buckets polled in that user's name."""

    name: str
    base_url: str  # without a slash at its end
    credentials: SecretStr | Path | Login  # the bearer token, the file that holds it, or a login
    tls: TlsConfig
    proxy_url: SecretStr | None  # a password may stand in it
    no_proxy: str | None  # what is reached without it; None: nothing is
    proxy_from_environment: bool
    timing: Timing
    buckets: tuple[Bucket, ...]  # the listed ones
    discovery: Discovery | None  # None: no others


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration. No two accounts share a name, and no two buckets an id."""

    limits: Limits
    known_statuses: tuple[str, ...]
    accounts: tuple[Account, ...]
    tls_digests: tuple[str, ...] = field(repr=False)
    """Of the certificates and keys: with others it is another configuration."""
    sources: Sources = field(repr=False, compare=False)
    """The files that it comes from, whose content counts and not when it was written."""

    def buckets(self) -> tuple[Bucket, ...]:
        """Every listed bucket, in the order of the accounts."""
        return tuple(bucket for account in self.accounts for bucket in account.buckets)


def proxy_url(account: Account, environ: Mapping[str, str]) -> str | None:
    """The proxy to use for an account; of the environment only where the account asks for it.

    Raises ValueError where the environment's is of no use.
    """
    if account.proxy_url is not None:
        if account.no_proxy is not None and is_direct(account.base_url, account.no_proxy):
            return None
        return account.proxy_url.get_secret_value()
    return environment_proxy(account.base_url, environ) if account.proxy_from_environment else None


def environment_proxy(base_url: str, environ: Mapping[str, str]) -> str | None:
    """The proxy that the usual variables name for a URL, if any. Raises ValueError."""
    name, proxy = _variable(f"{urlsplit(base_url).scheme}_proxy", environ)
    if not proxy or is_direct(base_url, _variable("no_proxy", environ)[1]):
        return None
    try:
        return values.proxy_url(proxy if "://" in proxy else f"http://{proxy}")  # as curl reads it
    except ValueError as error:
        message = f"the environment variable {name}, which this asks for, is of no use: {error}"
        raise ValueError(message) from None


def _variable(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """The variable that counts, and its value: the one in small letters before the other."""
    name = name if name in environ else name.upper()
    return name, environ.get(name, "")
