"""Problems of configuration files: one problem, all of them, the text of a place, "did you mean".

The module that finds a problem writes its message. Nothing here knows YAML, pydantic or the
rules, and nothing here may print a value that came from the environment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NoReturn, TypeAlias

from exporter.config.sources import Sources

Place: TypeAlias = tuple[str | int, ...]
"""The path from the root of the document to a value: keys and list indices."""

QUOTED_LENGTH = 60
"""The longest part of a value that a message quotes, in characters."""

_PLAIN_STEP = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY = re.compile(r"[A-Za-z_<-]{1,40}")


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem: where, what, and what to do. Its text is one line."""

    file: str
    line: int | None  # from 1; None: the file as a whole
    path: str  # as in `accounts[0].buckets[3].id`; empty for the whole document
    message: str

    def __str__(self) -> str:
        """`config.yaml:12: accounts[0].buckets[3].id: …`, without the parts that are unknown."""
        file = self.file if self.line is None else f"{self.file}:{self.line}"
        return ": ".join(part for part in (file, self.path, self.message) if part)


class ConfigError(Exception):
    """A configuration that cannot be used. Its text is one line per problem.

    `sources` are the files that were read, as in a `Config`: a change in one may fix the error.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        self.sources: Sources | None = None
        super().__init__("\n".join(map(str, self.problems)))


class Report:
    """Collects the problems of one file and its parts, to report all of them at once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._problems: list[Problem] = []
        self._places: set[Place] = set()
        self._parts: list[Report] = []

    def part(self, file: str) -> Report:
        """A report on another file, listed after this report's own problems."""
        self._parts.append(Report(file))
        return self._parts[-1]

    def add(self, line: int | None, place: Place, message: str) -> None:
        self._problems.append(Problem(self.file, line, path_text(place), message))
        self._places.add(place)

    def has(self, place: Place) -> bool:
        """Whether exactly this place already has a problem: a second one would only confuse."""
        return place in self._places

    def problems(self) -> list[Problem]:
        """Every problem, by file and line."""
        own = sorted(self._problems, key=lambda problem: problem.line or 0)
        return own + [problem for part in self._parts for problem in part.problems()]

    def raise_if_any(self) -> None:
        """Raise a ConfigError with every problem, if there is one."""
        if problems := self.problems():
            raise ConfigError(problems)

    def fail(self, line: int | None, place: Place, message: str) -> NoReturn:
        """Raise a ConfigError now: with this problem, the rest of the file cannot be read."""
        self.add(line, place, message)
        raise ConfigError(self._problems)


def path_text(place: Place) -> str:
    """A place as people write it: `accounts[0].buckets[3].labels["my-team"]`."""
    return "".join(_step_text(step) for step in place).removeprefix(".")


def _step_text(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if _PLAIN_STEP.fullmatch(step) else f"[{quoted(step)}]"


def quoted(text: str) -> str:
    """The text in double quotes, on one printable line, cut if it is long."""
    cut = text if len(text) <= QUOTED_LENGTH else f"{text[:QUOTED_LENGTH]}…"
    return json.dumps(cut, ensure_ascii=not cut.isprintable())


def key_text(key: str) -> str:
    """The key, quoted only if it looks like a key: in `{credentials:abc}` it contains a secret."""
    return f'the key "{key}"' if _KEY.fullmatch(key) else "this key"


_FOREIGN_NAMES = {
    "api_key": "authorization",
    "api_url": "base_url",
    "basic_auth": "login",
    "bearer_token": "authorization",
    "bearer_token_file": "authorization",
    "endpoint": "base_url",
    "token": "authorization",
    "token_file": "authorization",
    "url": "base_url",
    "user": "email",
    "username": "email",
}
"""Other programs' names for our keys, too different for `get_close_matches`."""


def meant(word: str, known: Collection[str]) -> str | None:
    """The known word that was most likely meant, if any."""
    plain = word[:QUOTED_LENGTH].lower().replace("-", "_")
    if (elsewhere := _FOREIGN_NAMES.get(plain)) in known:
        return elsewhere
    spellings = {each.lower(): each for each in known}
    return next((spellings[each] for each in get_close_matches(plain, spellings, 1)), None)


def misspelled(words: Collection[str], known: Collection[str]) -> set[str]:
    """The known words that `words` seems to misspell."""
    return {word for each in words if each not in known and (word := meant(each, known))}
