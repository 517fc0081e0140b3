"""What a base URL may look like, and whether it lets others read along.

Pure functions. They raise ValueError with what to do about it; none of these messages quotes the
URL, since a password may stand in it.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

BASE_URL_PATTERN = r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s?#@/]+(/[^\s?#]*)?$"
_HOST_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_HOST_LABEL}(\.{_HOST_LABEL})*\.?")


def base_url(text: str) -> str:
    """An http(s) URL to which paths can be appended, without the slash at its end."""
    if not text.isprintable() or " " in text:
        raise ValueError("this URL holds white space or a control character: remove it")
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises where it is no port
    except ValueError:
        raise ValueError("this is not a URL: write it as https://host[:port][/path]") from None
    _check_parts(parts)
    if "?" in text or "#" in text:
        raise ValueError('this URL goes on after its path: leave out what follows "?" or "#"')
    return text.rstrip("/")


def _check_parts(parts: SplitResult) -> None:
    if "@" in parts.netloc:
        raise ValueError("credentials do not belong in a URL: write them under authorization")
    if parts.scheme not in {"http", "https"}:
        raise ValueError("this URL must start with https:// (or http://)")
    if not parts.hostname:
        raise ValueError("this URL has no host: write it as https://host[:port][/path]")
    if not _is_host(parts.hostname):
        raise ValueError("the host of this URL is neither a DNS name nor an IP address: mend it")
    if parts.port == 0:
        raise ValueError("nothing can listen on port 0: write the port of the API")


def _is_host(host: str) -> bool:
    return _is_ip_address(host) if ":" in host else bool(_HOST.fullmatch(host))


def _is_ip_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_exposed(url: str) -> bool:
    """Whether a token sent to this base URL crosses a network in clear text."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https" or host == "localhost":
        return False
    return not (_is_ip_address(host) and ip_address(host).is_loopback)
