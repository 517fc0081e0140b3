"""Runs one configuration: its polls, discovery and tokens.

A reload replaces the runner. The targets and everything else that survives a reload belong to
`manager`.
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

from exporter.blocking import in_thread
from exporter.clock import Clock
from exporter.config import Account, Config
from exporter.model import ApiError, Bucket, GoodPoll, PollResult
from exporter.polling.event_log import EventLogger, log_discovery
from exporter.polling.poller import Poller
from exporter.polling.previous_day import PreviousDayQueue, PreviousDayRequest
from exporter.polling.scheduler import Scheduler
from exporter.polling.sharding import Shard
from exporter.polling.targets import PreparedTargets, Target, Targets
from exporter.upstream.account import AccountClient, ClientContext, TlsContexts
from exporter.upstream.discovery import DiscoveryState, FoundBucket, ListResponse, assign, filtered
from exporter.upstream.events import Observer
from exporter.upstream.parsing import ResponseLimits
from exporter.upstream.rate_limit import RateLimiter, RequestSlots
from exporter.upstream.transport import Connect

PLAN_SPACING = 0.25
"""Seconds between two plans for discovered buckets, so that one plan covers more list responses."""

_log = structlog.get_logger()


class Change(NamedTuple):
    """What changes with a plan, by account: what to drop, and new discovery states."""

    api_changed: frozenset[str] = frozenset()  # accounts whose values are dropped
    discovery_changed: frozenset[str] = frozenset()  # accounts whose discovered buckets are dropped
    listed: Mapping[str, DiscoveryState] = MappingProxyType({})  # new discovery states


NO_CHANGE = Change()


class Plan(NamedTuple):
    """The buckets to poll, with their prepared targets."""

    targets: PreparedTargets
    conflicts: tuple[Bucket, ...]  # discovered, but another account polls them


class _NewListResponses:
    """Discovery states since the newest plan."""

    def __init__(self) -> None:
        self.listed: dict[str, DiscoveryState] = {}
        self.some = asyncio.Event()
        self.applied = asyncio.Event()


class Runner:
    """Polls the buckets of a configuration. `contexts`: the TLS contexts of its accounts."""

    def __init__(
        self,
        config: Config,
        *,
        contexts: TlsContexts,
        targets: Targets,
        scheduler: Scheduler,
        previous_days: PreviousDayQueue,
        discovery_states: dict[str, DiscoveryState],
        clock: Clock,
        rng: Random,
        observer: Observer,
        event_logger: EventLogger,
        shard: Shard,
        connect: Connect,
        progressed: Callable[[], None],
    ) -> None:
        self.config = config
        self._event_logger = event_logger
        self._shard = shard
        self._is_retired = False
        self._targets = targets
        self._scheduler = scheduler
        self._previous_days = previous_days
        self._discovery_states = discovery_states
        self._clock = clock
        self._progressed = progressed
        limits = config.limits
        response_limits = ResponseLimits(
            frozenset(config.known_statuses), limits.max_nodes_per_bucket
        )
        self._slots = RequestSlots(limits.max_concurrent_requests, clock)
        self._new_list_responses = _NewListResponses()
        rate_limiter = RateLimiter(limits.max_requests_per_second, clock)
        shared = ClientContext(limits, response_limits, rate_limiter, clock, rng, observer, connect)
        self.account_clients = {
            account.name: AccountClient(
                account, shared, contexts[account.tls], self._slots.of(account.name)
            )
            for account in config.accounts
        }
        self._poller = Poller(
            scheduler,
            self._poll,
            self._publish,
            self,
            slots=self._slots,
            rate_limiter=rate_limiter,
            clock=clock,
        )

    async def build_plan(self, change: Change = NO_CHANGE) -> Plan:
        """Make the plan in a thread: with many buckets it takes too long for the event loop.

        It is made again if other buckets were discovered in the meantime.
        """
        while True:
            known = dict(self._discovery_states)
            plan = await in_thread(partial(self.plan, known, change))
            if _found(known) == _found(self._discovery_states):
                return plan

    def plan(self, known: Mapping[str, DiscoveryState], change: Change = NO_CHANGE) -> Plan:
        """The plan: which buckets to poll after `change`, and their targets.

        `known` must not change in the meantime, because this may run in a thread.
        """
        listed = {
            name: discovery_state
            for name, discovery_state in known.items()
            if name not in change.discovery_changed
        }
        listed.update(change.listed)
        assigned = assign(self.config.accounts, listed)
        mine = [each for each in assigned.assignments if self._shard.owns(each.bucket.id)]
        statuses, now = self.config.known_statuses, self._clock.now()
        prepared = self._targets.prepare(mine, statuses, now, change.api_changed)
        return Plan(prepared, assigned.conflicts)

    def activate(self, plan: Plan) -> None:
        now = self._clock.now()
        self._targets.sync(plan.targets, now)
        self._scheduler.sync(now.monotonic)
        self._previous_days.sync()
        self._poller.wake()
        if plan.conflicts:
            _log.warning(
                "buckets_in_several_accounts",
                count=len(plan.conflicts),
                bucket_id=plan.conflicts[0].id,
                ignored_in=plan.conflicts[0].account,
            )

    async def run(self) -> None:
        """Poll until cancelled. Polls in progress are then abandoned."""
        async with AsyncExitStack() as stack:
            for client in self.account_clients.values():
                stack.push_async_callback(client.aclose)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._poller.run())
                group.create_task(self._apply_list_responses())
                for name, client in self.account_clients.items():
                    group.create_task(client.credentials.run(partial(self._retry_refused, name)))
                for account in self.config.accounts:
                    if account.discovery is not None:
                        group.create_task(self._discover(account))

    def stop(self) -> None:
        """Stop changing the targets, which belong to another runner now."""
        self._is_retired = True
        self._poller.stop()

    def resume(self, previous: Runner) -> None:
        """Take over the tokens and server information of the previous runner."""
        for name, client in self.account_clients.items():
            before = previous.account_clients.get(name)
            if before is None:
                continue
            client.resume(before)
            if before.account.credentials != client.account.credentials:
                self._retry_refused(name)

    def is_alive(self) -> bool:
        return self._poller.is_alive()

    async def _poll(self, bucket: Bucket) -> PollResult:
        return await self.account_clients[bucket.account].client.poll(bucket)

    def _publish(self, target: Target, result: PollResult) -> None:
        before, after = self._targets.record(target, result)
        self._event_logger.log_transition(target.bucket, before, after)
        if isinstance(result, GoodPoll):
            if after.stats is not result.stats:
                self._scheduler.poll_after_grace(target, result.ended)
            self._previous_days.consider(target, result.ended)
        self._progressed()

    def background_accounts(self) -> dict[str, float]:
        """The accounts with a previous day to request, and since when."""
        return self._previous_days.wanted(self._scheduler.paused(self._clock.monotonic()))

    def background_work(self, account: str) -> Coroutine[None, None, None]:
        """Request the next previous day of an account."""
        return self._ask(self._previous_days.pop(account))

    async def _ask(self, request: PreviousDayRequest) -> None:
        bucket = request.target.bucket
        client = self.account_clients[bucket.account].client
        result = await client.day_stats(bucket.id, request.day)
        if self._is_retired:
            return
        now = self._clock.now()
        if not isinstance(result, ApiError) and result.has_previous_day_values():
            if self._previous_days.is_current(request):
                self._targets.record_previous_day(request.target, result, now)
            return
        # A response without values may only mean that the API has not finalised the day yet.
        is_first = self._previous_days.failed(request, now.monotonic)
        if isinstance(result, ApiError):
            self._scheduler.apply_pause(bucket.account, result, now.monotonic)
            if is_first:
                self._event_logger.log_missing_day(bucket, request.day, result)

    async def _discover(self, account: Account) -> None:
        discovery = account.discovery
        while discovery is not None:
            await self._wait_out_pause(account.name)
            async with self._slots.listing(account.name):
                if account.name in self._scheduler.paused(self._clock.monotonic()):
                    continue  # paused while it waited for a slot
                client = self.account_clients[account.name].client
                result = await client.buckets(discovery.workspace_id)
            await self._record_list_response(account, result)
            discovery_state = self._discovery_states.get(account.name, DiscoveryState())
            await self._clock.sleep(
                discovery_state.next_wait(discovery.refresh_interval, account.timing)
            )

    async def _record_list_response(
        self, account: Account, result: ListResponse | ApiError
    ) -> None:
        if self._is_retired:
            return
        before = self._discovery_states.get(account.name, DiscoveryState())
        after = before.after(result, self._clock.now())
        if isinstance(result, ApiError):
            self._scheduler.apply_pause(account.name, result, self._clock.monotonic())
        if after.found == before.found:
            self._discovery_states[account.name] = after
        else:
            new = self._new_list_responses
            new.listed[account.name] = after
            new.some.set()
            await new.applied.wait()
        if self._is_retired:
            return
        log_discovery(account.name, before, after, len(filtered(account, after)))
        self._progressed()

    async def _apply_list_responses(self) -> None:
        """Poll the discovered buckets, with one plan for all list responses since the last plan."""
        while True:
            await self._new_list_responses.some.wait()
            new, self._new_list_responses = self._new_list_responses, _NewListResponses()
            plan = await self.build_plan(Change(listed=new.listed))
            if self._is_retired:
                return
            # Together: a discovery must not show as done before its buckets do.
            self._discovery_states.update(new.listed)
            self.activate(plan)
            new.applied.set()
            await self._clock.sleep(PLAN_SPACING)

    async def _wait_out_pause(self, account: str) -> None:
        now = self._clock.monotonic()
        until = self._scheduler.paused(now).get(account)
        if until is not None:
            await self._clock.sleep(until - now)

    def _retry_refused(self, account: str) -> None:
        """Poll the refused buckets of an account now, because they may be accessible now."""
        self._scheduler.retry_now(account, self._clock.monotonic())
        self._poller.wake()


def _found(discovery_states: Mapping[str, DiscoveryState]) -> dict[str, tuple[FoundBucket, ...]]:
    """The part of the discovery states that a plan depends on."""
    return {name: discovery_state.found for name, discovery_state in discovery_states.items()}
