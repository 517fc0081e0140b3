"""Decides by a value in NO_PROXY's format which hosts are reached without a proxy.

The rules are those of Prometheus and other Go programs (golang.org/x/net/http/httpproxy), so that
one value works for all of them. Pure functions; `settings` supplies the value.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias
from urllib.parse import urlsplit

from exporter.config import values

_Address: TypeAlias = IPv4Address | IPv6Address

_PORTS = {"http": "80", "https": "443"}


def is_direct(url: str, excepted: str) -> bool:
    """Whether an http(s) URL is reached without the proxy.

    `excepted` has entries separated by commas: `*`, a network (10.0.0.0/8), an address or a name.
    An address or name may have a port. A name includes its subdomains; with a leading dot or `*.`
    it matches only them. localhost and loopback addresses need no entry.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = str(parts.port or _PORTS[parts.scheme])
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    return any(_matches(entry, host, port, address) for entry in _entries(excepted))


def no_proxy(text: str) -> str:
    """The text, if each entry is valid. In the environment, invalid entries are ignored."""
    if not _entries(text):
        raise ValueError(
            'this is empty: list hosts, such as "10.0.0.0/8, .example.com", or remove it'
        )
    for number, entry in enumerate(_entries(text), 1):
        if not _is_valid(entry):
            raise ValueError(
                f"entry {number} is not *, a network such as 10.0.0.0/8, or an address or name "
                "with an optional :port: fix it, and separate entries with commas"
            )
    return text


def _is_valid(entry: str) -> bool:
    if entry == "*" or _as_network(entry) is not None:
        return True
    name, port = _split_port(entry)
    try:
        values.host(name.removeprefix("*.").removeprefix("."))
    except ValueError:
        return False
    return not port or (port.isascii() and port.isdecimal() and 0 < int(port) < 2**16)


def _entries(text: str) -> list[str]:
    """The entries in lower case."""
    return [entry for each in text.split(",") if (entry := each.strip().lower())]


def _matches(entry: str, host: str, port: str, address: _Address | None) -> bool:
    if entry == "*":
        return True
    network = _as_network(entry)
    if network is not None:
        return address is not None and address in network
    name, only_port = _split_port(entry)
    if not name or only_port not in {"", port}:
        return False
    named = _address(name)
    if named is not None:
        return named == address
    name = name.removeprefix("*") if name.startswith("*.") else name
    return host.endswith(name if name.startswith(".") else f".{name}") or host == name


def _as_network(entry: str) -> IPv4Network | IPv6Network | None:
    """The network, or None. Host bits are ignored."""
    length = entry.rpartition("/")[2] if "/" in entry else ""
    try:
        return ip_network(entry, strict=False) if length.isdecimal() else None
    except ValueError:
        return None


def _split_port(entry: str) -> tuple[str, str]:
    """The name or address, without brackets, and the port; empty for any port."""
    if entry.startswith("["):
        host, _, behind = entry[1:].partition("]")
        return host, behind.removeprefix(":")
    host, _, port = entry.rpartition(":")
    return (entry, "") if not host or ":" in host else (host, port)


def _address(text: str) -> _Address | None:
    """The address, an IPv4-mapped IPv6 address as IPv4; None for a name."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
