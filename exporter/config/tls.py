"""The files of `tls_config`: paths from the configuration file on, and the proof that they work.

The proof is OpenSSL's own: a context that takes them. It is not kept, since files may change.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

from exporter.blocking import read_file
from exporter.config.schema_auth import TlsDocument
from exporter.config.settings import TlsConfig
from exporter.config.sources import unreadable

_REMEDY = "fix the path, or let the exporter read the file"
_NO_CERTIFICATE = "this file holds no certificate in PEM form: name one that does"
_NO_KEY = "this file holds no private key in PEM form: name one that does"
_OTHER_KEY = "this is not the key to the certificate in cert_file: name the one that is"
_LOCKED_KEY = "this key is protected by a passphrase: take that off, as with openssl pkey"
_WEAK = "OpenSSL refuses this certificate as too weak: have a stronger one issued"

_REFUSALS = {
    "KEY_VALUES_MISMATCH": ("key_file", _OTHER_KEY),
    "KEY_TYPE_MISMATCH": ("key_file", _OTHER_KEY),
    "NO_CERTIFICATE_ASSIGNED": ("key_file", _OTHER_KEY),  # a key of another kind
    "EE_KEY_TOO_SMALL": ("cert_file", _WEAK),
    "CA_KEY_TOO_SMALL": ("cert_file", _WEAK),
    "CA_MD_TOO_WEAK": ("cert_file", _WEAK),
}
"""What is wrong by OpenSSL's reason, with the key to look at."""


class _LockedError(Exception):
    """OpenSSL asks for a passphrase."""


def tls_config(document: TlsDocument | None, directory: Path) -> TlsConfig:
    """The settings that follow; relative paths start at the directory."""
    document = document or TlsDocument()
    files = (document.ca_file, document.cert_file, document.key_file)
    ca_file, cert_file, key_file = (directory / file if file else None for file in files)
    return TlsConfig(
        ca_file=ca_file,
        cert_file=cert_file,
        key_file=key_file,
        server_name=document.server_name,
        insecure_skip_verify=document.insecure_skip_verify,
    )


def system_authorities() -> str:
    """A digest of the system's bundle, which a context reads when it is made; empty without one."""
    bundle = ssl.get_default_verify_paths().cafile
    try:
        return sha256(read_file(Path(bundle))).hexdigest() if bundle else ""
    except OSError:
        return ""


def tls_faults(tls: TlsConfig, read: Callable[[Path], bytes]) -> dict[str, str]:
    """What keeps the files from being used, by the key that names the file."""
    named = {"ca_file": tls.ca_file, "cert_file": tls.cert_file, "key_file": tls.key_file}
    faults = {
        key: fault
        for key, path in named.items()
        if path and (fault := _file_fault(path, read, has_certificates=key != "key_file"))
    }
    if tls.cert_file and tls.key_file and faults.keys().isdisjoint({"cert_file", "key_file"}):
        faults.update(_pair_faults(tls.cert_file, tls.key_file))
    return faults


def _file_fault(path: Path, read: Callable[[Path], bytes], *, has_certificates: bool) -> str | None:
    try:
        content = read(path)
    except OSError as error:
        return f"this file {unreadable(error, _REMEDY)}"
    if has_certificates and not _holds_certificates(content):
        return _NO_CERTIFICATE
    return None


def _holds_certificates(pem: bytes) -> bool:
    """Whether OpenSSL finds any. What stands between them, in whatever encoding, is left out."""
    try:
        _context().load_verify_locations(cadata=pem.decode("ascii", errors="ignore"))
    except (ssl.SSLError, ValueError):
        return False
    return True


def _pair_faults(cert_file: Path, key_file: Path) -> Iterator[tuple[str, str]]:
    def passphrase() -> str:
        raise _LockedError  # else OpenSSL would ask for it on the terminal

    try:
        _context().load_cert_chain(cert_file, key_file, password=passphrase)
    except ssl.SSLError as error:
        yield _REFUSALS.get(error.reason or "", ("key_file", _NO_KEY))
    except _LockedError:
        yield "key_file", _LOCKED_KEY
    except OSError as error:  # gone since it was read
        yield "cert_file", f"this file {unreadable(error, _REMEDY)}"


def _context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
