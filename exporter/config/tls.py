"""`tls_config`: its settings, and whether OpenSSL accepts the files.

The context made for the check is not kept, since files may change.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from exporter.blocking import read_file
from exporter.config.schema_auth import TlsDocument
from exporter.config.settings import TlsConfig
from exporter.config.sources import unreadable

_REMEDY = "fix the path, or give the exporter read permission"
_NO_CERTIFICATE = "this file has no PEM certificate: use a file that has one"
_NO_KEY = "this file has no PEM private key: use a file that has one"
_KEY_MISMATCH = "this key does not match the certificate in cert_file: use the matching key"
_LOCKED_KEY = "this key has a passphrase: remove it, for example with openssl pkey"
_UNSUPPORTED_VERSION = (
    "Python's OpenSSL on this machine has no cipher suites for this version: write TLS12 or TLS13"
)
_WEAK = "OpenSSL refuses this certificate as too weak: use one with a larger key and SHA-256"

_REFUSALS = {
    "KEY_VALUES_MISMATCH": ("key_file", _KEY_MISMATCH),
    "KEY_TYPE_MISMATCH": ("key_file", _KEY_MISMATCH),
    "NO_CERTIFICATE_ASSIGNED": ("key_file", _KEY_MISMATCH),  # a key of another kind
    "EE_KEY_TOO_SMALL": ("cert_file", _WEAK),
    "CA_KEY_TOO_SMALL": ("cert_file", _WEAK),
    "CA_MD_TOO_WEAK": ("cert_file", _WEAK),
}
"""The key and the error, by OpenSSL's reason."""


_OLD_VERSIONS = {ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1}


class _LockedError(Exception):
    """OpenSSL needs a passphrase."""


def tls_config(document: TlsDocument | None, directory: Path) -> TlsConfig:
    """The settings; relative paths start at the directory."""
    document = document or TlsDocument()
    files = (document.ca_file, document.cert_file, document.key_file)
    ca_file, cert_file, key_file = (directory / file if file else None for file in files)
    return TlsConfig(
        ca_file=ca_file,
        cert_file=cert_file,
        key_file=key_file,
        server_name=document.server_name,
        min_version=document.min_version,
        insecure_skip_verify=document.insecure_skip_verify,
    )


def system_authorities() -> str:
    """A digest of the system's CA bundle, which each new context reads; empty without one."""
    bundle = ssl.get_default_verify_paths().cafile
    try:
        return sha256(read_file(Path(bundle))).hexdigest() if bundle else ""
    except OSError:
        return ""


def tls_errors(tls: TlsConfig, read: Callable[[Path], bytes]) -> dict[str, str]:
    """The errors of the settings, by key."""
    named = {"ca_file": tls.ca_file, "cert_file": tls.cert_file, "key_file": tls.key_file}
    faults = {
        key: fault
        for key, path in named.items()
        if path and (fault := _file_fault(path, read, has_certificates=key != "key_file"))
    }
    if tls.cert_file and tls.key_file and faults.keys().isdisjoint({"cert_file", "key_file"}):
        faults.update(_pair_faults(tls.cert_file, tls.key_file))
    if tls.min_version in _OLD_VERSIONS and not _is_allowed(tls.min_version):
        faults["min_version"] = _UNSUPPORTED_VERSION
    return faults


def _is_allowed(version: ssl.TLSVersion) -> bool:
    """Whether OpenSSL can start a connection of this version.

    Python's default cipher suites include none for old versions; some systems' suites do.
    """
    context = _context()
    context.check_hostname = False
    context.minimum_version = context.maximum_version = version
    try:
        with suppress(ssl.SSLWantReadError):  # it has started, and waits for the server
            context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO()).do_handshake()
    except ssl.SSLError:
        return False
    return True


def _file_fault(path: Path, read: Callable[[Path], bytes], *, has_certificates: bool) -> str | None:
    try:
        content = read(path)
    except OSError as error:
        return f"this file {unreadable(error, _REMEDY)}"
    if has_certificates and not _holds_certificates(content):
        return _NO_CERTIFICATE
    return None


def _holds_certificates(pem: bytes) -> bool:
    """Whether OpenSSL finds any. Other text in the file, in any encoding, is ignored."""
    try:
        _context().load_verify_locations(cadata=pem.decode("ascii", errors="ignore"))
    except (ssl.SSLError, ValueError):
        return False
    return True


def _pair_faults(cert_file: Path, key_file: Path) -> Iterator[tuple[str, str]]:
    def passphrase() -> str:
        raise _LockedError  # otherwise OpenSSL prompts on the terminal

    try:
        _context().load_cert_chain(cert_file, key_file, password=passphrase)
    except ssl.SSLError as error:
        yield _REFUSALS.get(error.reason or "", ("key_file", _NO_KEY))
    except _LockedError:
        yield "key_file", _LOCKED_KEY
    except OSError as error:  # removed since it was read
        yield "cert_file", f"this file {unreadable(error, _REMEDY)}"


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
