"""Where users get their tokens: which were issued, and which of them are good.

The state behind `POST /user/login` and `POST /user/refresh`. How tokens look lives in `tokens`,
how requests come in `server`.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

from exporter.simulator.calls import Answer, Grant, json_answer, refusal
from exporter.simulator.tokens import TokenRules, grant_answer, new_grant
from exporter.simulator.users import ANYONE, Mfa, User

_WITHOUT_SECOND_FACTOR = {
    Mfa.CHALLENGED: json_answer(200, {"success": True, "mfaRequired": True}),
    Mfa.REFUSED: refusal(403, "Multi-factor authentication is required"),
}


class Desk:
    """Logs users in and renews their tokens. `users` and `rules` may be replaced at any time.

    A grant counts from when it is handed out: what was refused, or lost on the way, changes
    nothing. The bodies of refusals are guesses after the API's others.
    """

    def __init__(self, seed: int, users: Iterable[User], rules: TokenRules) -> None:
        self.users = tuple(users)
        self.rules = rules
        self._seed = seed
        self._made: Counter[str] = Counter()
        self._access: dict[str, Grant] = {}
        self._refresh: dict[str, Grant] = {}
        self._revoked: set[str] = set()

    def login(self, fields: Mapping[str, object], now: float) -> Answer:
        """What a login is answered: tokens, 400, 401, or what a second factor comes to."""
        email, password = fields.get("email"), fields.get("password")
        if not (isinstance(email, str) and isinstance(password, str)):
            return refusal(400, "Email and password are required")
        user = self._user(email)
        if user is None or user.password != password:
            return refusal(401, "Invalid email or password")
        if user.mfa in _WITHOUT_SECOND_FACTOR:
            return _WITHOUT_SECOND_FACTOR[user.mfa]
        return grant_answer(self._new(user, now), self.rules.expires_at)

    def refresh(self, fields: Mapping[str, object], now: float) -> Answer:
        """What a refresh is answered: tokens, 400 or 401."""
        token = self.refresh_token(fields)
        if token is None:
            return refusal(400, f"{' or '.join(self.rules.spelling.value)} is required")
        used = self._refresh.get(token)
        user = self._user(used.email) if used else None
        if not (used and user) or token in self._revoked or now >= used.refresh_expires_at:
            return refusal(401, "Invalid or expired refresh token")
        grant = replace(self._new(user, now), replaces=token)
        if not self.rules.rotates:
            kept = used.refresh_expires_at
            grant = replace(grant, refresh_token=token, refresh_expires_at=kept)
        return grant_answer(grant, self.rules.expires_at)

    def refresh_token(self, fields: Mapping[str, object]) -> str | None:
        """The refresh token in a body, under a name that is accepted."""
        found = (fields.get(name) for name in self.rules.spelling.value)
        return next((token for token in found if isinstance(token, str)), None)

    def hand_out(self, grant: Grant) -> None:
        """From now on these tokens are good, and the refresh token that they replace is not."""
        self._access[grant.access_token] = grant
        if grant.replaces:
            self._refresh.pop(grant.replaces, None)
        self._refresh[grant.refresh_token] = grant

    def revoke(self, token: str) -> None:
        """A token of any kind, issued here or not, is no good any more."""
        self._revoked.add(token)

    def whose(self, token: str) -> str:
        """The e-mail address of whom a token was issued to; the token itself if to nobody."""
        grant = self._access.get(token) or self._refresh.get(token)
        return grant.email if grant else token

    def caller(self, token: str, now: float, others: Collection[str] | None) -> User | None:
        """Who comes with an access token; None where it is not accepted.

        Accepted are those issued here and `others`; without users, `None` means any.
        """
        if not token or token in self._revoked:
            return None
        if token in others if others is not None else not self.users:
            return ANYONE
        grant = self._access.get(token)
        if grant is None or now >= grant.expires_at:
            return None
        user = self._user(grant.email)
        return user if user and user.mfa is Mfa.OFF else None

    def _user(self, email: str) -> User | None:
        return next((user for user in self.users if user.email == email), None)

    def _new(self, user: User, now: float) -> Grant:
        self._made[user.email] += 1
        return new_grant(user, now, self.rules, self._seed, self._made[user.email])
