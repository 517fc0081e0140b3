"""Who may log in, and what they then may see.

Values only: which tokens there are is `desk`'s to know.
"""

from dataclasses import dataclass, field
from enum import Enum, auto


class Mfa(Enum):
    """What a login without a second factor comes to. Undocumented: each form is a guess.

    That such an account gets no usable token this way is all that is known. `PARTIAL` is the
    reading which the vendor's client suggests, where it tells full-access tokens from others.
    """

    OFF = auto()  # no second factor: tokens
    CHALLENGED = auto()  # 200, mfaRequired and no tokens
    REFUSED = auto()  # 403 with a message
    PARTIAL = auto()  # 200 with tokens that every other call refuses with a 401


@dataclass(frozen=True, slots=True)
class User:
    """An account of the API's."""

    email: str
    password: str = field(repr=False)
    workspaces: frozenset[str] | None = None  # None: all
    mfa: Mfa = Mfa.OFF

    def sees(self, workspace: str) -> bool:
        """Whether the user has a workspace, and with it the buckets in it."""
        return self.workspaces is None or workspace in self.workspaces


ANYONE = User("", "")
"""Who comes with a token that is accepted though it was never issued; sees all."""
