"""One configuration at work: its polls, its listings, its tokens.

It writes into a store and a schedule that outlive it: a reload puts another engine in its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from functools import partial
from random import Random
from types import MappingProxyType
from typing import NamedTuple

import structlog

from exporter.clock import Clock
from exporter.config import Account, Config
from exporter.metrics.store import Prepared, Store
from exporter.model import Bucket, Fault, FoundBucket, Listing, Outcome, Reading
from exporter.polling.event_log import Journal, note_listing
from exporter.polling.history import History
from exporter.polling.poller import Poller
from exporter.polling.previous_day import ClosedDays, Question
from exporter.polling.scheduler import Schedule
from exporter.polling.sharding import Shard
from exporter.threads import in_thread
from exporter.upstream.account import Access, Shared, TlsContexts
from exporter.upstream.discovery import Assignment, Inventory, admitted, roster
from exporter.upstream.events import Observer
from exporter.upstream.parsing import Guard
from exporter.upstream.rate_limit import Pace
from exporter.upstream.request_slots import Places
from exporter.upstream.resolver import Resolver

PLAN_SPACING = 0.25
"""After a plan for what listings found, the next one waits for so long, seconds, for more."""

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


class _Arrived:
    """What listings have found since the newest plan."""

    def __init__(self) -> None:
        self.listed: dict[str, Inventory] = {}
        self.some = asyncio.Event()
        self.taken_in = asyncio.Event()


class Engine:
    """Polls the buckets of a configuration. `contexts`: those of its accounts."""

    def __init__(
        self,
        config: Config,
        *,
        contexts: TlsContexts,
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
        self._places = Places(limits.max_concurrent_requests, clock)
        self._arrived = _Arrived()
        pace = Pace(limits.max_requests_per_second, clock)
        shared = Shared(limits, guard, pace, clock, chance, observer, resolver)
        self.accesses = {
            account.name: Access(
                account, shared, contexts[account.tls], self._places.of(account.name)
            )
            for account in config.accounts
        }
        self._poller = Poller(
            schedule,
            self._poll,
            self._publish,
            self,
            places=self._places,
            pace=pace,
            clock=clock,
        )

    async def made_plan(self, change: Change = NO_CHANGE) -> Plan:
        """The plan, made in a thread: with many buckets it takes longer than a scrape may wait.

        Made again where other buckets were found meanwhile.
        """
        while True:
            known = dict(self._inventories)
            plan = await in_thread(partial(self.plan, known, change))
            if _found(known) == _found(self._inventories):
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
                group.create_task(self._take_in_listings())
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
            if after.stats is not outcome.stats:
                self._schedule.ask_after_grace(bucket.key, outcome.ended)
            timing = self._store.timing(bucket.key)
            self._closed_days.consider(bucket, timing, after, outcome.ended)
        self._progressed()

    def background_accounts(self) -> dict[str, float]:
        """The accounts that may be asked for a closed day, and since when that is wanted."""
        return self._closed_days.wanted(self._schedule.paused(self._clock.monotonic()))

    def background_work(self, account: str) -> Coroutine[None, None, None]:
        """The request for the next closed day that is wanted of an account."""
        return self._ask(self._closed_days.take(account))

    async def _ask(self, question: Question) -> None:
        bucket = question.bucket
        result = await self.accesses[bucket.account].client.day_stats(bucket.id, question.day)
        if self._is_retired:
            return
        now = self._clock.now()
        if not isinstance(result, Fault) and result.has_final_figures():
            if self._closed_days.answered(question):
                self._store.record_closed_day(bucket.key, result, now)
            return
        # An answer without figures may only mean that upstream has not closed the day yet.
        is_first = self._closed_days.failed(question, now.monotonic)
        if isinstance(result, Fault):
            self._schedule.heed(bucket.account, result, now.monotonic)
            if is_first:
                self._journal.note_missing_day(bucket, question.day, result)

    async def _discover(self, account: Account) -> None:
        """List an account's buckets again and again."""
        discovery = account.discovery
        while discovery is not None:
            await self._wait_out_pause(account.name)
            async with self._places.listing(account.name):
                if account.name in self._schedule.paused(self._clock.monotonic()):
                    continue  # since it waited for a place
                client = self.accesses[account.name].client
                result = await client.buckets(discovery.workspace_id)
            await self._take_in(account, result)
            inventory = self._inventories.get(account.name, Inventory())
            await self._clock.sleep(inventory.next_wait(discovery.refresh_interval, account.timing))

    async def _take_in(self, account: Account, result: Listing | Fault) -> None:
        if self._is_retired:
            return
        before = self._inventories.get(account.name, Inventory())
        after = before.after(result, self._clock.now())
        if isinstance(result, Fault):
            self._schedule.heed(account.name, result, self._clock.monotonic())
        if after.found == before.found:
            self._inventories[account.name] = after
        else:
            arrived = self._arrived
            arrived.listed[account.name] = after
            arrived.some.set()
            await arrived.taken_in.wait()
        if self._is_retired:
            return
        note_listing(account.name, before, after, len(admitted(account, after)))
        self._progressed()

    async def _take_in_listings(self) -> None:
        """Poll what listings have found, with one plan for all that has arrived meanwhile."""
        while True:
            await self._arrived.some.wait()
            arrived, self._arrived = self._arrived, _Arrived()
            plan = await self.made_plan(Change(listed=arrived.listed))
            if self._is_retired:
                return
            # Both at once: whoever sees that it was listed sees the buckets too.
            self._inventories.update(arrived.listed)
            self.deploy(plan)
            arrived.taken_in.set()
            await self._clock.sleep(PLAN_SPACING)

    async def _wait_out_pause(self, account: str) -> None:
        now = self._clock.monotonic()
        until = self._schedule.paused(now).get(account)
        if until is not None:
            await self._clock.sleep(until - now)

    def _recheck(self, account: str) -> None:
        """Poll the refused buckets of an account at once: what was refused may be granted now."""
        self._schedule.hurry(account, self._clock.monotonic())
        self._poller.wake()


def _found(inventories: Mapping[str, Inventory]) -> dict[str, tuple[FoundBucket, ...]]:
    """What of the listings a plan is made from."""
    return {name: inventory.found for name, inventory in inventories.items()}
