"""The files that hold tokens and passwords, as a person who checks a configuration wants them seen.

Who polls follows them when they change, and goes on where one is not there yet. Nothing of what
they hold is kept or put into a message, nor are their names: people write the secret itself there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from exporter.blocking import SECRET_LIMIT, read_file
from exporter.config.values import password, token
from exporter.config.yaml_tree import Tree

_KEYS: dict[tuple[str, str], Callable[[str], str]] = {
    ("authorization", "credentials_file"): token,
    ("login", "password_file"): password,
}
"""The keys that name such files, and what the files' texts must be."""


def report_secret_files(tree: Tree, directory: Path) -> None:
    """Report each file that gives no secret. Comes after the problems of single values."""
    for account, _ in tree.children(("accounts",)):
        for key, accepted in _KEYS.items():
            place = (*account, *key)
            found, node = tree.nearest(place)
            if found != place or not isinstance(node.value, str) or tree.report.has(place):
                continue
            if fault := _fault(directory / node.value, accepted):
                tree.refuse(place, fault)


def _fault(path: Path, accepted: Callable[[str], str]) -> str | None:
    try:
        _check(read_file(path, SECRET_LIMIT).decode().strip(), accepted)
    except FileNotFoundError:
        return "there is no such file: write the secret into a file, and its path here"
    except OSError as error:
        return (
            f"this file cannot be read ({error.strerror}):"
            " name a regular file of at most 1 MiB that the exporter may read"
        )
    except UnicodeDecodeError:
        return "this file is not UTF-8: save it in that encoding"
    except ValueError as error:
        return f"in this file: {error}"
    return None


def _check(text: str, accepted: Callable[[str], str]) -> None:
    if text.startswith("\ufeff"):
        raise ValueError("there is a byte order mark: save it as UTF-8 without one")
    if "\n" in text:
        raise ValueError("there is more than one line: leave the secret alone")
    accepted(text)
