"""Validation of names, ids, labels, addresses, tokens, passwords and URLs."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporter.config import values


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://api.example.com", "https://api.example.com"),
        ("https://api.example.com//", "https://api.example.com"),
        ("https://api.example.com:8443/a/b/", "https://api.example.com:8443/a/b"),
        ("http://[fe80::1]/", "http://[fe80::1]"),
        ("https://api_1.example.com.", "https://api_1.example.com."),
    ],
)
def test_base_url_loses_the_slash_at_its_end(text: str, url: str) -> None:
    """Trailing slashes are removed; host, port and path are kept."""
    assert values.base_url(text) == url


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1", "127.8.8.8", "[::1]:1"])
def test_loopback_is_not_exposed(host: str) -> None:
    """http:// to the local machine does not count as exposed."""
    assert not values.is_exposed(f"http://{host}/api")


@pytest.mark.parametrize(
    "host", ["localhost.example.com", "10.0.0.1", "[::2]", "127.1", "10.0.0.127"]
)
def test_plain_http_to_elsewhere_is_exposed(host: str) -> None:
    """http:// to another machine counts as exposed, https:// does not."""
    assert values.is_exposed(f"http://{host}")
    assert not values.is_exposed(f"HTTPS://{host}")


@given(st.from_regex(values.BASE_URL_PATTERN) | st.text())
def test_no_text_breaks_the_url_check(text: str) -> None:
    """Any text is rejected, or is a URL that matches the schema's pattern."""
    with suppress(ValueError):
        values.is_exposed(values.base_url(text))
        assert re.search(values.BASE_URL_PATTERN, text)


@given(st.text())
def test_accepted_names_and_tokens_fit_the_schema_s_patterns(text: str) -> None:
    """Accepted names and tokens match the schema's patterns."""
    with suppress(ValueError):
        assert re.search(values.NAME_PATTERN, values.name(text))
    with suppress(ValueError):
        assert values.token(text) == text.strip()
        assert re.search(values.VISIBLE_ASCII_PATTERN, text)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://proxy.example.com", "http://proxy.example.com"),
        ("HTTPS://ops:p%40ss@10.0.0.1:3128/", "HTTPS://ops:p%40ss@10.0.0.1:3128"),
        ("http://ops:p@ss:w@[fe80::1]", "http://ops:p@ss:w@[fe80::1]"),
    ],
)
def test_proxy_may_have_a_password(text: str, url: str) -> None:
    """Proxy URLs may contain user and password, and are kept unchanged."""
    assert values.proxy_url(text) == url


@given(st.from_regex(values.PROXY_URL_PATTERN) | st.text())
def test_no_text_breaks_the_proxy_check(text: str) -> None:
    """Any text is rejected, or is a proxy URL that matches the schema's pattern."""
    with suppress(ValueError):
        assert re.search(values.PROXY_URL_PATTERN, values.proxy_url(text))


@given(st.from_regex(values.HOST_PATTERN) | st.text() | st.ip_addresses().map(str))
def test_accepted_hosts_fit_the_schema_s_pattern(text: str) -> None:
    """Any text is rejected, or is a host that matches the schema's pattern."""
    with suppress(ValueError):
        assert re.search(values.HOST_PATTERN, values.host(text))


def test_host_has_no_zone() -> None:
    """A host may not have an IPv6 zone, since no certificate contains one."""
    with pytest.raises(ValueError, match="not a DNS name or an IP address"):
        values.host("fe80::1%eth0")


@given(st.text(min_size=1))
def test_password_is_taken_literally(text: str) -> None:
    """A password is used without trimming."""
    assert values.password(text) == text


@given(st.from_regex(values.EMAIL_PATTERN) | st.text())
def test_accepted_addresses_fit_the_schema_s_pattern(text: str) -> None:
    """Any text is rejected, or is an address that matches the schema's pattern."""
    with suppress(ValueError):
        assert re.search(values.EMAIL_PATTERN, values.email(text))


@pytest.mark.parametrize("character", [*"\r\v\f\x1c\x1d\x1e\x85\u2028\u2029\n\0", "\ud800"])
@pytest.mark.parametrize("reader", [values.label_value, values.name, values.bucket_id])
def test_no_line_end_comes_from_the_configuration(
    reader: Callable[[str], str], character: str
) -> None:
    """Line separators in names, ids and labels are rejected, as some parsers split lines there."""
    with pytest.raises(ValueError, match="a character that cannot be printed"):
        reader(f"a{character}b")


@pytest.mark.parametrize("name", ["team", "_x", "T1", "a_b"])
def test_label_names_are_prometheus_s(name: str) -> None:
    """Label names may consist of letters, digits and underscores."""
    assert values.label_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "1a", "a-b", "é", "a\n", "__a"),
        *sorted(values.PROMETHEUS_LABELS),
        *sorted(values.TARGET_LABELS),
        *sorted(values.EXPORTER_LABELS),
    ],
)
def test_other_label_names_are_refused(name: str) -> None:
    """Malformed and reserved label names are rejected."""
    with pytest.raises(ValueError, match="label name"):
        values.label_name(name)


def test_token_is_trimmed() -> None:
    """Whitespace around a token, such as a newline from a variable, is removed."""
    assert values.token(" abc.def\n") == "abc.def"
