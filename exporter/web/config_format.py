"""The format of exporter-toolkit's web configuration: its keys and values, and a reader for it.

Keys and values that this server does not support are listed with the reason, so that the error
names it. Each problem is reported at its place. Rules about several keys belong to `config`. The
main configuration does not use this: pydantic reads it.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Collection, Iterator, Mapping
from typing import TypeVar

from exporter.config.problems import Place, key_text, meant, quoted
from exporter.config.yaml_tree import Tree, YamlNode

TOP_KEYS = ("tls_server_config", "http_server_config", "basic_auth_users")
HTTP_KEYS = ("http2", "headers")
TLS_KEYS = (
    *("cert_file", "key_file", "client_auth_type", "client_ca_file", "client_ca"),
    *("client_allowed_sans", "min_version", "max_version", "cipher_suites"),
    *("prefer_server_cipher_suites", "curve_preferences"),
)

RATE_LIMIT = "rate_limit"
RATE_LIMIT_KEYS = ("interval", "burst")
NO_RATE_LIMIT = "rate limits are not supported: remove the section, and see --web.max-requests"
ZERO_INTERVAL = re.compile("0|(0+(h|m|s|ms|us|µs|ns))+")
"""Durations of 0 in Go's syntax."""

UNSUPPORTED_KEYS = {
    "cert": "inline certificates are not supported: use cert_file",
    "key": "inline keys are not supported: use key_file",
}

AUTH_TYPES = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
UNSUPPORTED_AUTH_TYPES = dict.fromkeys(
    ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert"),
    "client certificates are always verified: "
    "write RequireAndVerifyClientCert or VerifyClientCertIfGiven",
)

VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
UNSUPPORTED_VERSIONS = dict.fromkeys(
    ("TLS10", "TLS11"), "OpenSSL disables it: write TLS12 or TLS13"
)

SWITCH = {
    spelling: value
    for value, words in {
        True: ("y", "yes", "true", "on"),
        False: ("n", "no", "false", "off"),
    }.items()
    for word in words
    for spelling in (word, word.capitalize(), word.upper())
}
"""The booleans of YAML 1.1, which Go's YAML parser accepts."""

CURVES = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}

CIPHER_SUITES = {
    f"TLS_ECDHE_{key}_WITH_{go}": f"ECDHE-{key}-{openssl}"
    for key in ("ECDSA", "RSA")
    for go, openssl in {
        "AES_128_GCM_SHA256": "AES128-GCM-SHA256",
        "AES_256_GCM_SHA384": "AES256-GCM-SHA384",
        "CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
        "AES_128_CBC_SHA": "AES128-SHA",
        "AES_256_CBC_SHA": "AES256-SHA",
    }.items()
} | dict.fromkeys(
    ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"), ""
)
"""Go's names and OpenSSL's names. Suites of TLS 1.3 have none: as in Go, they cannot be chosen."""

HEADERS: dict[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""The headers that may be set, each with its allowed values; no values: any."""


T = TypeVar("T")


class Section:
    """The mapping at a place in the file; empty if there is none.

    A value that is missing or was rejected reads as its default. A rejected one is in the report.
    """

    def __init__(self, tree: Tree, place: Place = ()) -> None:
        self._tree = tree
        self._place = place
        found, node = tree.nearest(place)
        self._entries: dict[str, YamlNode] = {}
        if found == place:
            if isinstance(node.value, dict) and node.value:
                self._entries = node.value
            else:
                self.refuse(_wrong_kind(node, 'a mapping (lines of "key: value")'))

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def section(self, key: str) -> Section:
        return Section(self._tree, (*self._place, key))

    def place(self, *steps: str | int) -> tuple[int, Place]:
        """The line and place of a value in this mapping, or of the mapping itself."""
        place = (*self._place, *steps)
        return self._tree.nearest(place)[1].line, place

    def refuse(self, message: str, *steps: str | int) -> None:
        """Report a problem with a value in this mapping, or with the mapping itself."""
        self._tree.refuse((*self._place, *steps), message)

    def allow(self, known: Collection[str], unsupported: Mapping[str, str]) -> None:
        """Report unknown keys, and keys that are not supported, with the reason."""
        for key, node in self._entries.items():
            if key in unsupported:
                self.refuse(unsupported[key], key)
            elif key not in known:
                # At the mapping: the path would show the key, which may be a secret.
                self._tree.report.add(node.line, self._place, _unknown_key(key, known))

    def text(self, key: str) -> str:
        """A string; empty if the key is missing."""
        return self._text(self._entries[key], key) if key in self else ""

    def texts(self, key: str) -> dict[int, str]:
        """The valid strings of a list, by index."""
        if key not in self:
            return {}
        node = self._entries[key]
        if not isinstance(node.value, list) or not node.value:
            self.refuse(_wrong_kind(node, 'a list (lines of "- value")'), key)
            return {}
        found = {index: self._text(child, key, index) for index, child in enumerate(node.value)}
        return {index: text for index, text in found.items() if text}

    def switch(self, key: str, *, default: bool) -> bool:
        """A boolean. A quoted one is a string, which Go rejects too."""
        word = self.text(key)
        if not word:
            return default
        if self._entries[key].quoted:
            self.refuse("not a boolean: write true or false without quotes", key)
        elif word not in SWITCH:
            self.refuse(f"{quoted(word)} is unknown: {_one_of(word, ('true', 'false'))}", key)
        return SWITCH.get(word, default)

    def choice(
        self,
        key: str,
        known: Mapping[str, T],
        default: T,
        unsupported: Mapping[str, str] | None = None,
    ) -> T:
        """The value for one of the `known` words."""
        if word := self.text(key):
            return next(iter(self._known({(key,): word}, known, unsupported or {})), default)
        return default

    def choices(self, key: str, known: Mapping[str, T]) -> list[T]:
        """The values for a list of `known` words."""
        words: dict[Place, str] = {(key, index): word for index, word in self.texts(key).items()}
        return self._known(words, known, {})

    def _known(
        self, words: Mapping[Place, str], known: Mapping[str, T], unsupported: Mapping[str, str]
    ) -> list[T]:
        for place, word in words.items():
            if word in unsupported:
                self.refuse(f"{quoted(word)} is not supported: {unsupported[word]}", *place)
            elif word not in known:
                self.refuse(f"{quoted(word)} is unknown: {_one_of(word, known)}", *place)
        return [known[word] for word in words.values() if word in known]

    def _text(self, node: YamlNode, *steps: str | int) -> str:
        if isinstance(node.value, str) and node.value:
            return node.value
        self.refuse(_wrong_kind(node, "a string"), *steps)
        return ""


def _wrong_kind(node: YamlNode, expected: str) -> str:
    if not node.value:
        return "no value: add one, or remove the key"
    kinds = {dict: "a mapping", list: "a list", str: "a string"}
    return f"must be {expected}, not {kinds[type(node.value)]}"


def _unknown_key(key: str, known: Collection[str]) -> str:
    return f"{key_text(key)} is unknown: {_one_of(key, known)}"


def _one_of(word: str, known: Collection[str]) -> str:
    if close := meant(word, known):
        return f'did you mean "{close}"?'
    return f"use one of {', '.join(known)}"
