"""TLS of the server: contexts, replacing them at run time, and client certificates.

This module only reads the certificate files; `security` watches them for changes.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

from exporter.blocking import read_file
from exporter.web.config import Pem, ServerTls, WebConfigError
from exporter.web.handshake import AlertingContext, AlertingSSLObject, HandshakeLog


@dataclass(frozen=True, slots=True)
class Material:
    """Certificates and keys in PEM format."""

    cert: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None


class RenewableContext(ssl.SSLContext):
    """Uses the newest of several contexts for each new connection.

    Existing connections keep theirs.
    """

    newest: AlertingContext
    log: HandshakeLog

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        *args: Any,  # noqa: ANN401 - passed on
        **options: Any,  # noqa: ANN401 - passed on
    ) -> ssl.SSLObject:
        made = cast("AlertingSSLObject", self.newest.wrap_bio(incoming, outgoing, *args, **options))
        made.prepare(incoming, outgoing)
        return made


def renewable(context: AlertingContext, log: HandshakeLog) -> RenewableContext:
    """A context whose connections use `context`, until `newest` is set to another."""
    made = RenewableContext(ssl.PROTOCOL_TLS_SERVER)
    made.newest, made.log = context, log
    return made


def read_material(tls: ServerTls) -> Material:
    """Read the files. Raises WebConfigError."""
    client_ca = None if tls.client_ca is None else _content(tls.client_ca)
    return Material(_content(tls.cert), _content(tls.key), client_ca)


def load_context(tls: ServerTls | None) -> AlertingContext | None:
    """Read the files and make the context; None without TLS. Raises WebConfigError."""
    return None if tls is None else make_context(tls, read_material(tls))


def make_context(tls: ServerTls, material: Material) -> AlertingContext:
    """Make the context for new connections. Raises WebConfigError."""
    context = AlertingContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = tls.min_version
    context.maximum_version = tls.max_version
    context.options |= ssl.OP_NO_RENEGOTIATION
    if not tls.prefer_server_ciphers:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    _set_algorithms(context, tls)
    _load_own(context, tls, material)
    if tls.client_ca is not None and material.client_ca is not None:
        _load_authorities(context, tls.client_ca, material.client_ca)
    context.verify_mode = tls.client_certificates
    # As in Go: a CA in the file is trusted even if its issuer is not in the file.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def has_allowed_name(certificate: Mapping[str, Any], allowed: frozenset[str]) -> bool:
    """Whether a client's certificate, in the form of `getpeercert`, has one of the names."""
    return not allowed.isdisjoint(_names(certificate))


def _names(certificate: Mapping[str, Any]) -> Iterator[str]:
    """The subject alternative names: DNS, e-mail and IP addresses (in Go's format), URIs."""
    for kind, name in certificate.get("subjectAltName", ()):
        if kind == "IP Address":
            with suppress(ValueError):  # an invalid address
                yield str(ip_address(name))
        elif kind in {"DNS", "email", "URI"}:
            yield name


def _content(pem: Pem) -> bytes:
    if not isinstance(pem.source, Path):
        return pem.source.encode()
    try:
        return read_file(pem.source)
    except OSError as error:
        remedy = "check the path and its permissions"
        message = f"{pem.place}: {pem.source} cannot be read ({error.strerror}): {remedy}"
        raise WebConfigError(message) from error


def _set_algorithms(context: ssl.SSLContext, tls: ServerTls) -> None:
    try:
        if tls.ciphers:
            context.set_ciphers(tls.ciphers)
        if tls.curve:
            context.set_ecdh_curve(tls.curve)
    except (ssl.SSLError, ValueError) as error:
        what = f"OpenSSL does not support these cipher suites or this curve ({error})"
        raise WebConfigError(f"{tls.place}: {what}: choose others") from error


def _load_own(context: ssl.SSLContext, tls: ServerTls, material: Material) -> None:
    try:
        # An empty passphrase fits no key. Without one, OpenSSL would prompt on the terminal.
        context.load_cert_chain(tls.cert.source, tls.key.source, password="")
    except ssl.SSLError as error:
        raise WebConfigError(_own_problem(tls, material, error.reason)) from error
    except OSError as error:  # the file was removed since it was read
        message = f"{tls.cert.place}: cannot be read ({error.strerror}): check the path"
        raise WebConfigError(message) from error


def _own_problem(tls: ServerTls, material: Material, reason: str | None) -> str:
    if not _holds_certificates(material.cert):
        return f"{tls.cert.place}: {tls.cert.source} contains no PEM certificates: add them"
    if b"ENCRYPTED" in material.key:
        return f"{tls.key.place}: {tls.key.source} is encrypted: use a key without a passphrase"
    if reason == "KEY_VALUES_MISMATCH":
        remedy = "use the key of this certificate"
        return f"{tls.key.place}: {tls.key.source} does not match the certificate: {remedy}"
    if reason is None:
        return f"{tls.key.place}: {tls.key.source} contains no PEM private key: add one"
    words = reason.lower().replace("_", " ")
    return f"{tls.cert.place}: OpenSSL rejects {tls.cert.source} ({words}): issue a new certificate"


def _holds_certificates(pem: bytes) -> bool:
    try:
        _add_certificates(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), pem)
    except (ssl.SSLError, ValueError):
        return False
    return True


def _load_authorities(context: ssl.SSLContext, pem: Pem, content: bytes) -> None:
    try:
        _add_certificates(context, content)
    except (ssl.SSLError, ValueError) as error:
        what = pem.source if isinstance(pem.source, Path) else "this"
        message = f"{pem.place}: {what} contains no PEM certificates: add them"
        raise WebConfigError(message) from error


def _add_certificates(context: ssl.SSLContext, pem: bytes) -> None:
    """Trust the certificates. Any other text in the file is ignored, whatever its encoding."""
    context.load_verify_locations(cadata=pem.decode("ascii", errors="ignore"))
