"""What a URL or a host may look like, and whether a URL lets others read along.

Pure functions. They raise ValueError with what to do about it; none of these messages quotes the
URL, since a password may stand in it.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

BASE_URL_PATTERN = r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s?#@/]+(/[^\s?#]*)?$"
PROXY_URL_PATTERN = r"^[Hh][Tt][Tt][Pp][Ss]?://([^\s?#/]*@)?[^\s?#/@]+/*$"
HOST_PATTERN = "^[A-Za-z0-9_.:-]+$"
_BASE_FORM = "https://host[:port][/path]"
_PROXY_FORM = "http://[user:password@]host[:port], special characters in the password as %40"
_CALL = re.compile(r"[{}]|/stats/*$|/user/(login|refresh)/*$")
"""In a path: what the exporter itself puts behind the base URL."""

_HOST_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_HOST_LABEL}(\.{_HOST_LABEL})*\.?")


def base_url(text: str) -> str:
    """An http(s) URL to which paths can be appended, without the slash at its end."""
    parts = _parts(text, _BASE_FORM)
    if "@" in parts.netloc:
        raise ValueError("credentials do not belong in a URL: write them under authorization")
    _check_parts(parts, _BASE_FORM)
    if "?" in text or "#" in text:
        raise ValueError('this URL goes on after its path: leave out what follows "?" or "#"')
    if _CALL.search(parts.path):
        raise ValueError(f"this is the URL of a single call: leave out its path, as {_BASE_FORM}")
    return text.rstrip("/")


def proxy_url(text: str) -> str:
    """An http(s) URL of a proxy, perhaps with a user and a password, and nothing after the port."""
    parts = _parts(text, _PROXY_FORM)
    if parts.scheme.startswith("socks"):
        raise ValueError(f"SOCKS is not spoken here: name an HTTP proxy, as {_PROXY_FORM}")
    _check_parts(parts, _PROXY_FORM)
    if parts.path.strip("/") or "?" in text or "#" in text:
        raise ValueError(f"this URL goes on after host and port: write it as {_PROXY_FORM}")
    return text.rstrip("/")


def host(text: str) -> str:
    """A DNS name or an IP address, without a zone."""
    if "%" in text or not _is_host(text):
        raise ValueError("this is neither a DNS name nor an IP address: fix it")
    return text


def _parts(text: str, form: str) -> SplitResult:
    if not text.isprintable() or " " in text:
        raise ValueError("this URL holds white space or a control character: remove it")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(f"this is not a URL: write it as {form}") from None
    try:
        _ = parts.port  # raises where it is no port
    except ValueError:
        raise ValueError(
            f"the port of this URL is no number up to 65535: write it as {form}"
        ) from None
    return parts


def _check_parts(parts: SplitResult, form: str) -> None:
    if parts.scheme not in {"http", "https"}:
        raise ValueError(f"this URL does not start with http:// or https://: write it as {form}")
    if not parts.hostname:
        raise ValueError(f"this URL has no host: write it as {form}")
    if not _is_host(parts.hostname):
        raise ValueError("the host of this URL is neither a DNS name nor an IP address: fix it")
    if parts.port == 0:
        raise ValueError("nothing can listen on port 0: write the real port")


def _is_host(host: str) -> bool:
    return _is_ip_address(host) if ":" in host else bool(_HOST.fullmatch(host))


def _is_ip_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_https(url: str) -> bool:
    """Whether this URL is reached through TLS."""
    return urlsplit(url).scheme == "https"


def is_exposed(url: str) -> bool:
    """Whether a token sent to this base URL crosses a network in clear text."""
    host = urlsplit(url).hostname or ""
    if is_https(url) or host == "localhost":
        return False
    return not (_is_ip_address(host) and ip_address(host).is_loopback)
