"""What goes wrong, and what people change, in an order that a seed decides."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from exporter import simulator
from tests.truth.plan import Holder, Plan, Planned, Search
from tests.truth.stage import USER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    from tests.truth.checker import Checker
    from tests.truth.stage import Stage

HEAVY = {"gzip-bomb", "huge-body", "deep-json", "hundreds-of-nodes"}
"""Scenarios that keep a machine busy: for one bucket at a time."""

AT_MIDNIGHT = (
    "empty-new-day/window=00:00-00:20",
    "half-filled-new-day/window=00:00-00:20",
    "empty-new-day",
    "half-filled-new-day",
    "fast-clock",
    "slow-clock",
    "churn",
)
"""Longer than any grace, and within it."""

MIDNIGHT_SHARE = 0.6
"""How often one of these is part of a trouble."""

SHARES = (0.1, 0.3, 0.6, 1)
PLAIN = tuple(f"b{number:02}" for number in range(24))
ODD = ("a/b c", 'quo"te', "back\\slash", "é☃", "50%", "0123", "a?b#c", "{x}", "...")
FINDABLE = tuple(simulator.Bucket(f"d{number}", f"found-{number}") for number in range(8))
OUT_OF_SIGHT = "workspace-2"
FIRST_TOKENS = ("given-0", "file-0")
"""Of the account whose token stands in the configuration, and of the one that has a file."""

FAST, SLOW = 1000.0, 0.3
"""Requests a second; the second is too few for all polls."""

STATUSES = ("ONLINE", "OFFLINE", "DISCONNECTED", "DEGRADED", "MAINTENANCE")


def first_plan(directory: str) -> Plan:
    """Three accounts: one logs in and finds its buckets, one has a token file, one a token."""
    hand = [Planned(bucket) for bucket in (*PLAIN, *ODD)]
    login = {"login": {"email": USER.email, "password_file": f"{directory}/password"}}
    file = {"authorization": {"credentials_file": f"{directory}/token"}}
    given = {"authorization": {"credentials": FIRST_TOKENS[0]}}
    return Plan(
        (
            Holder("login", login, tuple(hand[:4]), Search()),
            Holder("file", file, tuple(hand[4:16]), None, 45, 150),
            Holder("given", given, tuple(hand[16:]), None, 60, 240),
        )
    )


def buckets() -> tuple[simulator.Bucket, ...]:
    """What there is at first."""
    hand = (simulator.Bucket(bucket, "", OUT_OF_SIGHT) for bucket in (*PLAIN, *ODD))
    return (*hand, *FINDABLE)


class Director:
    """Makes things happen."""

    def __init__(self, chance: Random, stage: Stage, checker: Checker) -> None:
        self.journal: list[str] = []
        self.counts: Counter[str] = Counter()
        self._chance = chance
        self._stage = stage
        self._checker = checker
        self._tokens = FIRST_TOKENS
        self._acts: dict[Callable[[], Awaitable[str]], int] = {
            self._trouble: 12,
            self._calm: 4,
            self._rename: 3,
            self._add_or_remove: 4,
            self._move: 1,
            self._know_other_statuses: 2,
            self._change_intervals: 3,
            self._change_rules: 1,
            self._throttle: 1,
            self._break_the_file: 2,
            self._reload_the_same: 2,
            self._go_elsewhere: 1,
            self._search_otherwise: 2,
            self._change_what_there_is: 4,
            self._swap_the_token: 3,
            self._spoil_a_secret: 2,
            self._mend_the_secrets: 3,
            self._change_token_rules: 1,
            self._set_the_clock: 1,
            self._sleep: 1,
        }

    def prepare(self) -> None:
        """Put the files in place that the first plan names."""
        self._secret("password", USER.password)
        self._secret("token", self._tokens[1])
        self._stage.api.tokens = self._tokens
        self._stage.write(self._checker.plan)

    async def act(self) -> None:
        """Let one thing happen."""
        acts = list(self._acts)
        act = self._chance.choices(acts, list(self._acts.values()))[0]
        self._note(act.__name__.strip("_"), await act())

    async def make_good(self) -> None:
        """End all trouble, and mend what was broken."""
        self._stage.api.desk.rules = simulator.TokenRules()
        await self._mend_the_secrets()
        self._stage.api.play("")
        self._stage.api.buckets = buckets()
        self._stage.api.forbidden = ()
        await self._apply(replace(self._checker.plan, max_per_second=FAST))
        self._note("make_good", "")

    def _note(self, act: str, what: str) -> None:
        self.counts[act] += 1
        now = self._stage.clock.monotonic()
        self.journal.append(f"{now:10.1f} {self._stage.clock.wall() % 86400:8.1f} {act}: {what}")

    async def _trouble(self) -> str:
        names = self._chance.sample(list(simulator.SCENARIOS), self._chance.randint(1, 4))
        troubles = [self._limited(name) for name in names]
        if self._chance.random() < MIDNIGHT_SHARE:
            troubles.append(self._chance.choice(AT_MIDNIGHT))
        text = ",".join(troubles)
        self._stage.api.play(text)
        return text

    def _limited(self, name: str) -> str:
        share = f"{name}/share={self._chance.choice(SHARES)}"
        of_stats = simulator.CallKind.STATS in simulator.SCENARIOS[name].calls
        hits = self._chance.sample(PLAIN, 1 if name in HEAVY else self._chance.randint(1, 8))
        if of_stats and (name in HEAVY or self._chance.random() < 0.5):
            return share + "".join(f"/bucket={bucket}" for bucket in hits)
        return share

    async def _calm(self) -> str:
        self._stage.api.play("")
        return ""

    async def _apply(self, plan: Plan) -> str:
        """Write a plan down and have it loaded."""
        self._stage.write(plan)
        status, text = await self._stage.reload()
        assert status == 200, text
        self._checker.last_reload_worked = True
        self._checker.replan(plan)
        return ""

    async def _change(self, holder: Holder) -> str:
        """Put another account in the place of the one of its name."""
        plan = self._checker.plan
        others = tuple(holder if each.name == holder.name else each for each in plan.holders)
        await self._apply(replace(plan, holders=others))
        return repr(holder)

    def _any_holder(self) -> Holder:
        return self._chance.choice(self._checker.plan.holders)

    async def _rename(self) -> str:
        holder = self._any_holder()
        index = self._chance.randrange(len(holder.buckets))
        labels = {"team": self._chance.choice(["media", 'q"\\', "é☃"])}
        name = f"name {self._chance.randrange(100)}"
        bucket = replace(holder.buckets[index], name=name, labels=labels)
        listed = (*holder.buckets[:index], bucket, *holder.buckets[index + 1 :])
        return await self._change(replace(holder, buckets=listed))

    async def _add_or_remove(self) -> str:
        holder = self._any_holder()
        taken = {bucket.id for each in self._checker.plan.holders for bucket in each.buckets}
        free = [bucket for bucket in (*PLAIN, *ODD) if bucket not in taken]
        chosen = self._chance.sample(free, min(len(free), self._chance.randint(0, 3)))
        kept = self._chance.sample(holder.buckets, max(1, len(holder.buckets) - 2))
        added = (Planned(bucket) for bucket in chosen)
        return await self._change(replace(holder, buckets=(*kept, *added)))

    async def _move(self) -> str:
        """A bucket changes from one account to another."""
        plan = self._checker.plan
        source, target = self._chance.sample(plan.holders, 2)
        if len(source.buckets) < 2:
            return "nothing"
        moved, *left = source.buckets
        holders = {each.name: each for each in plan.holders}
        holders[source.name] = replace(source, buckets=tuple(left))
        holders[target.name] = replace(target, buckets=(*target.buckets, moved))
        await self._apply(replace(plan, holders=tuple(holders.values())))
        return f"{moved} from {source.name} to {target.name}"

    async def _know_other_statuses(self) -> str:
        known = tuple(self._chance.sample(STATUSES, self._chance.randint(1, len(STATUSES))))
        await self._apply(replace(self._checker.plan, known_statuses=known))
        return str(known)

    async def _change_intervals(self) -> str:
        holder, interval = self._any_holder(), self._chance.choice([30, 45, 60, 90])
        least = 2 * interval + self._checker.plan.poll_timeout
        stale_after = self._chance.choice([least, least + 60, 300])
        changed = replace(holder, poll_interval=interval, stale_after=stale_after)
        return await self._change(changed)

    async def _change_rules(self) -> str:
        grace, recheck = self._chance.choice([120, 300, 600]), self._chance.choice([60, 240, 400])
        plan = replace(self._checker.plan, rollover_grace=grace, recheck_interval=recheck)
        await self._apply(plan)
        return f"grace {grace}, recheck {recheck}"

    async def _throttle(self) -> str:
        """Fewer requests than there are polls: these start late, and the lag has to show it."""
        slow = self._checker.plan.max_per_second < FAST
        await self._apply(replace(self._checker.plan, max_per_second=FAST if slow else SLOW))
        return "no more" if slow else f"{SLOW} requests a second"

    async def _break_the_file(self) -> str:
        """What cannot be used changes nothing."""
        text = self._stage.file.read_text("utf-8")
        broken = self._chance.choice(["", text[:-5], text.replace("accounts", "holders"), "\0"])
        self._stage.file.write_text(broken, "utf-8")
        status, said = await self._stage.reload()
        assert status == 500, said
        assert said
        self._checker.last_reload_worked = False
        return repr(broken[:20])

    async def _reload_the_same(self) -> str:
        return await self._apply(self._checker.plan)

    async def _go_elsewhere(self) -> str:
        """The same API under another name is another API."""
        holder = self._any_holder()
        host = "localhost" if holder.host == "127.0.0.1" else "127.0.0.1"
        return await self._change(replace(holder, host=host))

    async def _search_otherwise(self) -> str:
        holder = next(each for each in self._checker.plan.holders if each.logs_in)
        search = Search(
            self._chance.choice([30, 60, 120]),
            self._chance.choice(["", simulator.WORKSPACE]),
            self._chance.choice(["", ".*-[0-3]"]),
        )
        return await self._change(
            replace(holder, search=self._chance.choice([search, search, None]))
        )

    async def _change_what_there_is(self) -> str:
        """Buckets come, go, are renamed, or are not for everyone."""
        there = buckets()
        gone = self._chance.sample(there, self._chance.randint(0, 4))
        self._stage.api.buckets = tuple(
            replace(each, name=f"renamed-{self._chance.randrange(5)}")
            if each.name and self._chance.random() < 0.2
            else each
            for each in there
            if each not in gone
        )
        self._stage.api.forbidden = self._chance.sample(PLAIN, self._chance.randint(0, 2))
        return f"gone {[each.id for each in gone]}, forbidden {self._stage.api.forbidden}"

    async def _swap_the_token(self) -> str:
        """The one in the file; the old one ends at once."""
        self._tokens = (self._tokens[0], f"file-{sum(self.counts.values())}")
        self._stage.api.tokens = self._tokens
        self._secret("token", self._tokens[1])
        return self._tokens[1]

    async def _spoil_a_secret(self) -> str:
        name, text = self._chance.choice(["token", "password"]), self._chance.choice(["", "wrong"])
        if self._chance.random() < 0.3:
            (self._stage.directory / name).unlink(missing_ok=True)
            return f"{name} is gone"
        self._secret(name, text)
        return f"{name} is {text!r}"

    async def _mend_the_secrets(self) -> str:
        self._secret("password", USER.password)
        self._tokens = (f"given-{sum(self.counts.values())}", self._tokens[1])
        given = next(each for each in self._checker.plan.holders if each.has_fixed_token)
        access = {"authorization": {"credentials": self._tokens[0]}}
        await self._change(replace(given, access=access))
        return await self._swap_the_token()

    def _secret(self, name: str, text: str) -> None:
        """Replace a file as a careful person does."""
        new = self._stage.directory / f"{name}.new"
        new.write_text(f"{text}\n", "utf-8")
        new.replace(self._stage.directory / name)

    async def _change_token_rules(self) -> str:
        rules = simulator.TokenRules(
            lifetime=self._chance.choice([60.0, 240.0, 3600.0]),
            refresh_lifetime=self._chance.choice([float("inf"), 300.0]),
            rotates=self._chance.random() < 0.7,
            spelling=self._chance.choice(list(simulator.Spelling)),
            delay=self._chance.choice([0.0, 2.0]),
        )
        self._stage.api.desk.rules = rules
        return str(rules)

    async def _set_the_clock(self) -> str:
        seconds = self._chance.choice([-1, 1]) * self._chance.uniform(1, 90)
        self._stage.clock.set_wall(self._stage.clock.wall() + seconds)
        return f"by {seconds:.1f}s"

    async def _sleep(self) -> str:
        seconds = self._chance.uniform(1, 400)
        self._stage.clock.suspend(seconds)
        return f"for {seconds:.1f}s"
