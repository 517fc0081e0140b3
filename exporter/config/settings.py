"""What the program uses: the configuration once it is known to be sound.

Frozen values in base units, nothing optional that has a default. What the YAML may look like
belongs to `document`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

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
