"""Names, ids, labels, addresses, tokens, passwords and URLs."""

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
    """Host, port and path are kept as they are."""
    assert values.base_url(text) == url


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1", "127.8.8.8", "[::1]:1"])
def test_loopback_is_not_exposed(host: str) -> None:
    """What goes to the own machine can be read by nobody else."""
    assert not values.is_exposed(f"http://{host}/api")


@pytest.mark.parametrize(
    "host", ["localhost.example.com", "10.0.0.1", "[::2]", "127.1", "10.0.0.127"]
)
def test_plain_http_to_elsewhere_is_exposed(host: str) -> None:
    """Only https protects a token on its way to another machine."""
    assert values.is_exposed(f"http://{host}")
    assert not values.is_exposed(f"HTTPS://{host}")


@given(st.from_regex(values.BASE_URL_PATTERN) | st.text())
def test_no_text_breaks_the_url_check(text: str) -> None:
    """Any text is either refused or a URL that fits the schema's pattern."""
    with suppress(ValueError):
        values.is_exposed(values.base_url(text))
        assert re.search(values.BASE_URL_PATTERN, text)


@given(st.text())
def test_accepted_names_and_tokens_fit_the_schema_s_patterns(text: str) -> None:
    """An editor never complains of what the loader takes."""
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
    """User, password, host and port are kept as they are."""
    assert values.proxy_url(text) == url


@given(st.from_regex(values.PROXY_URL_PATTERN) | st.text())
def test_no_text_breaks_the_proxy_check(text: str) -> None:
    """Any text is either refused or a URL that fits the schema's pattern."""
    with suppress(ValueError):
        assert re.search(values.PROXY_URL_PATTERN, values.proxy_url(text))


@given(st.from_regex(values.HOST_PATTERN) | st.text() | st.ip_addresses().map(str))
def test_accepted_hosts_fit_the_schema_s_pattern(text: str) -> None:
    """Any text is either refused or a host that an editor takes, too."""
    with suppress(ValueError):
        assert re.search(values.HOST_PATTERN, values.host(text))


def test_host_has_no_zone() -> None:
    """A zone is this machine's own affair: no certificate names one."""
    with pytest.raises(ValueError, match="not a DNS name or an IP address"):
        values.host("fe80::1%eth0")


@given(st.text(min_size=1))
def test_password_is_taken_literally(text: str) -> None:
    """Nothing is trimmed from a password."""
    assert values.password(text) == text


@given(st.from_regex(values.EMAIL_PATTERN) | st.text())
def test_accepted_addresses_fit_the_schema_s_pattern(text: str) -> None:
    """Any text is either refused or an address that an editor takes, too."""
    with suppress(ValueError):
        assert re.search(values.EMAIL_PATTERN, values.email(text))


@pytest.mark.parametrize("character", [*"\r\v\f\x1c\x1d\x1e\x85\u2028\u2029\n\0", "\ud800"])
@pytest.mark.parametrize("reader", [values.label_value, values.name, values.bucket_id])
def test_no_line_end_comes_from_the_configuration(
    reader: Callable[[str], str], character: str
) -> None:
    """Names and labels go to the page as they are, and some readers split it at any of these."""
    with pytest.raises(ValueError, match="a character that cannot be printed"):
        reader(f"a{character}b")


@pytest.mark.parametrize("name", ["team", "_x", "T1", "a_b"])
def test_label_names_are_prometheus_s(name: str) -> None:
    """Letters, digits and _ make a name."""
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
    """Malformed names, and names that mean something already."""
    with pytest.raises(ValueError, match="label name"):
        values.label_name(name)


def test_token_is_trimmed() -> None:
    """White space around a token, such as a variable's line break, does not belong to it."""
    assert values.token(" abc.def\n") == "abc.def"
