"""Environment variables in values: `${NAME}`, `${NAME:-default}`, and `$${` for a literal `${`.

Text in, text out. What a variable holds is never expanded again and never put into a message.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        state = "is empty" if name in environ else "is not set"
        faults.append(
            f"the environment variable {name} {state}: "
            f'set it, or give a default as in "${{{name}:-default}}"'
        )
    return value or default or ""
