"""Reads the web configuration file, in exporter-toolkit's format, into a frozen `WebConfig`.

The files that it names are read in `tls`. This is stricter than Go's parser: a file is rejected if
it seems to ask for protection that the server would not provide. So is an empty file.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from exporter.blocking import read_file
from exporter.config.problems import Problem, Report, path_text
from exporter.config.sources import unreadable
from exporter.config.yaml_errors import compose
from exporter.config.yaml_tree import read
from exporter.web import config_format as terms
from exporter.web.config_format import Section

MIN_COST = 4
MAX_COST = 14
"""A hash with a higher cost takes seconds to check, which delays scrapes and the shutdown."""

_CLIENT_CA = ("client_ca_file", "client_ca")
_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{21}[.Oeu][./A-Za-z0-9]{31}")
_WHOLE_NUMBER = re.compile("[0-9]+")
_USER = re.compile(r"[^:\x00-\x1f\x7f]+")
_HEADER_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")


class WebConfigError(Exception):
    """The file cannot be read or used. The message has the file, and the line if there is one."""


@dataclass(frozen=True, slots=True)
class Pem:
    """Certificates or a key, as a file or as text, and where the configuration names them."""

    source: Path | str = field(repr=False)
    place: str  # the start of a problem: `web.yml:3: tls_server_config.cert_file`


@dataclass(frozen=True, slots=True)
class ServerTls:
    """The TLS settings: encryption, and which clients may connect."""

    place: str  # the start of a problem
    cert: Pem
    key: Pem
    client_ca: Pem | None
    client_certificates: ssl.VerifyMode
    client_allowed_sans: frozenset[str]  # empty: any
    min_version: ssl.TLSVersion
    max_version: ssl.TLSVersion
    ciphers: str  # for TLS up to 1.2, in OpenSSL's syntax; empty: OpenSSL's default
    prefer_server_ciphers: bool
    curve: str  # OpenSSL's name; empty: OpenSSL's default


@dataclass(frozen=True, slots=True)
class WebConfig:
    """The complete web configuration."""

    file: str
    tls: ServerTls | None
    users: Mapping[str, str] = field(repr=False)  # bcrypt hashes by name; empty: no authentication
    headers: Mapping[str, str]


def load_web_config(path: Path) -> WebConfig:
    """Load a web configuration. Raises ConfigError with all problems."""
    report = Report(str(path))
    text = _text(path, report)
    _check_text(text, report)
    top = Section(read(text, {}, report))
    top.allow((*terms.TOP_KEYS, terms.RATE_LIMIT), terms.UNSUPPORTED_KEYS)
    _report_rate_limit(top)
    config = WebConfig(
        file=str(path),
        tls=_tls(top.section("tls_server_config"), path),
        users=_users(top),
        headers=_headers(top.section("http_server_config")),
    )
    report.raise_if_any()
    return config


def _text(path: Path, report: Report) -> str:
    try:
        return read_file(path).decode("utf-8-sig")
    except OSError as error:
        report.fail(None, (), unreadable(error, "set the path with --web.config.file"))
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        report.fail(line, (), "invalid UTF-8: save the file as UTF-8")


def _check_text(text: str, report: Report) -> None:
    """Reject an empty file, and variables, which only the main configuration may contain."""
    if compose(text, report) is None:
        report.fail(1, (), f"empty file: add at least one of {', '.join(terms.TOP_KEYS)}")
    for number, line in enumerate(text.splitlines(), 1):
        if "${" in line.partition("#")[0]:
            report.add(number, (), "variables are not expanded in this file: write the value")
    report.raise_if_any()


def _report_rate_limit(top: Section) -> None:
    """Reject a rate limit, unless it is off: as in Go, an interval of 0 turns it off."""
    section = top.section(terms.RATE_LIMIT)
    section.allow(terms.RATE_LIMIT_KEYS, {})
    interval, burst = section.text("interval"), section.text("burst")
    is_off = terms.ZERO_INTERVAL.fullmatch(interval) if interval else not burst.strip("0")
    if burst and not _WHOLE_NUMBER.fullmatch(burst):
        section.refuse("not a whole number: write 0, or remove the key", "burst")
    elif not is_off:
        section.refuse(terms.NO_RATE_LIMIT)


def _tls(section: Section, path: Path) -> ServerTls | None:
    if not set(section):
        return None
    section.allow(terms.TLS_KEYS, terms.UNSUPPORTED_KEYS)
    _report_missing(section)
    lowest, highest = _versions(section)
    curves = section.choices("curve_preferences", terms.CURVES)
    if len(curves) > 1:
        remedy = "write one, or remove the list"
        section.refuse(f"only one curve is supported: {remedy}", "curve_preferences")
    return ServerTls(
        place=_place(section, path),
        cert=_pem(section, "cert_file", path),
        key=_pem(section, "key_file", path),
        client_ca=next((_pem(section, key, path) for key in _CLIENT_CA if key in section), None),
        client_certificates=_client_certificates(section),
        client_allowed_sans=frozenset(section.texts("client_allowed_sans").values()),
        min_version=lowest,
        max_version=highest,
        ciphers=_ciphers(section),
        prefer_server_ciphers=section.switch("prefer_server_cipher_suites", default=True),
        curve=next(iter(curves), ""),
    )


def _report_missing(section: Section) -> None:
    for key in ("cert_file", "key_file"):
        if key not in section and key.removesuffix("_file") not in section:
            section.refuse(f"{key} is required: add the path of a PEM file", key)


def _pem(section: Section, key: str, path: Path) -> Pem:
    text = section.text(key)
    source = path.parent / text if key.endswith("_file") else text
    return Pem(source, _place(section, path, key))


def _place(section: Section, path: Path, *key: str) -> str:
    line, place = section.place(*key)
    return str(Problem(str(path), line, path_text(place), ""))


def _client_certificates(section: Section) -> ssl.VerifyMode:
    key = "client_auth_type"
    mode = section.choice(key, terms.AUTH_TYPES, None, terms.UNSUPPORTED_AUTH_TYPES)
    if mode is not None or key not in section:
        _report_client_rules(section, mode or ssl.CERT_NONE)
    return mode or ssl.CERT_NONE


def _report_client_rules(section: Section, mode: ssl.VerifyMode) -> None:
    required = "set client_auth_type to RequireAndVerifyClientCert, or remove this key"
    given = [key for key in _CLIENT_CA if key in section]
    if len(given) > 1:
        section.refuse("client_ca_file is also set: remove one of them", given[1])
    if given and mode is ssl.CERT_NONE:
        section.refuse(f"clients are not asked for a certificate: {required}", given[0])
    if not given and mode is not ssl.CERT_NONE:
        section.refuse("client certificates require a CA: add client_ca_file", "client_auth_type")
    if "client_allowed_sans" in section and mode is not ssl.CERT_REQUIRED:
        message = f"clients can connect without a certificate: {required}"
        section.refuse(message, "client_allowed_sans")


def _versions(section: Section) -> tuple[ssl.TLSVersion, ssl.TLSVersion]:
    words, reasons = terms.VERSIONS, terms.UNSUPPORTED_VERSIONS
    lowest = section.choice("min_version", words, ssl.TLSVersion.TLSv1_2, reasons)
    highest = section.choice("max_version", words, ssl.TLSVersion.TLSv1_3, reasons)
    if lowest > highest:
        section.refuse("lower than min_version: change one of them", "max_version")
    return lowest, highest


def _ciphers(section: Section) -> str:
    key = "cipher_suites"
    suites = section.choices(key, terms.CIPHER_SUITES)
    if suites and not any(suites):
        section.refuse(
            "TLS 1.3 suites cannot be selected: add TLS 1.2 suites, or remove the key", key
        )
    return ":".join(filter(None, suites))


def _users(top: Section) -> dict[str, str]:
    section = top.section("basic_auth_users")
    users = {name: section.text(name) for name in section}
    for name, given in users.items():
        if not _USER.fullmatch(name):
            section.refuse("invalid user name: use one without colons and control characters", name)
        elif given and (fault := _hash_fault(given)):
            section.refuse(fault, name)
    return users


def _hash_fault(given: str) -> str:
    """What is wrong with a bcrypt hash. It is not quoted, because it may be a password."""
    found = _BCRYPT.fullmatch(given)
    if not found:
        return "not a bcrypt hash: create one with htpasswd -nBC 10"
    if not MIN_COST <= int(found[1]) <= MAX_COST:
        return f"the bcrypt cost is not {MIN_COST} to {MAX_COST}: create the hash with a cost of 10"
    return ""


def _headers(http: Section) -> dict[str, str]:
    http.allow(terms.HTTP_KEYS, {})
    http.switch("http2", default=True)  # only validated: there is no HTTP/2
    section = http.section("headers")
    section.allow(terms.HEADERS, {})
    headers = {name: section.text(name) for name in section}
    for name, value in headers.items():
        values = terms.HEADERS.get(name, ())
        if value and not _HEADER_VALUE.fullmatch(value):
            section.refuse("invalid header value: use one line of printable ASCII", name)
        elif value and values and value not in values:
            section.refuse(f"invalid header value: write {' or '.join(values)}", name)
    return headers
