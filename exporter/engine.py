"""One configuration at work: its polls, its listings, its tokens.

It writes into a store and a schedule that outlive it: a reload puts another engine in its place.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import structlog

from exporter.access import Access, Shared
from exporter.inventory import Inventory, admitted, roster
from exporter.journal import Journal, note_listing
from exporter.model import Fault, Reading
from exporter.poller import Poller
from exporter.upstream.pace import Pace
from exporter.upstream.parsing import Guard

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from random import Random

    from exporter.clock import Clock
    from exporter.closed_days import ClosedDays, Question
    from exporter.config import Account, Config
    from exporter.history import History
    from exporter.inventory import Assignment
    from exporter.model import Bucket, FoundBucket, Outcome
    from exporter.schedule import Schedule
    from exporter.sharding import Shard
    from exporter.store import Prepared, Store
    from exporter.upstream.events import Observer
    from exporter.upstream.resolver import Resolver

_log = structlog.get_logger()


class Change(NamedTuple):
    """What is about to change: the accounts of which something known is not true any more."""

    asked_elsewhere: frozenset[str] = frozenset()  # of their buckets
    listed_elsewhere: frozenset[str] = frozenset()  # of which buckets they have
    listed: Mapping[str, Inventory] = MappingProxyType({})  # what is new of that


NO_CHANGE = Change()


class Plan(NamedTuple):
    """The buckets to poll, and what is made ready for them."""

    mine: list[Assignment]
    losers: tuple[Bucket, ...]  # found, but another account polls them
    prepared: Prepared


class Engine:
    """Polls the buckets of a configuration. Raises OSError where its TLS files cannot be used."""

    def __init__(
        self,
        config: Config,
        *,
        store: Store,
        schedule: Schedule,
        closed_days: ClosedDays,
        history: History,
        inventories: dict[str, Inventory],
        clock: Clock,
        chance: Random,
        observer: Observer,
        journal: Journal,
        shard: Shard,
        resolver: Resolver,
        progressed: Callable[[], None],
    ) -> None:
        self.config = config
        self._journal = journal
        self._shard = shard
        self._is_retired = False
        self._store = store
        self._schedule = schedule
        self._closed_days = closed_days
        self._history = history
        self._inventories = inventories
        self._clock = clock
        self._progressed = progressed
        limits = config.limits
        guard = Guard(frozenset(config.known_statuses), limits.max_nodes_per_bucket)
        self._pace = Pace(limits.max_requests_per_second, clock)
        shared = Shared(limits, guard, self._pace, clock, chance, observer, resolver)
        self.accesses = {account.name: Access(account, shared) for account in config.accounts}
        self._poller = Poller(
            schedule,
            self._poll,
            self._publish,
            self._next_question,
            max_concurrent=limits.max_concurrent_requests,
            pace=self._pace,
            clock=clock,
        )

    async def made_plan(self, change: Change = NO_CHANGE) -> Plan:
        """The plan, made in a thread: with many buckets it takes longer than a scrape may wait."""
        while True:
            known = dict(self._inventories)
            plan = await asyncio.to_thread(self.plan, known, change)
            if known == self._inventories:
                return plan

    def plan(self, known: Mapping[str, Inventory], change: Change = NO_CHANGE) -> Plan:
        """Which buckets there are and what is known of them, once a change has been made.

        `known`: the listings, which nobody changes meanwhile: this may run in a thread.
        """
        listed = {
            name: inventory
            for name, inventory in known.items()
            if name not in change.listed_elsewhere
        }
        listed.update(change.listed)
        assigned = roster(self.config.accounts, listed)
        mine = [each for each in assigned.assignments if self._shard.owns(each.bucket.id)]
        statuses, now = self.config.known_statuses, self._clock.now()
        prepared = self._store.prepared(mine, statuses, now, change.asked_elsewhere)
        return Plan(mine, assigned.losers, prepared)

    def deploy(self, plan: Plan) -> None:
        """Hold and poll exactly the buckets of a plan."""
        now = self._clock.now()
        self._closed_days.hold(each.bucket.key for each in plan.mine)
        self._history.hold(each.bucket.key for each in plan.mine)
        self._store.take_in(plan.prepared, now)
        self._schedule.hold(plan.mine, now.monotonic)
        self._poller.wake()
        if plan.losers:
            _log.warning(
                "buckets_in_several_accounts",
                count=len(plan.losers),
                bucket_id=plan.losers[0].id,
                ignored_in=plan.losers[0].account,
            )

    async def run(self) -> None:
        """Poll until cancelled; the polls that run then are abandoned."""
        async with AsyncExitStack() as stack:
            for access in self.accesses.values():
                stack.push_async_callback(access.aclose)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._poller.run())
                for name, access in self.accesses.items():
                    group.create_task(access.credentials.run(partial(self._recheck, name)))
                for account in self.config.accounts:
                    if account.discovery is not None:
                        group.create_task(self._discover(account))

    def retire(self) -> None:
        """Touch store and schedule no more: they are another engine's from now on."""
        self._is_retired = True
        self._poller.retire()

    def resume(self, previous: Engine) -> None:
        """Go on with the tokens of another engine."""
        for name, access in self.accesses.items():
            before = previous.accesses.get(name)
            if before is None:
                continue
            access.resume(before)
            if before.account.credentials != access.account.credentials:
                self._recheck(name)

    def is_alive(self) -> bool:
        """Whether the poll loop beats."""
        return self._poller.is_alive()

    async def _poll(self, bucket: Bucket) -> Outcome:
        return await self.accesses[bucket.account].client.poll(bucket)

    def _publish(self, bucket: Bucket, outcome: Outcome) -> None:
        before, after = self._store.record(bucket.key, outcome)
        self._journal.note_transition(bucket, before, after)
        self._history.note(bucket.key, after)
        if isinstance(outcome, Reading):
            timing = self._store.timing(bucket.key)
            self._closed_days.consider(bucket, timing, after, outcome.ended)
        self._progressed()

    def _next_question(self) -> Coroutine[None, None, None] | None:
        """The asking for the next closed day, if any is wanted."""
        question = self._closed_days.take(self._schedule.paused(self._clock.monotonic()))
        return None if question is None else self._ask(question)

    async def _ask(self, question: Question) -> None:
        bucket = question.bucket
        result = await self.accesses[bucket.account].client.day_stats(bucket.id, question.day)
        if self._is_retired:
            return
        now = self._clock.now()
        if not isinstance(result, Fault):
            if not result.nodes:  # upstream may not have them yet: asked again, ever more rarely
                self._closed_days.failed(question, now.monotonic)
            elif self._closed_days.answered(question):
                self._store.record_closed_day(bucket.key, result, now)
            return
        self._schedule.heed(bucket.account, result, now.monotonic)
        if self._closed_days.failed(question, now.monotonic):
            self._journal.note_missing_day(bucket, question.day, result)

    async def _discover(self, account: Account) -> None:
        """List an account's buckets again and again."""
        discovery = account.discovery
        while discovery is not None:
            await self._wait_out_pause(account.name)
            await self._pace.turn()
            client = self.accesses[account.name].client
            await self._take_in(account, await client.buckets(discovery.workspace_id))
            inventory = self._inventories.get(account.name, Inventory())
            await self._clock.sleep(inventory.next_wait(discovery.refresh_interval, account.timing))

    async def _take_in(self, account: Account, result: tuple[FoundBucket, ...] | Fault) -> None:
        if self._is_retired:
            return
        now = self._clock.now()
        before = self._inventories.get(account.name, Inventory())
        after = before.after(result, now)
        plan = None
        if after.found != before.found:
            plan = await self.made_plan(Change(listed={account.name: after}))
            if self._is_retired:
                return
        # Both at once: whoever sees that it was listed sees the buckets too.
        self._inventories[account.name] = after
        if plan is not None:
            self.deploy(plan)
        if isinstance(result, Fault):
            self._schedule.heed(account.name, result, now.monotonic)
        note_listing(account.name, before, after, len(admitted(account, after)))
        self._progressed()

    async def _wait_out_pause(self, account: str) -> None:
        now = self._clock.monotonic()
        until = self._schedule.paused(now).get(account)
        if until is not None:
            await self._clock.sleep(until - now)

    def _recheck(self, account: str) -> None:
        """Poll the refused buckets of an account at once: what was refused may be granted now."""
        self._schedule.hurry(account, self._clock.monotonic())
        self._poller.wake()
