"""Parsers of single values: names, ids, labels, secrets, URLs, durations, sizes, patterns.

Pure functions from text. They raise ValueError with what is wrong and what to do. A message never
quotes the text, which may be a secret: `{value}` in it stands for the value as written in the file,
before variables are expanded, and `{in_seconds}` for the same with the unit `s`.
"""

from __future__ import annotations

import re
import warnings
from ipaddress import ip_address
from ssl import TLSVersion
from urllib.parse import SplitResult, urlsplit

from exporter.model import MAX_LABEL_LENGTH, Label

LABEL_NAME_PATTERN = "^[a-zA-Z_][a-zA-Z0-9_]*$"
_LABEL_NAME = re.compile(LABEL_NAME_PATTERN)

EXPORTER_LABELS = frozenset(map(str, Label))

TARGET_LABELS = frozenset(
    {
        *("job", "instance", "namespace", "pod", "service", "endpoint", "container", "cluster"),
        *("prometheus", "prometheus_replica"),
    }
)
"""The label names that Prometheus commonly sets on targets: rules and routes depend on them."""

PROMETHEUS_LABELS = frozenset({"le", "quantile"})
"""The label names that have a special meaning in Prometheus."""


NAME_PATTERN = r"^\S(.*\S)?$"

VISIBLE_ASCII_PATTERN = r"^\s*[!-~]+\s*$"
_VISIBLE_ASCII = re.compile("[!-~]+")

EMAIL_PATTERN = r"^[^\s@]+@[^\s@]+$"
_EMAIL = re.compile(EMAIL_PATTERN)

_NO_ID = re.compile(r"""://|^["'<$\u2018-\u201f]""")
"""Text that no id contains. YAML accepts nearly everything, so likely mistakes are caught here."""

_QUOTES = frozenset("\"'\u2018\u2019\u201c\u201d")
_TOKEN_FAULTS = (
    (r"(?i)bearer\s", 'this starts with "Bearer": write only the token'),
    (r"\$", 'this starts with "$": write a variable as "${NAME}", or the token itself'),
    (r"<", "this is a placeholder: replace it with your token"),
    (r"\{", "this is JSON: write only the value of accessToken"),
    (r"[A-Z_]+=.*[^=]", 'this starts with "NAME=": write only the token'),
)
"""Text that no token starts with, and the error."""


def label_value(text: str) -> str:
    """Any printable text; it may be empty."""
    if not text.isprintable():
        raise ValueError(
            "this contains a character that cannot be printed: write it on one line, as text"
        )
    return text


def name(text: str) -> str:
    """A printable text that is not empty and has no white space around it."""
    if not text:
        raise ValueError("this is empty: write a value, or remove it")
    if text != text.strip():
        raise ValueError("this has white space around it: remove the white space")
    return label_value(text)


def bucket_id(text: str) -> str:
    """A name that fits into a URL's path and into a label."""
    if name(text) in {".", ".."}:
        raise ValueError('"." and ".." are not valid ids: write the id of the bucket')
    if len(text) > MAX_LABEL_LENGTH:
        raise ValueError(f"this has over {MAX_LABEL_LENGTH} characters: write the id of the bucket")
    if text.startswith(("id:", "id ")):
        raise ValueError('this starts with "id": write "id: " with a colon and a space')
    if _NO_ID.search(text):
        raise ValueError("this is not a bucket's id: write only the id, without anything around it")
    return text


def label_name(text: str) -> str:
    """A label name that a bucket may have."""
    if not _LABEL_NAME.fullmatch(text):
        raise ValueError(
            "this is not a valid label name: use letters, digits and _, without a leading digit"
        )
    if text.startswith("__"):
        raise ValueError("label names with __ at the start are reserved: choose another")
    if text in TARGET_LABELS:
        raise ValueError(
            "Prometheus uses this label name for targets, and rules depend on it: choose another,"
            f" for example bucket_{text}"
        )
    if text in PROMETHEUS_LABELS:
        raise ValueError("this label name is reserved for Prometheus: choose another")
    if text in EXPORTER_LABELS:
        raise ValueError("the exporter uses this label name itself: choose another")
    return text


