"""TLS over real sockets: which clients can connect, with which TLS, and errors about files."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from exporter.web.config import WebConfigError
from exporter.web.tls import has_allowed_name
from tests.web.guarded import LONG_AGO, MUTUAL_TLS, TLS, Site, browser, guarded, reload

OPTIONAL_TLS = MUTUAL_TLS.replace("RequireAndVerifyClientCert", "VerifyClientCertIfGiven")


async def status(site: Site, context: ssl.SSLContext) -> int | None:
    """The status that a client with this context gets for a scrape; None: no connection."""
    async with guarded(site.security()) as address, browser(address, context) as client:
        try:
            return (await client.get("/metrics")).status_code
        except (httpx.TransportError, ssl.SSLError):  # the latter after the client's handshake
            return None


def none(_site: Site) -> None:
    """No certificate."""


def good(site: Site) -> trustme.LeafCert:
    """A certificate of the trusted CA."""
    return site.client_ca.issue_cert("prometheus")


def expired(site: Site) -> trustme.LeafCert:
    """An expired certificate."""
    return site.client_ca.issue_cert("prometheus", not_before=LONG_AGO, not_after=LONG_AGO)


def foreign(site: Site) -> trustme.LeafCert:
    """A certificate of another CA."""
    return site.server_ca.issue_cert("prometheus")


@pytest.mark.parametrize(
    ("text", "certificate", "expected"),
    [
        (TLS, none, 200),
        (TLS, foreign, 200),
        (f"{TLS}  client_auth_type: NoClientCert\n", none, 200),
        (OPTIONAL_TLS, none, 200),
        (OPTIONAL_TLS, good, 200),
        (OPTIONAL_TLS, foreign, None),
        (OPTIONAL_TLS, expired, None),
        (MUTUAL_TLS, none, None),
        (MUTUAL_TLS, good, 200),
        (MUTUAL_TLS, foreign, None),
        (MUTUAL_TLS, expired, None),
    ],
)
async def test_client_auth_type_decides_who_comes_in(
    tmp_path: Path,
    text: str,
    certificate: Callable[[Site], trustme.LeafCert | None],
    expected: int | None,
) -> None:
    """Each client_auth_type requires its certificate, and a wrong one cannot connect."""
    site = Site(tmp_path, text)
    assert await status(site, site.client_context(certificate(site))) == expected


async def test_a_ca_in_the_middle_is_trusted(tmp_path: Path) -> None:
    """As in Go, an intermediate CA is trusted without the CA that signed it."""
    site = Site(tmp_path, MUTUAL_TLS)
    between = site.client_ca.create_child_ca()
    site.trust(between)
    assert await status(site, site.client_context(between.issue_cert("prometheus"))) == 200
    assert await status(site, site.client_context(site.client_ca.issue_cert("prometheus"))) is None


async def test_a_ca_may_stand_in_the_file_itself(tmp_path: Path) -> None:
    """`client_ca` contains the CA itself, instead of the name of a file."""
    site = Site(tmp_path)
    pem = site.client_ca.cert_pem.bytes().decode().replace("\n", "\n    ")
    site.write(MUTUAL_TLS.replace("client_ca_file: clients.pem", f"client_ca: |\n    {pem}"))
    assert await status(site, site.client_context(good(site))) == 200
    assert await status(site, site.client_context(foreign(site))) is None


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        ("prometheus.example.com", 200),
        ("10.0.0.1", 200),
        ("2001:db8::1", 200),
        ("ops@example.com", 200),
        ("example.com", 403),
        ("Prometheus.example.com", 403),
        ("2001:db8:0:0:0:0:0:1", 403),
    ],
)
async def test_only_allowed_names_come_in(tmp_path: Path, allowed: str, expected: int) -> None:
    """A certificate needs one of the names in client_allowed_sans exactly, or gets 403."""
    text = f"{MUTUAL_TLS}  client_allowed_sans: [nobody, '{allowed}']\n"
    site = Site(tmp_path, text)
    cert = site.client_ca.issue_cert(
        "prometheus.example.com", "10.0.0.1", "2001:db8::1", "ops@example.com", "10.0.0.0/8"
    )
    assert await status(site, site.client_context(cert)) == expected


def test_names_are_of_four_kinds() -> None:
    """URIs are compared too; other kinds of names and the common name are not."""
    names = (("URI", "spiffe://a/b"), ("DirName", "x"), ("IP Address", "<invalid>"))
    certificate = {"subjectAltName": names, "subject": ((("commonName", "c"),),)}
    assert has_allowed_name(certificate, frozenset({"spiffe://a/b"}))
    assert not has_allowed_name(certificate, frozenset({"x", "c", "<invalid>"}))
    assert not has_allowed_name({}, frozenset({"c"}))


async def test_a_name_that_is_no_longer_allowed_is_refused(tmp_path: Path) -> None:
    """A change of client_allowed_sans applies to open connections too."""
    text = f"{MUTUAL_TLS}  client_allowed_sans: [prometheus]\n"
    site = Site(tmp_path, text)
    security = site.security()
    context = site.client_context(good(site))
    async with guarded(security) as address, browser(address, context) as client:
        assert (await client.get("/metrics")).status_code == 200
        site.write(text.replace("[prometheus]", "[alertmanager]"))
        await reload(security)
        refused = await client.get("/metrics")
        assert refused.status_code == 403
        assert "no name in client_allowed_sans" in refused.text


@pytest.mark.parametrize(
    ("bounds", "client", "expected"),
    [
        ("min_version: TLS12", ssl.TLSVersion.TLSv1_2, "TLSv1.2"),
        ("min_version: TLS12", ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
        ("min_version: TLS13", ssl.TLSVersion.TLSv1_2, None),
        ("min_version: TLS13", ssl.TLSVersion.TLSv1_3, "TLSv1.3"),
        ("max_version: TLS12", ssl.TLSVersion.TLSv1_3, "TLSv1.2"),
    ],
)
async def test_versions_are_bounded(
    tmp_path: Path, bounds: str, client: ssl.TLSVersion, expected: str | None
) -> None:
    """Clients get the newest TLS between min_version and max_version, and no other."""
    site = Site(tmp_path, f"{TLS}  {bounds}\n")
    context = site.client_context()
    context.maximum_version = client
    connection = await handshake(site, context)
    assert (connection and connection.version()) == expected


async def handshake(site: Site, context: ssl.SSLContext) -> ssl.SSLObject | None:
    """The TLS connection that a client negotiates with the server; None: no connection."""
    async with guarded(site.security()) as address, browser(address, context) as client:
        try:
            response = await client.get("/metrics")
        except httpx.ConnectError:
            return None
        made = response.extensions["network_stream"].get_extra_info("ssl_object")
        assert isinstance(made, ssl.SSLObject)
        return made


@pytest.mark.parametrize(
    ("order", "expected"),
    [("true", "ECDHE-ECDSA-AES128-GCM-SHA256"), ("false", "ECDHE-ECDSA-AES256-GCM-SHA384")],
)
async def test_cipher_suites_and_their_order(tmp_path: Path, order: str, expected: str) -> None:
    """Only the configured cipher suites are used, in the server's order or the client's."""
    suites = "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
    site = Site(
        tmp_path, f"{TLS}  cipher_suites: [{suites}]\n  prefer_server_cipher_suites: {order}\n"
    )
    context = site.client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256")
    connection = await handshake(site, context)
    assert connection
    assert (connection.cipher() or ("",))[0] == expected
    context.set_ciphers("ECDHE-ECDSA-CHACHA20-POLY1305")
    assert await handshake(site, context) is None


async def test_the_curve_is_the_one_of_the_file(tmp_path: Path) -> None:
    """A client that offers only another curve cannot connect."""
    site = Site(tmp_path, f"{TLS}  curve_preferences: [CurveP384]\n")
    context = site.client_context()
    context.set_ecdh_curve("secp384r1")
    assert await handshake(site, context)
    context.set_ecdh_curve("secp521r1")
    assert await handshake(site, context) is None


def missing(site: Site) -> None:
    """Delete the certificate."""
    (site.directory / "server.pem").unlink()


def missing_key(site: Site) -> None:
    """Delete the key."""
    (site.directory / "server.key").unlink()


def key_for_certificate(site: Site) -> None:
    """A key instead of the certificate."""
    (site.directory / "server.pem").write_bytes((site.directory / "server.key").read_bytes())


def half_a_certificate(site: Site) -> None:
    """The first half of the certificate, as while it is written."""
    pem = (site.directory / "server.pem").read_bytes()
    (site.directory / "server.pem").write_bytes(pem[: len(pem) // 2])


def half_a_key(site: Site) -> None:
    """The first half of the key, as while it is written."""
    pem = (site.directory / "server.key").read_bytes()
    (site.directory / "server.key").write_bytes(pem[: len(pem) // 2])


def another_key(site: Site) -> None:
    """The key of another certificate."""
    site.server_ca.issue_cert("x").private_key_pem.write_to_path(site.directory / "server.key")


def encrypted_key(site: Site) -> None:
    """A key with a passphrase."""
    key = load_pem_private_key((site.directory / "server.key").read_bytes(), None)
    encryption = BestAvailableEncryption(b"passphrase")
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    (site.directory / "server.key").write_bytes(pem)


def no_ca(site: Site) -> None:
    """A text instead of the CA."""
    (site.directory / "clients.pem").write_text("é nothing\n", encoding="utf-8")


def fifo_for_certificate(site: Site) -> None:
    """A named pipe, reading which would block until another process writes."""
    (site.directory / "server.pem").unlink()
    os.mkfifo(site.directory / "server.pem")


def device_for_ca(site: Site) -> None:
    """A device from which reading never ends."""
    (site.directory / "clients.pem").unlink()
    (site.directory / "clients.pem").symlink_to("/dev/zero")


def empty_ca(site: Site) -> None:
    """An empty file instead of the CA."""
    (site.directory / "clients.pem").write_bytes(b"")


CERT = "2: tls_server_config.cert_file: {d}/server.pem"
KEY = "3: tls_server_config.key_file: {d}/server.key"
CA = "5: tls_server_config.client_ca_file: {d}/clients.pem"
NOT_REGULAR = "cannot be read (it is not a regular file): check the path and its permissions"
UNREADABLE = "cannot be read (No such file or directory): check the path and its permissions"
NO_CERTIFICATES = "contains no PEM certificates: add them"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (missing, f"{CERT} {UNREADABLE}"),
        (missing_key, f"{KEY} {UNREADABLE}"),
        (fifo_for_certificate, f"{CERT} {NOT_REGULAR}"),
        (device_for_ca, f"{CA} {NOT_REGULAR}"),
        (key_for_certificate, f"{CERT} {NO_CERTIFICATES}"),
        (half_a_certificate, f"{CERT} {NO_CERTIFICATES}"),
        (half_a_key, f"{KEY} contains no PEM private key: add one"),
        (another_key, f"{KEY} does not match the certificate: use the key of this certificate"),
        (encrypted_key, f"{KEY} is encrypted: use a key without a passphrase"),
        (no_ca, f"{CA} {NO_CERTIFICATES}"),
        (empty_ca, f"{CA} {NO_CERTIFICATES}"),
    ],
)
def test_a_file_that_is_no_use_is_named(
    tmp_path: Path, damage: Callable[[Site], None], message: str
) -> None:
    """The error names the line, key and file, and what is wrong with the file."""
    site = Site(tmp_path, MUTUAL_TLS)
    damage(site)
    with pytest.raises(WebConfigError) as caught:
        site.security()
    assert str(caught.value) == f"{site.path}:{message.format(d=tmp_path)}"
    assert "BEGIN" not in str(caught.value)


def test_what_stands_in_the_file_itself_is_named_too(tmp_path: Path) -> None:
    """A `client_ca` without certificates is an error that names its line."""
    site = Site(tmp_path, MUTUAL_TLS.replace("client_ca_file: clients.pem", "client_ca: nothing"))
    with pytest.raises(WebConfigError) as caught:
        site.security()
    place = f"{site.path}:5: tls_server_config.client_ca"
    assert str(caught.value) == f"{place}: this contains no PEM certificates: add them"


@pytest.mark.parametrize(
    ("name", "reason"), [("x" * 300, "File name too long"), (r"x\0y", "no file can have this name")]
)
def test_invalid_file_name_is_reported(tmp_path: Path, name: str, reason: str) -> None:
    """The error about an invalid file name names the line and the key."""
    site = Site(tmp_path, TLS.replace("server.pem", f'"{name}"'))
    with pytest.raises(WebConfigError) as caught:
        site.security()
    assert str(caught.value).startswith(f"{site.path}:2: tls_server_config.cert_file: ")
    assert f"cannot be read ({reason}): " in str(caught.value)


@pytest.mark.parametrize(
    ("reason", "error", "message"),
    [
        (
            "EE_KEY_TOO_SMALL",
            ssl.SSLError(1, "too small"),
            "{c} OpenSSL rejects {d}/server.pem (ee key too small): issue a new certificate",
        ),
        (
            None,
            FileNotFoundError(2, "No such file or directory"),
            "{c} cannot be read (No such file or directory): check the path",
        ),
    ],
)
def test_openssl_error_is_reported(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reason: str | None,
    error: OSError,
    message: str,
) -> None:
    """The error about a weak or just deleted certificate names the line and the reason."""
    site = Site(tmp_path, TLS)
    if isinstance(error, ssl.SSLError):
        error.reason = reason or ""

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", refuse)
    with pytest.raises(WebConfigError) as caught:
        site.security()
    place = f"{site.path}:2: tls_server_config.cert_file:"
    assert str(caught.value) == message.format(c=place, d=tmp_path)


def test_unsupported_curve_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A curve that this OpenSSL does not have, as under FIPS, is an error that names its line."""

    def refuse(*_: object) -> None:
        raise ValueError("unknown elliptic curve name")

    monkeypatch.setattr(ssl.SSLContext, "set_ecdh_curve", refuse)
    site = Site(tmp_path, f"{TLS}  curve_preferences: [X25519]\n")
    with pytest.raises(WebConfigError, match=r"web.yaml:1: tls_server_config: .* choose others"):
        site.security()
