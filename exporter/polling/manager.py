"""Owns what a reload keeps: targets, schedule, discovered buckets; and the current runner.

Endpoints and metrics read the state of the polling here. This module knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from random import Random
from typing import NamedTuple

from exporter.clock import Clock
from exporter.config import Account, Config, Login
from exporter.metrics.self_metrics import SelfMetrics
from exporter.model import Instant
from exporter.polling.event_log import EventLogger
from exporter.polling.previous_day import PreviousDayQueue
from exporter.polling.runner import Change, Plan, Runner
from exporter.polling.scheduler import Scheduler
from exporter.polling.sharding import Shard
from exporter.polling.targets import Targets
from exporter.upstream.account import TlsContexts, tls_contexts
from exporter.upstream.discovery import DiscoveryState
from exporter.upstream.events import Call
from exporter.upstream.transport import Connect, connector


class RefusedConfig(NamedTuple):
    """A configuration that could not be used: when, and why."""

    at: Instant
    problems: str


class PollManager:
    """Runs the polling, and keeps its state over reloads.

    A reload replaces the runner and keeps the rest. `contexts` are the TLS contexts of the accounts
    in the first configuration.
    """

    def __init__(
        self,
        config: Config,
        self_metrics: SelfMetrics,
        clock: Clock,
        rng: Random,
        contexts: TlsContexts,
        *,
        shard: Shard,
        connect: Connect | None = None,
        progress: Callable[[int], None] = lambda _left: None,
        requests_previous_days: bool = True,
    ) -> None:
        self._progress = progress
        self.shard = shard
        self._self_metrics = self_metrics
        self._clock = clock
        self._rng = rng
        self.targets = Targets()
        self._scheduler = Scheduler(self.targets, clock.now())
        self._previous_days = PreviousDayQueue(self.targets, enabled=requests_previous_days)
        self.discovery_states: dict[str, DiscoveryState] = {}
        self._event_logger = EventLogger(clock)
        self._connect = connect or connector()
        self.first_round_done = asyncio.Event()
        self._changed = asyncio.Event()
        self._runner = self._new_runner(config, contexts)
        self.config_loaded: Instant
        """When the current configuration was loaded."""
        self.config_refused: RefusedConfig | None = None
        """A newer configuration that could not be used, or None."""
        for account in config.accounts:
            self._init_series(account)
        self._switch_to(self._runner, self._runner.plan(self.discovery_states))

    @property
    def config(self) -> Config:
        return self._runner.config

    async def run(self) -> None:
        """Poll until cancelled. When the runner is replaced, the new one continues."""
        while True:
            self._changed.clear()
            async with asyncio.TaskGroup() as group:
                running = group.create_task(self._runner.run())
                await self._changed.wait()
                running.cancel()

    async def replace_config(self, config: Config) -> bool:
        """Switch to another configuration. What it does not change keeps its state.

        Returns False and changes nothing if it equals the current one, including the content of its
        TLS files. Raises OSError for unusable TLS files, ConfigError for an unusable proxy, with no
        change.
        """
        if config == self.config:
            self._note_loaded()
            return False
        runner = self._new_runner(config, await tls_contexts(config.accounts))
        for account in config.accounts:
            self._init_series(account)
            await asyncio.sleep(0)  # lets other tasks run: creating many counters takes long
        change = _change(self.config, config)
        plan = await runner.build_plan(change)
        self._drop(change)
        runner.resume(self._runner)
        # Stopped at once: the old runner's tasks end a moment later, and must not change targets
        # that now belong to the new runner.
        self._runner.stop()
        self._scheduler.requeue_running(self._clock.monotonic())
        self._previous_days.requeue_running()
        self._switch_to(runner, plan)
        self._changed.set()
        return True

    def exposition(self, openmetrics: bool) -> Iterator[bytes]:  # noqa: FBT001 - one of two formats
        yield from self.targets.render(self._clock.monotonic())
        yield from self._self_metrics.pieces(openmetrics=openmetrics)

    def is_healthy(self) -> bool:
        return self._runner.is_alive()

    def is_ready(self) -> bool:
        """Whether the first round is done. Once true, it stays true."""
        if not self.first_round_done.is_set() and self._is_first_round_done():
            self.first_round_done.set()
        return self.first_round_done.is_set()

    def lag(self) -> float:
        """Seconds by which the most overdue poll is late."""
        return self._scheduler.lag(self._clock.monotonic())

    def paused_until(self) -> dict[str, float]:
        """The accounts paused by a 429, and until when, in Unix time."""
        now = self._clock.now()
        return {
            account: now.wall + until - now.monotonic
            for account, until in self._scheduler.paused(now.monotonic).items()
        }

    def token_expiries(self) -> dict[str, float]:
        """When the accounts' tokens expire, in Unix time. Tokens without an expiry are left out."""
        expiries = {
            name: access.credentials.expiry()
            for name, access in self._runner.account_clients.items()
        }
        return {name: expiry for name, expiry in expiries.items() if expiry is not None}

    def certificate_expiries(self) -> dict[str, float]:
        """When the certificates of the accounts' APIs expire, in Unix time, if known."""
        expiries = {
            name: access.server_info.certificate_expiry
            for name, access in self._runner.account_clients.items()
        }
        return {name: expiry for name, expiry in expiries.items() if expiry is not None}

    def clock_skews(self) -> dict[str, float]:
        """How many seconds the clocks of the accounts' APIs are ahead of ours.

        A measurement older than `stale_after` is left out.
        """
        now = self._clock.monotonic()
        skews = {
            name: access.server_info.clock_skew(now, access.account.timing.stale_after)
            for name, access in self._runner.account_clients.items()
        }
        return {name: skew for name, skew in skews.items() if skew is not None}

    def _new_runner(self, config: Config, contexts: TlsContexts) -> Runner:
        return Runner(
            config,
            contexts=contexts,
            targets=self.targets,
            scheduler=self._scheduler,
            previous_days=self._previous_days,
            discovery_states=self.discovery_states,
            clock=self._clock,
            rng=self._rng,
            observer=self._self_metrics,
            event_logger=self._event_logger,
            shard=self.shard,
            connect=self._connect,
            progressed=self._progressed,
        )

    def _progressed(self) -> None:
        self._progress(len(self.targets.unpolled))
        self.is_ready()

    def _switch_to(self, runner: Runner, plan: Plan) -> None:
        self._runner = runner
        runner.activate(plan)
        self._note_loaded()

    def refuse_config(self, problems: str) -> None:
        """Record that a configuration could not be used. The previous one stays active."""
        self.config_refused = RefusedConfig(self._clock.now(), problems)
        self._self_metrics.config_refused()

    def _note_loaded(self) -> None:
        self.config_refused = None
        self.config_loaded = self._clock.now()
        self._self_metrics.config_loaded(self.config_loaded.wall)

    def _init_series(self, account: Account) -> None:
        self._self_metrics.init_series(account.name, _calls(account))

    def _drop(self, change: Change) -> None:
        for account in change.discovery_changed:
            self.discovery_states.pop(account, None)
        for account in change.api_changed:
            self.targets.drop_account(account)
            self._scheduler.drop_pause(account)

    def _is_first_round_done(self) -> bool:
        """Whether each bucket was polled or is paused, and each discovery was tried."""
        paused = self._scheduler.paused(self._clock.monotonic())
        # In this order for speed: it runs after each poll, and nearly always ends at the first
        # bucket.
        return all(key.account in paused for key in self.targets.unpolled) and all(
            account.discovery is None
            or account.name in self.discovery_states
            or account.name in paused
            for account in self.config.accounts
        )


def _change(before: Config, after: Config) -> Change:
    """What a new configuration invalidates. Changed discovery filters invalidate nothing."""
    accounts = {account.name: account for account in after.accounts}
    pairs = [(account, accounts.get(account.name)) for account in before.accounts]
    return Change(
        api_changed=frozenset(
            was.name for was, now in pairs if now is None or was.base_url != now.base_url
        ),
        discovery_changed=frozenset(
            was.name
            for was, now in pairs
            if now is None or _discovery_source(was) != _discovery_source(now)
        ),
    )


def _discovery_source(account: Account) -> object:
    """What an account's list response depends on; None without discovery."""
    discovery = account.discovery
    return None if discovery is None else (account.base_url, discovery.workspace_id)


def _calls(account: Account) -> tuple[Call, ...]:
    calls = [Call.STATS]
    if account.discovery is not None:
        calls.append(Call.LIST)
    if isinstance(account.credentials, Login):
        calls += [Call.LOGIN, Call.REFRESH]
    return tuple(calls)
