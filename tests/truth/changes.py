"""Random changes of the configuration. Each is reloaded, and the checker gets the new plan."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from exporter import simulator
from tests.truth.checker import Checker
from tests.truth.fixtures import ODD, PLAIN
from tests.truth.harness import Harness
from tests.truth.plan import Plan, PlannedAccount, PlannedBucket, PlannedDiscovery

FAST, SLOW = 1000.0, 0.3
"""Requests per second. The second rate is too low for all polls."""

STATUSES = ("ONLINE", "OFFLINE", "DISCONNECTED", "DEGRADED", "MAINTENANCE")


class ConfigChanges:
    """Applies single changes; each returns a description."""

    def __init__(self, rng: Random, harness: Harness, checker: Checker) -> None:
        self._rng = rng
        self._harness = harness
        self._checker = checker

    async def apply(self, plan: Plan) -> str:
        """Write a plan to the configuration file and reload it."""
        self._harness.write(plan)
        status, text = await self._harness.reload()
        assert status == 200, text
        self._checker.last_reload_worked = True
        self._checker.replan(plan)
        return ""

    async def change(self, account: PlannedAccount) -> str:
        """Replace the account with the same name."""
        plan = self._checker.plan
        others = tuple(account if each.name == account.name else each for each in plan.accounts)
        await self.apply(replace(plan, accounts=others))
        return repr(account)

    def _any_account(self) -> PlannedAccount:
        return self._rng.choice(self._checker.plan.accounts)

    async def rename(self) -> str:
        """Give a bucket another name and another label."""
        account = self._any_account()
        index = self._rng.randrange(len(account.buckets))
        labels = {"team": self._rng.choice(["media", 'q"\\', "é☃"])}
        name = f"name {self._rng.randrange(100)}"
        bucket = replace(account.buckets[index], name=name, labels=labels)
        listed = (*account.buckets[:index], bucket, *account.buckets[index + 1 :])
        return await self.change(replace(account, buckets=listed))

    async def add_or_remove(self) -> str:
        """Remove some buckets from an account and add others."""
        account = self._any_account()
        taken = {bucket.id for each in self._checker.plan.accounts for bucket in each.buckets}
        free = [bucket for bucket in (*PLAIN, *ODD) if bucket not in taken]
        chosen = self._rng.sample(free, min(len(free), self._rng.randint(0, 3)))
        kept = self._rng.sample(account.buckets, max(1, len(account.buckets) - 2))
        added = (PlannedBucket(bucket) for bucket in chosen)
        return await self.change(replace(account, buckets=(*kept, *added)))

    async def move(self) -> str:
        """Move a bucket to another account."""
        plan = self._checker.plan
        source, target = self._rng.sample(plan.accounts, 2)
        if len(source.buckets) < 2:
            return "nothing"
        moved, *left = source.buckets
        accounts = {each.name: each for each in plan.accounts}
        accounts[source.name] = replace(source, buckets=tuple(left))
        accounts[target.name] = replace(target, buckets=(*target.buckets, moved))
        await self.apply(replace(plan, accounts=tuple(accounts.values())))
        return f"{moved} from {source.name} to {target.name}"

    async def know_other_statuses(self) -> str:
        """Change `known_statuses`."""
        known = tuple(self._rng.sample(STATUSES, self._rng.randint(1, len(STATUSES))))
        await self.apply(replace(self._checker.plan, known_statuses=known))
        return str(known)

    async def change_intervals(self) -> str:
        """Change an account's poll interval."""
        account, interval = self._any_account(), self._rng.choice([30, 45, 60, 90])
        least = 2 * interval + self._checker.plan.poll_timeout
        stale_after = self._rng.choice([least, least + 60, 300])
        changed = replace(account, poll_interval=interval, stale_after=stale_after)
        return await self.change(changed)

    async def change_rules(self) -> str:
        """Change the grace period and the recheck interval."""
        grace, recheck = self._rng.choice([120, 300, 600]), self._rng.choice([60, 240, 400])
        plan = replace(self._checker.plan, rollover_grace=grace, recheck_interval=recheck)
        await self.apply(plan)
        return f"grace {grace}, recheck {recheck}"

    async def throttle(self) -> str:
        """Allow fewer requests than there are polls. They start late, which the lag must show."""
        slow = self._checker.plan.max_per_second < FAST
        await self.apply(replace(self._checker.plan, max_per_second=FAST if slow else SLOW))
        return "no more" if slow else f"{SLOW} requests a second"

    async def break_the_file(self) -> str:
        """Break the file. The reload must fail and change nothing."""
        text = self._harness.file.read_text("utf-8")
        broken = self._rng.choice(["", text[:-5], text.replace("accounts", "acc"), "\0"])
        self._harness.file.write_text(broken, "utf-8")
        status, said = await self._harness.reload()
        assert status == 500, said
        assert said
        self._checker.last_reload_worked = False
        return repr(broken[:20])

    async def reload_the_same(self) -> str:
        """Reload without a change."""
        return await self.apply(self._checker.plan)

    async def go_elsewhere(self) -> str:
        """Use another host name for the same API, which the exporter must treat as another API."""
        account = self._any_account()
        host = "localhost" if account.host == "127.0.0.1" else "127.0.0.1"
        return await self.change(replace(account, host=host))

    async def discover_otherwise(self) -> str:
        """Change the rules of discovery, or turn it off."""
        account = next(each for each in self._checker.plan.accounts if each.logs_in)
        discovery = PlannedDiscovery(
            self._rng.choice([30, 60, 120]),
            self._rng.choice(["", simulator.WORKSPACE]),
            self._rng.choice(["", ".*-[0-3]"]),
        )
        return await self.change(
            replace(account, discovery=self._rng.choice([discovery, discovery, None]))
        )
