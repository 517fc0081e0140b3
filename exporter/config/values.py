"""What names, ids, labels, addresses and secrets may look like.

Pure functions from text to text. They raise ValueError with what to do about it; none of these
messages quotes the text, since it may be a secret or hold one.
"""

from __future__ import annotations

import re

LABEL_VALUE_LENGTH = 256
"""Where the exposition cuts label values: longer ids could no longer be told apart."""

LABEL_NAME_PATTERN = "^[a-zA-Z_][a-zA-Z0-9_]*$"
_LABEL_NAME = re.compile(LABEL_NAME_PATTERN)

EXPORTER_LABELS = frozenset(
    {
        *("account", "bucket_id", "call", "code", "field", "host", "ip", "kind", "name"),
        *("python_version", "reason", "region", "revision", "shard_ordinal", "status"),
        *("storage_type", "version", "workspace_id"),
    }
)
"""The label names of the exporter's own metrics."""

PROMETHEUS_LABELS = frozenset({"le", "quantile", "job", "instance"})
"""The label names that Prometheus gives a meaning or sets itself."""


NAME_PATTERN = r"^\S(.*\S)?$"

VISIBLE_ASCII_PATTERN = r"^\s*[!-~]+\s*$"
_VISIBLE_ASCII = re.compile("[!-~]+")

EMAIL_PATTERN = r"^[^\s@]+@[^\s@]+$"
_EMAIL = re.compile(EMAIL_PATTERN)

_NO_ID = re.compile(r"""://|^["'<$\u2018-\u201f]""")
"""What is in an id only by mistake: YAML takes most texts for one."""

_QUOTES = frozenset("\"'\u2018\u2019\u201c\u201d")
_TOKEN_FAULTS = (
    (r"(?i)bearer\s", 'write the token alone, without "Bearer" in front'),
    (r"\$", 'a variable is written as "${NAME}": write that, or the token itself'),
    (r"<", "this is a placeholder: write your own token in its place"),
    (r"\{", "this is JSON: write what it holds as accessToken alone"),
    (r"[A-Z_]+=.*[^=]", 'write the token alone, without "NAME=" in front'),
)
"""What no token starts with, and what to do then."""


def label_value(text: str) -> str:
    """Any printable text, also an empty one."""
    if not text.isprintable():
        raise ValueError(
            "this holds a character that cannot be printed: write it on one line, as text"
        )
    return text


def name(text: str) -> str:
    """A printable text that is not empty and has no white space around it."""
    if not text:
        raise ValueError("this is empty: write a text, or remove it")
    if text != text.strip():
        raise ValueError("this has white space around it: remove that")
    return label_value(text)


def bucket_id(text: str) -> str:
    """A name that can stand in a URL's path and in a label."""
    if name(text) in {".", ".."}:
        raise ValueError('this cannot be "." or "..", which mean something else in a URL')
    if len(text) > LABEL_VALUE_LENGTH:
        raise ValueError(
            f"this is longer than {LABEL_VALUE_LENGTH} characters: is it a bucket's id?"
        )
    if text.startswith(("id:", "id ")):
        raise ValueError('this starts with "id": write "id: " with a colon and a space')
    if _NO_ID.search(text):
        raise ValueError("this is no bucket's id: write the id alone, without anything around it")
    return text


def label_name(text: str) -> str:
    """A name that a bucket's own label may have."""
    if not _LABEL_NAME.fullmatch(text):
        raise ValueError(
            "this is not a label name: use letters, digits and _, with no digit in front"
        )
    if text.startswith("__"):
        raise ValueError("label names with __ in front are Prometheus's own: choose another")
    if text in PROMETHEUS_LABELS:
        raise ValueError("Prometheus itself uses this label name: choose another")
    if text in EXPORTER_LABELS:
        raise ValueError("the exporter itself uses this label name: choose another")
    return text


def token(text: str) -> str:
    """A bearer token, without the white space around it."""
    stripped = text.strip()
    if not stripped:
        raise ValueError("this is empty: write the token")
    if not _QUOTES.isdisjoint({stripped[0], stripped[-1]}):
        raise ValueError("the quotes are part of the value here: write the token alone")
    for start, fault in _TOKEN_FAULTS:
        if re.match(start, stripped):
            raise ValueError(fault)
    if not _VISIBLE_ASCII.fullmatch(stripped):
        raise ValueError("a token is visible ASCII without spaces: copy it once more")
    return stripped


def email(text: str) -> str:
    """An e-mail address, as far as its form goes."""
    if not _EMAIL.fullmatch(name(text)):
        raise ValueError("this is not an e-mail address: write it as ops@example.com")
    return text


def password(text: str) -> str:
    """Any text that is not empty, exactly as it is."""
    if not text:
        raise ValueError("this is empty: write the password")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("this holds bytes that are no text: set the variable in UTF-8")
    return text
