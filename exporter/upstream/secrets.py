"""Which secrets an account holds, and whether a text quotes one of them. Pure.

An API may put what it was sent into the message of an answer, at once or later.
"""

from __future__ import annotations

import json
from collections import deque

from exporter.upstream.parsing import printable_line

SHORTEST_SECRET = 4
"""What is shorter stands in any text by chance: leaving the text out would only show that."""

SHORTEST_PIECE = 8
"""How much of a secret must stand at the end of a text for the text to quote it."""

KEPT = 4
"""Of each kind: an old token may still be in use when the new one is there, and be quoted late."""


class Secrets:
    """The newest secrets of each kind."""

    def __init__(self) -> None:
        self._held: dict[str, deque[str]] = {}

    def add(self, kind: str, secret: str) -> None:
        """Take a secret in; of its kind the oldest may be dropped for it."""
        held = self._held.setdefault(kind, deque(maxlen=KEPT))
        if len(secret) >= SHORTEST_SECRET and secret not in held:
            held.append(secret)

    def take_over(self, previous: Secrets) -> None:
        """Hold also what those before held: it may be quoted late as well."""
        for kind, before in previous._held.items():
            now = self._held.get(kind, ())
            self._held[kind] = deque([*before, *now], maxlen=KEPT)

    def are_quoted_in(self, text: str) -> bool:
        """Whether the text has a secret in it, or ends within one, as where it was cut."""
        return any(
            form in text or _ends_within(text, form)
            for held in self._held.values()
            for secret in held
            for form in _forms(secret)
        )


def _forms(secret: str) -> set[str]:
    """A secret as messages have it: itself, or as it was sent in JSON, made fit for a line."""
    sent = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return sent | {printable_line(form) for form in sent}


def _ends_within(text: str, secret: str) -> bool:
    piece = secret[:SHORTEST_PIECE]
    begin = text.find(piece) if len(piece) == SHORTEST_PIECE else -1
    while begin >= 0 and not secret.startswith(text[begin:]):
        begin = text.find(piece, begin + 1)
    return begin >= 0
