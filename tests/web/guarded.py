"""Helpers of the security tests: certificates, a web configuration, and a server with it."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import bcrypt
import httpx
import trustme

from exporter.config import ConfigError
from exporter.web.app import Endpoints, make_app
from exporter.web.config import WebConfig, WebConfigError, load_web_config
from exporter.web.security import Security
from exporter.web.server import ListenAddress, Timeouts, serve
from tests.harness.fakes import FakeClock
from tests.web.test_app import ENDPOINTS

PASSWORD = "correct horse"
HASH = bcrypt.hashpw(PASSWORD.encode(), b"$2b$04$rQ3DM3xb9Z0KRD.NSN8Xi.").decode()
ALICE = httpx.BasicAuth("alice", PASSWORD)
LOOPBACK = ListenAddress("127.0.0.1", 0)
TIMEOUTS = Timeouts()
PLAIN = {"Accept-Encoding": "identity"}

USERS = f"""\
basic_auth_users:
  alice: {HASH}
"""
TLS = """\
tls_server_config:
  cert_file: server.pem
  key_file: server.key
"""
MUTUAL_TLS = f"""\
{TLS}\
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: clients.pem
"""
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


class Site:
    """A directory with a web configuration and the files that it names."""

    def __init__(self, directory: Path, text: str = "") -> None:
        self.directory = directory
        self.path = directory / "web.yaml"
        self.server_ca = trustme.CA()
        self.client_ca = trustme.CA()
        self.issue()
        self.trust(self.client_ca)
        self.write(text)

    def write(self, text: str) -> None:
        self.path.write_text(text, encoding="utf-8")

    def issue(self) -> None:
        """Issue a new certificate for the server, from its CA."""
        self.install(self.server_ca.issue_cert("127.0.0.1"))

    def install(self, cert: trustme.LeafCert) -> None:
        cert.cert_chain_pems[0].write_to_path(self.directory / "server.pem")
        cert.private_key_pem.write_to_path(self.directory / "server.key")

    def trust(self, *authorities: trustme.CA) -> None:
        """Trust client certificates that these CAs signed."""
        pems = b"".join(authority.cert_pem.bytes() for authority in authorities)
        (self.directory / "clients.pem").write_bytes(pems)

    def read(self) -> WebConfig:
        """Load the web configuration, as the application does for `Security`."""
        try:
            return load_web_config(self.path)
        except ConfigError as error:
            raise WebConfigError(str(error)) from error

    def security(self) -> Security:
        return Security(self.read, FakeClock())

    def client_context(self, cert: trustme.LeafCert | None = None) -> ssl.SSLContext:
        """A client's TLS context, which trusts the server's CA and may have a certificate."""
        context = ssl.create_default_context()
        self.server_ca.configure_trust(context)
        if cert is not None:
            cert.configure_cert(context)
        return context


async def reload(security: Security) -> None:
    """Check the files twice, since a change is loaded once two checks see the same files."""
    await security.reload_if_changed()
    await security.reload_if_changed()


ROOMY = replace(ENDPOINTS, max_requests=0)
"""Without a limit of requests: a place is free only a moment after its page was read."""


@asynccontextmanager
async def guarded(
    security: Security, endpoints: Endpoints = ROOMY, timeouts: Timeouts = TIMEOUTS
) -> AsyncIterator[ListenAddress]:
    """Serve the endpoints with security; yields their address."""
    app = make_app(endpoints)
    security.protect(app)
    async with serve(app, [LOOPBACK], security.tls, timeouts) as (address,):
        yield address


def browser(
    address: ListenAddress, context: ssl.SSLContext | None = None, auth: httpx.Auth | None = None
) -> httpx.AsyncClient:
    """An HTTP client for an address, over TLS if there is a context."""
    base = f"{'https' if context else 'http'}://{address}"
    return httpx.AsyncClient(
        base_url=base, verify=context or True, auth=auth, headers=PLAIN, trust_env=False
    )
