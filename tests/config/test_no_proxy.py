"""Which hosts are excluded by no_proxy, with the rules of Go's golang.org/x/net/http/httpproxy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config.no_proxy import is_direct

API = "https://api.example.com"


@pytest.mark.parametrize(
    "no_proxy",
    [
        *("api.example.com", "API.Example.COM", "example.com", "com", ".example.com"),
        *("*.example.com", "*", "other.example, api.example.com ,", "foo,*,bar"),
        *("api.example.com:443", ".example.com:443", "*.example.com:443", "example.com:"),
    ],
)
def test_names_that_are_excepted(no_proxy: str) -> None:
    """An entry matches its name and subdomains, in any case, with the URL's port or none."""
    assert is_direct(API, no_proxy)


@pytest.mark.parametrize(
    "no_proxy",
    [
        *("", ",", " , ", "other.example", "pi.example.com", ".api.example.com", "*example.com"),
        *("*.api.example.com", "api.example.com:80", "api.example.com:8443", ":443", "api"),
        *("10.0.0.0/8", "::/0", "0.0.0.0/0", "https://api.example.com", "api.example.com other"),
    ],
)
def test_names_that_are_not_excepted(no_proxy: str) -> None:
    """An entry does not match a part of a label, another port, or a parent by a leading dot."""
    assert not is_direct(API, no_proxy)


@pytest.mark.parametrize(
    ("url", "no_proxy", "expected"),
    [
        ("https://10.1.2.3", "10.0.0.0/8", True),
        ("https://10.1.2.3", "10.9.9.9/8", True),
        ("https://11.1.2.3", "10.0.0.0/8", False),
        ("https://10.1.2.3", "10.0.0.0/255.0.0.0", False),
        ("https://10.1.2.3", "10.0.0.0/33", False),
        ("https://10.1.2.3", "10.1.2.3", True),
        ("https://10.1.2.3", "10.1.2.3:443", True),
        ("https://10.1.2.3:8443", "10.1.2.3:443", False),
        ("https://10.1.2.3:8443", "10.1.2.3:8443", True),
        ("http://10.1.2.3", "10.1.2.3:80", True),
        ("https://10.1.2.3", "::ffff:10.1.2.3", True),
        ("https://10.1.2.3", "10.1.2", False),
        ("https://10.1.2.3", "*", True),
        ("https://[2001:db8::1]", "2001:db8::/32", True),
        ("https://[2001:db8::1]", "2001:0db8::1", True),
        ("https://[2001:db8::1]", "[2001:db8::1]", True),
        ("https://[2001:db8::1]", "[2001:db8::1]:443", True),
        ("https://[2001:db8::1]", "[2001:db8::1]:80", False),
        ("https://[2001:db8::1]", "2001:db8::2", False),
        ("https://[2001:db8::1]", "10.0.0.0/8", False),
    ],
)
def test_addresses(url: str, no_proxy: str, *, expected: bool) -> None:
    """Addresses match networks and any notation of themselves, with the URL's port or none."""
    assert is_direct(url, no_proxy) is expected


@pytest.mark.parametrize(
    "url", ["http://localhost:8080", "https://127.0.0.1", "http://127.8.8.8:1", "http://[::1]"]
)
def test_this_machine_needs_no_entry(url: str) -> None:
    """The name localhost and loopback addresses never use a proxy."""
    assert is_direct(url, "")


@pytest.mark.parametrize(
    "url", ["http://x.localhost", "http://localhost.example", "https://128.0.0.1", "http://[::2]"]
)
def test_others_need_an_entry(url: str) -> None:
    """Names and addresses that only resemble localhost use the proxy."""
    assert not is_direct(url, "")


@given(st.text())
def test_no_text_breaks_the_reading(no_proxy: str) -> None:
    """Invalid entries match no host and do not affect the others."""
    assert is_direct(API, f"{no_proxy},api.example.com")
    assert not is_direct(API, ",".join(f"{part}/x" for part in no_proxy.split(",")))
