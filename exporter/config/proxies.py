"""The proxy that the environment names for a base URL, as far as it can be judged beforehand.

Only for accounts that ask for it. Which proxy is used in the end is for
`exporter.upstream.account` to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit
from urllib.request import (  # type: ignore[attr-defined]  # typeshed leaves it out
    proxy_bypass_environment,
)

from exporter.config.urls import proxy_url


def environment_fault(base_url: str, environ: Mapping[str, str]) -> str | None:
    """What is wrong with that proxy; None where it is sound, or where there is none."""
    url = urlsplit(base_url)
    name, proxy = _variable(f"{url.scheme}_proxy", environ)
    exceptions = _variable("no_proxy", environ)[1]
    if not proxy or proxy_bypass_environment(url.hostname or "", {"no": exceptions}):
        return None
    try:
        proxy_url(proxy if "://" in proxy else f"http://{proxy}")  # as curl reads it
    except ValueError as error:
        return f"the environment variable {name}, which this asks for, is of no use: {error}"
    return None


def _variable(name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """The variable that counts, and its value: the one in small letters before the other."""
    name = name if name in environ else name.upper()
    return name, environ.get(name, "")
