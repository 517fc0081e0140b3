"""The proxy settings of the environment, and errors for invalid ones."""

from __future__ import annotations

import pytest

from exporter.config.settings import environment_proxy
from tests.config.samples import ACCOUNT, good, problems

HTTPS = "https://api.example.com"
ASKING = f"{ACCOUNT}    proxy_from_environment: true\n"
SOCKS = "socks5://ops:hunter2@proxy.example.com"


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({}, None),
        ({"https_proxy": ""}, None),
        ({"https_proxy": "", "HTTPS_PROXY": SOCKS}, None),
        ({"https_proxy": "proxy.example.com:3128"}, "http://proxy.example.com:3128"),
        ({"HTTPS_PROXY": "https://ops:p%40ss@proxy.example"}, "https://ops:p%40ss@proxy.example"),
        ({"http_proxy": SOCKS}, None),
        ({"https_proxy": SOCKS, "no_proxy": ".example.com"}, None),
        ({"HTTPS_PROXY": SOCKS, "NO_PROXY": "*"}, None),
    ],
)
def test_proxy_of_the_environment(environ: dict[str, str], proxy: str | None) -> None:
    """The variable for the URL's scheme is used, unless no_proxy excludes the host."""
    assert environment_proxy(HTTPS, environ) == proxy


@pytest.mark.parametrize(
    ("name", "proxy"),
    [
        ("https_proxy", SOCKS),
        ("HTTPS_PROXY", "http://:3128"),
        ("https_proxy", "http://[::1"),
        ("https_proxy", "proxy.example.com:99999"),
    ],
)
def test_proxy_of_no_use_is_told_by_its_variable(name: str, proxy: str) -> None:
    """An invalid proxy variable is reported by its name, without its value."""
    (problem,) = problems(ASKING, {name: proxy})
    assert f"5: accounts[0].proxy_from_environment: the environment variable {name}" in problem
    assert proxy not in problem


def test_proxy_variables_are_ignored_by_default() -> None:
    """Without proxy_from_environment, proxy variables are not read."""
    assert good(ACCOUNT, {"https_proxy": SOCKS}).accounts[0].proxy_url is None
