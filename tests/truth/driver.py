"""Causes faults and changes the configuration, in an order that depends on the seed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random

from exporter import simulator
from tests.truth.changes import FAST, ConfigChanges
from tests.truth.checker import Checker
from tests.truth.fixtures import FIRST_TOKENS, PLAIN, buckets
from tests.truth.harness import USER, Harness

HEAVY = {"gzip-bomb", "huge-body", "deep-json", "hundreds-of-nodes"}
"""Scenarios that need much CPU time: only for one bucket at a time."""

AT_MIDNIGHT = (
    "empty-new-day/window=00:00-00:20",
    "half-filled-new-day/window=00:00-00:20",
    "empty-new-day",
    "half-filled-new-day",
    "fast-clock",
    "slow-clock",
    "churn",
)
"""Faults after midnight, both longer and shorter than the grace period."""

MIDNIGHT_FAULTS_SHARE = 0.6
"""The share of fault mixes that include one of these."""

SHARES = (0.1, 0.3, 0.6, 1)


class Driver:
    """Performs random actions."""

    def __init__(self, rng: Random, harness: Harness, checker: Checker) -> None:
        self.events: list[str] = []
        self.counts: Counter[str] = Counter()
        self._rng = rng
        self._harness = harness
        self._checker = checker
        self._changes = ConfigChanges(rng, harness, checker)
        self._tokens = FIRST_TOKENS
        self._actions: dict[Callable[[], Awaitable[str]], int] = {
            self._play_faults: 12,
            self._end_faults: 4,
            self._changes.rename: 3,
            self._changes.add_or_remove: 4,
            self._changes.move: 1,
            self._changes.know_other_statuses: 2,
            self._changes.change_intervals: 3,
            self._changes.change_rules: 1,
            self._changes.throttle: 1,
            self._changes.break_the_file: 2,
            self._changes.reload_the_same: 2,
            self._changes.go_elsewhere: 1,
            self._changes.discover_otherwise: 2,
            self._change_what_there_is: 4,
            self._swap_the_token: 3,
            self._break_a_secret: 2,
            self._fix_the_secrets: 3,
            self._change_token_rules: 1,
            self._set_the_clock: 1,
            self._sleep: 1,
        }

    def prepare(self) -> None:
        """Write the files for the first plan."""
        self._secret("password", USER.password)
        self._secret("token", self._tokens[1])
        self._harness.api.tokens = self._tokens
        self._harness.write(self._checker.plan)

    async def step(self) -> None:
        """Perform one action."""
        actions = list(self._actions)
        action = self._rng.choices(actions, list(self._actions.values()))[0]
        self._note(action.__name__.strip("_"), await action())

    async def repair_everything(self) -> None:
        """End all faults and restore what was broken."""
        self._harness.api.token_server.rules = simulator.TokenRules()
        await self._fix_the_secrets()
        self._harness.api.play("")
        self._harness.api.buckets = buckets()
        self._harness.api.forbidden = ()
        await self._changes.apply(replace(self._checker.plan, max_per_second=FAST))
        self._note("repair_everything", "")

    def _note(self, action: str, what: str) -> None:
        self.counts[action] += 1
        now = self._harness.clock.monotonic()
        self.events.append(
            f"{now:10.1f} {self._harness.clock.wall() % 86400:8.1f} {action}: {what}"
        )

    async def _play_faults(self) -> str:
        names = self._rng.sample(list(simulator.SCENARIOS), self._rng.randint(1, 4))
        faults = [self._limited(name) for name in names]
        if self._rng.random() < MIDNIGHT_FAULTS_SHARE:
            faults.append(self._rng.choice(AT_MIDNIGHT))
        text = ",".join(faults)
        self._harness.api.play(text)
        return text

    def _limited(self, name: str) -> str:
        share = f"{name}/share={self._rng.choice(SHARES)}"
        of_stats = simulator.CallKind.STATS in simulator.SCENARIOS[name].calls
        hits = self._rng.sample(PLAIN, 1 if name in HEAVY else self._rng.randint(1, 8))
        if of_stats and (name in HEAVY or self._rng.random() < 0.5):
            return share + "".join(f"/bucket={bucket}" for bucket in hits)
        return share

    async def _end_faults(self) -> str:
        self._harness.api.play("")
        return ""

    async def _change_what_there_is(self) -> str:
        """Remove, rename or forbid some buckets, and restore the others."""
        there = buckets()
        gone = self._rng.sample(there, self._rng.randint(0, 4))
        self._harness.api.buckets = tuple(
            replace(each, name=f"renamed-{self._rng.randrange(5)}")
            if each.name and self._rng.random() < 0.2
            else each
            for each in there
            if each not in gone
        )
        self._harness.api.forbidden = self._rng.sample(PLAIN, self._rng.randint(0, 2))
        return f"gone {[each.id for each in gone]}, forbidden {self._harness.api.forbidden}"

    async def _swap_the_token(self) -> str:
        """Replace the token in the file. The old one becomes invalid at once."""
        self._tokens = (self._tokens[0], f"file-{sum(self.counts.values())}")
        self._harness.api.tokens = self._tokens
        self._secret("token", self._tokens[1])
        return self._tokens[1]

    async def _break_a_secret(self) -> str:
        name, text = self._rng.choice(["token", "password"]), self._rng.choice(["", "wrong"])
        if self._rng.random() < 0.3:
            (self._harness.directory / name).unlink(missing_ok=True)
            return f"{name} is gone"
        self._secret(name, text)
        return f"{name} is {text!r}"

    async def _fix_the_secrets(self) -> str:
        self._secret("password", USER.password)
        self._tokens = (f"given-{sum(self.counts.values())}", self._tokens[1])
        given = next(each for each in self._checker.plan.accounts if each.has_fixed_token)
        access = {"authorization": {"credentials": self._tokens[0]}}
        await self._changes.change(replace(given, access=access))
        return await self._swap_the_token()

    def _secret(self, name: str, text: str) -> None:
        """Replace a file atomically."""
        new = self._harness.directory / f"{name}.new"
        new.write_text(f"{text}\n", "utf-8")
        new.replace(self._harness.directory / name)

    async def _change_token_rules(self) -> str:
        rules = simulator.TokenRules(
            lifetime=self._rng.choice([60.0, 240.0, 3600.0]),
            refresh_lifetime=self._rng.choice([float("inf"), 300.0]),
            rotates=self._rng.random() < 0.7,
            spelling=self._rng.choice(list(simulator.Spelling)),
            delay=self._rng.choice([0.0, 2.0]),
        )
        self._harness.api.token_server.rules = rules
        return str(rules)

    async def _set_the_clock(self) -> str:
        seconds = self._rng.choice([-1, 1]) * self._rng.uniform(1, 90)
        self._harness.clock.set_wall(self._harness.clock.wall() + seconds)
        return f"by {seconds:.1f}s"

    async def _sleep(self) -> str:
        seconds = self._rng.uniform(1, 400)
        self._harness.clock.suspend(seconds)
        return f"for {seconds:.1f}s"