def token(text: str) -> str:
    """A bearer token; white space around it is removed."""
    stripped = text.strip()
    if not stripped:
        raise ValueError("this is empty: write the token")
    if not _QUOTES.isdisjoint({stripped[0], stripped[-1]}):
        raise ValueError("the quotes are part of the value: write the token without them")
    for start, fault in _TOKEN_FAULTS:
        if re.match(start, stripped):
            raise ValueError(fault)
    if not _VISIBLE_ASCII.fullmatch(stripped):
        raise ValueError("this contains spaces or non-ASCII characters: copy the token again")
    return stripped


def email(text: str) -> str:
    """Text with the form of an e-mail address."""
    if not _EMAIL.fullmatch(name(text)):
        raise ValueError("this is not an e-mail address: write one such as ops@example.com")
    return text


def password(text: str) -> str:
    """Any text that is not empty, unchanged."""
    if not text:
        raise ValueError("this is empty: write the password")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("this is not valid UTF-8: fix the environment variable")
    return text


_MILLISECONDS = {
    "y": 365 * 86_400_000,
    "w": 7 * 86_400_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
_DIGITS = "[0-9]{1,9}"  # Python refuses to parse thousands of digits
DURATION_PATTERN = "^(0|(?=[0-9])" + "".join(f"({_DIGITS}{unit})?" for unit in _MILLISECONDS) + ")$"
_DURATION = re.compile(DURATION_PATTERN)
LONGEST_DURATION = 2**63 // 10**6
"""Milliseconds. The limit is Prometheus's: nanoseconds in 63 bits."""

_DURATION_PART = re.compile(f"({_DIGITS})(ms|[ywdhms])")
_NUMBER = re.compile(r"[0-9]{1,9}")

_BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
SIZE_PATTERN = f"^([0-9]{{1,15}})({'|'.join(_BYTES)})?$"
_SIZE = re.compile(SIZE_PATTERN)


def duration(text: str) -> float:
    """Seconds, from `30s`, `1m30s`, `500ms` or `0`: units y w d h m s ms, in that order."""
    if _DURATION.fullmatch(text):
        parts = _DURATION_PART.findall(text)
        milliseconds = sum(int(count) * _MILLISECONDS[unit] for count, unit in parts)
        if milliseconds > LONGEST_DURATION:
            raise ValueError("{value} is longer than 292 years: write a shorter duration")
        return milliseconds / 1000
    if _NUMBER.fullmatch(text):
        raise ValueError("{value} has no unit: did you mean {in_seconds}?")
    raise ValueError(
        '{value} is not a duration: write one such as "30s" or "1m30s", '
        "with the units y, w, d, h, m, s, ms in that order"
    )


def duration_text(seconds: float) -> str:
    """The text of a duration, to the millisecond, with days as the largest unit: `1d30m`."""
    rest = round(seconds * 1000)
    text = ""
    for unit in ("d", "h", "m", "s", "ms"):
        count, rest = divmod(rest, _MILLISECONDS[unit])
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def size(text: str) -> int:
    """Bytes, from `8MiB`, `512KiB` or a plain number."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(
            '{value} is not a size: write one such as "8MiB", with the unit B, KiB, MiB or GiB'
        )
    return int(match[1]) * _BYTES[match[2] or "B"]


BASE_URL_PATTERN = r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s?#@/]+(/[^\s?#]*)?$"
PROXY_URL_PATTERN = r"^[Hh][Tt][Tt][Pp][Ss]?://([^\s?#/]*@)?[^\s?#/@]+/*$"
HOST_PATTERN = "^[A-Za-z0-9_.:-]+$"
_BASE_FORM = "https://host[:port][/path]"
_PROXY_FORM = "http://[user:password@]host[:port], with special characters in the password as %40"
_CALL_PATH = re.compile(r"[{}]|/stats/*$|/user/(login|refresh)/*$")
"""The path of one call: it has a placeholder, or ends as the paths that the exporter appends."""

_HOST_LABEL = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"{_HOST_LABEL}(\.{_HOST_LABEL})*\.?")


def base_url(text: str) -> str:
    """An http(s) URL to which paths can be appended, without a trailing slash."""
    parts = _parts(text, _BASE_FORM)
    if "@" in parts.netloc:
        raise ValueError("a base_url cannot have credentials: use login or authorization")
    _check_parts(parts, _BASE_FORM)
    if "?" in text or "#" in text:
        raise ValueError('this URL has a query or a fragment: remove everything from "?" or "#" on')
    if _CALL_PATH.search(parts.path):
        raise ValueError(f"this is the URL of one API call: write the base URL, as {_BASE_FORM}")
    return text.rstrip("/")


def proxy_url(text: str) -> str:
    """An http(s) URL of a proxy, optionally with user and password, without path and query."""
    parts = _parts(text, _PROXY_FORM)
    if parts.scheme.startswith("socks"):
        raise ValueError(f"SOCKS is not supported: write an HTTP proxy, as {_PROXY_FORM}")
    _check_parts(parts, _PROXY_FORM)
    if parts.path.strip("/") or "?" in text or "#" in text:
        raise ValueError(f"this URL has more than host and port: write it as {_PROXY_FORM}")
    return text.rstrip("/")


def host(text: str) -> str:
    """A DNS name or an IP address, without a zone."""
    if "%" in text or not _is_host(text):
        raise ValueError("this is not a DNS name or an IP address: fix it")
    return text


TLS_VERSIONS = {
    "TLS10": TLSVersion.TLSv1,
    "TLS11": TLSVersion.TLSv1_1,
    "TLS12": TLSVersion.TLSv1_2,
    "TLS13": TLSVersion.TLSv1_3,
}
"""Spelled as in Prometheus."""

TLS_VERSION_PATTERN = f"^({'|'.join(TLS_VERSIONS)})$"


def tls_version(text: str) -> TLSVersion:
    """A version of TLS, from `TLS12` or another of `TLS_VERSIONS`."""
    if text not in TLS_VERSIONS:
        raise ValueError(f"{{value}} is not one of {', '.join(TLS_VERSIONS)}: write one of them")
    return TLS_VERSIONS[text]


def _parts(text: str, form: str) -> SplitResult:
    if not text.isprintable() or " " in text:
        raise ValueError("this URL contains white space or a control character: remove it")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError(f"this is not a URL: write it as {form}") from None
    try:
        _ = parts.port  # raises where it is no port
    except ValueError:
        raise ValueError(
            f"the port of this URL is not a number up to 65535: write it as {form}"
        ) from None
    return parts


def _check_parts(parts: SplitResult, form: str) -> None:
    if parts.scheme not in {"http", "https"}:
        raise ValueError(f"this URL does not start with http:// or https://: write it as {form}")
    if not parts.hostname:
        raise ValueError(f"this URL has no host: write it as {form}")
    if not _is_host(parts.hostname):
        raise ValueError("the host of this URL is not a DNS name or an IP address: fix it")
    if parts.port == 0:
        raise ValueError("port 0 is not valid: write the real port")


def _is_host(host: str) -> bool:
    return _is_ip_address(host) if ":" in host else bool(_HOST.fullmatch(host))


def _is_ip_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_https(url: str) -> bool:
    """Whether this URL uses TLS."""
    return urlsplit(url).scheme == "https"


def is_exposed(url: str) -> bool:
    """Whether a token sent to this base URL crosses a network unencrypted."""
    host = urlsplit(url).hostname or ""
    if is_https(url) or host == "localhost":
        return False
    return not (_is_ip_address(host) and ip_address(host).is_loopback)


_QUOTATION = re.compile("(?<=range) .*|[^a-z ,:)>-].*", re.DOTALL)
"""The part of an error of `re` that quotes the pattern."""


def regex(text: str) -> re.Pattern[str]:
    """The compiled pattern. What `re` only warns about, such as `[[:alpha:]]`, is an error."""
    if not text:
        raise ValueError('this is empty: write an expression such as "media-.*", or remove it')
    if text.startswith("*"):
        raise ValueError('a regular expression cannot start with "*": write ".*" to match any text')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)
            return re.compile(text)
    except re.error as error:
        said = _QUOTATION.sub("", error.msg).strip()
        fault = f'at character {(error.pos or 0) + 1}: "{said}"'
    except (OverflowError, RecursionError):
        fault = "too large"
    except Warning:
        raise ValueError(
            "Python's regular expressions do not support [:alpha:] and nested sets: "
            "inside […], put a backslash before each of [ - & | ~"
        ) from None
    raise ValueError(f"this is not a valid Python regular expression ({fault}): fix it")
