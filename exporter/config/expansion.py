"""Environment variables in values: `${NAME}`, `${NAME:-default}`, and `$${` for a literal `${`.

Text in, text out. What a variable holds is never expanded again and never put into a message.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches

_REFERENCE = re.compile(
    r"""
    (?P<literal> \$\$\{ )
    | \$\{ (?P<name> [A-Za-z_][A-Za-z0-9_]* ) (?: :- (?P<default> [^}]* ) )? \}
    | (?P<malformed> \$\{ )
    """,
    re.VERBOSE,
)
_MALFORMED = (
    '"${" is not followed by a variable\'s name and "}": '
    'write "${NAME}" or "${NAME:-default}", and "$${" for a literal "${"'
)
_NESTED = 'a default cannot hold another "${…}": write the default itself'


def expand(text: str, environ: Mapping[str, str], faults: list[str]) -> str:
    """The text with its references replaced, once. What is wrong with them goes to `faults`."""
    if "${" not in text:
        return text

    def replacement(reference: re.Match[str]) -> str:
        if reference["literal"]:
            return "${"
        if reference["malformed"]:
            faults.append(_MALFORMED)
            return ""
        return _value(reference["name"], reference["default"], environ, faults)

    return _REFERENCE.sub(replacement, text)


def _value(name: str, default: str | None, environ: Mapping[str, str], faults: list[str]) -> str:
    value = environ.get(name, "")
    if default is not None and "${" in default:
        faults.append(_NESTED)
    elif not value and default is None:
        faults.append(_absent(name, environ))
    return value or default or ""


def _absent(name: str, environ: Mapping[str, str]) -> str:
    remedy = f'set it, or give a default as in "${{{name}:-default}}"'
    if name in environ:
        return f"the environment variable {name} is empty: {remedy}"
    if close := get_close_matches(name, environ, 1, 0.85) or _other_case(name, environ):
        remedy = f"did you mean {close[0]}?"
    return f"the environment variable {name} is not set: {remedy}"


def _other_case(name: str, environ: Mapping[str, str]) -> list[str]:
    return [each for each in environ if each.upper() == name.upper()]
