"""What the guard is told: the shape of a web configuration, whoever reads it.

Protocols, so that this room need not know how and from where settings are read; and what is
raised where they cannot be used.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol


class WebConfigError(Exception):
    """The settings cannot be read or used. Its text names file and line, where there is one."""


class Pem(Protocol):
    """Certificates or a key."""

    @property
    def source(self) -> Path | str:
        """The file that holds them, or their text."""
        ...

    @property
    def place(self) -> str:
        """Where they are named, as a message begins."""
        ...


class TlsSettings(Protocol):
    """How connections are encrypted, and which clients may make them."""

    @property
    def place(self) -> str:
        """Where this is set, as a message begins."""
        ...

    @property
    def cert(self) -> Pem:
        """The server's certificate and those between it and its CA; in a file."""
        ...

    @property
    def key(self) -> Pem:
        """The certificate's key; in a file."""
        ...

    @property
    def client_ca(self) -> Pem | None:
        """Who signs the clients' certificates."""
        ...

    @property
    def client_certificates(self) -> ssl.VerifyMode:
        """Whether clients must have one."""
        ...

    @property
    def client_allowed_sans(self) -> frozenset[str]:
        """The names of which a client's certificate must have one; empty: any."""
        ...

    @property
    def min_version(self) -> ssl.TLSVersion:
        """The oldest TLS."""
        ...

    @property
    def max_version(self) -> ssl.TLSVersion:
        """The newest TLS."""
        ...

    @property
    def ciphers(self) -> str:
        """Those up to TLS 1.2, in OpenSSL's words; empty: its own choice."""
        ...

    @property
    def prefer_server_ciphers(self) -> bool:
        """Whether the order of the server's ciphers counts, not that of the client's."""
        ...

    @property
    def curve(self) -> str:
        """In OpenSSL's words; empty: its own choice."""
        ...


class SecuritySettings(Protocol):
    """A whole web configuration."""

    @property
    def file(self) -> str:
        """Where it comes from, for messages."""
        ...

    @property
    def tls(self) -> TlsSettings | None:
        """None: plain HTTP."""
        ...

    @property
    def users(self) -> Mapping[str, str]:
        """Hashes of bcrypt by name; empty: nobody is asked for a password."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """What every answer carries besides its own headers."""
        ...
