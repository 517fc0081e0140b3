"""Days with faults on virtual time: two accounts have faults, the third must not be affected.

After each scrape, the checker compares the page with what was sent. In addition, all buckets of the
healthy account must be up and polled on time, and no secret may be shown.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from exporter import simulator
from exporter.logs import configure
from exporter.simulator import SCENARIOS, CallKind
from tests.harness.fakes import MIDNIGHT
from tests.truth.checker import Checker
from tests.truth.clock import SECONDS_PER_DAY, JumpingClock
from tests.truth.harness import USER, Harness
from tests.truth.pages import Page, PageError, page
from tests.truth.plan import Plan, PlannedAccount, PlannedBucket, PlannedDiscovery
from tests.truth.recorder import RecordedSimulator

HEALTHY = tuple(f"healthy-{number}" for number in range(6))
TROUBLED = tuple(f"{account}-{number}" for account in ("login", "file") for number in range(6))
FOUND = tuple(simulator.SimulatedBucket(f"found-{number}") for number in range(4))

HEALTHY_TOKEN, FILE_TOKEN = "healthy-account-token", "file-account-token"
INTERVAL, LATE = 60, 5.0
"""Poll interval, and how late a success may be, in seconds."""

BETWEEN_TROUBLES, LONGEST_GAP = 900.0, 600.0
"""Seconds between two mixes of faults, on average, and between two scrapes, at most."""

BEFORE_MIDNIGHT = 3600.0
"""Seconds before midnight at which a run starts, so that short runs cross midnight too."""

HEAVY = {"gzip-bomb", "huge-body", "deep-json", "hundreds-of-nodes"}
STATS_TROUBLES = [
    name for name, scenario in SCENARIOS.items() if scenario.calls == {CallKind.STATS}
]
ACCOUNT_TROUBLES = [
    *(name for name, scenario in SCENARIOS.items() if CallKind.STATS not in scenario.calls),
    "tokens-revoked/call=list",
    *(
        f"{name}/call={call}"
        for name in ("hang", "trickle", "truncated", "disconnect", "broken-framing", "surplus")
        for call in ("login", "refresh", "list")
    ),
]
PAGES = ("/metrics", "/", "/bucket?id=login-0", "/bucket?id=file-0", "/api/v1/status", "/-/ready")


@dataclass
class ChaosResult:
    """The result of a run."""

    seed: int
    scrapes: int = 0
    calls: int = 0
    troubles: Counter[str] = field(default_factory=Counter)
    lines: int = 0  # lines of the log
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"seed {self.seed}: {self.scrapes} scrapes, {self.calls} calls, {self.lines} lines of"
            f" log, {len(self.troubles)} kinds of trouble"
        )

    def failure_message(self) -> str:
        """The message of a failed assertion."""
        return "\n".join([str(self), *self.findings[:10]])


async def run_chaos(seed: int, days: float) -> ChaosResult:
    """Run for some days of virtual time. The first page with a finding ends the run."""
    clock = JumpingClock(MIDNIGHT - BEFORE_MIDNIGHT)
    hand = (simulator.SimulatedBucket(bucket) for bucket in (*HEALTHY, *TROUBLED))
    api = RecordedSimulator(
        clock,
        seed=seed,
        buckets=(*hand, *FOUND),
        tokens=(HEALTHY_TOKEN, FILE_TOKEN),
        users=[USER],
        rules=simulator.TokenRules(lifetime=1800.0),
    )
    log = io.StringIO()
    configure("debug", "json", log)
    with tempfile.TemporaryDirectory() as directory:
        run = _Run(seed, Harness(api, clock, Path(directory)), log)
        await run.through(days * SECONDS_PER_DAY)
    return run.result


class _Run:
    """A run in progress."""

    def __init__(self, seed: int, harness: Harness, log: io.StringIO) -> None:
        self.result = ChaosResult(seed)
        self._harness = harness
        self._log = log
        self._rng = Random(seed)
        self._token = harness.directory / "token"
        recorder, plan = harness.api.recorder, _plan(harness.directory)
        self._checker = Checker(recorder, harness.clock, plan, punctual=False)

    async def through(self, seconds: float) -> None:
        """Run for some seconds of virtual time."""
        clock, result = self._harness.clock, self.result
        (self._harness.directory / "password").write_text(USER.password)
        self._token.write_text(FILE_TOKEN)
        self._harness.write(self._checker.plan)
        start = next_trouble = clock.monotonic()
        async with self._harness.serving(Random(result.seed)):
            while clock.monotonic() < start + seconds and not result.findings:
                await clock.sleep(self._rng.uniform(1, LONGEST_GAP))
                result.findings += await self._look(is_first=not result.scrapes)
                result.scrapes += 1
                if clock.monotonic() >= next_trouble:
                    self._make_trouble()
                    wait = self._rng.expovariate(1 / BETWEEN_TROUBLES)
                    next_trouble = clock.monotonic() + wait
        result.calls = sum(self._harness.api.recorder.calls_by_kind.values())

    async def _look(self, *, is_first: bool) -> list[str]:
        """Scrape, and return all findings."""
        scraped = await self._harness.scrape(openmetrics=False, gzip=False)
        try:
            seen = page(scraped.text, openmetrics=False)
        except PageError as error:
            return [str(error)]
        found = self._checker.findings(seen, scraped.at)
        if not is_first:
            found += self._felt_by_the_healthy(seen)
        return found + [leak async for leak in self._leaks()]

    def _felt_by_the_healthy(self, seen: Page) -> Iterator[str]:
        ups = seen.by("flashback_bucket_up", "bucket_id")
        successes = seen.by("flashback_bucket_last_success_timestamp_seconds", "bucket_id")
        for bucket in HEALTHY:
            if ups.get(bucket) != 1:
                yield f"{bucket} is not up: {ups.get(bucket)}"
            age = self._harness.clock.wall() - successes.get(bucket, 0.0)
            if age > INTERVAL + LATE:
                yield f"{bucket} was last polled with success {age:.1f}s ago"

    async def _leaks(self) -> AsyncIterator[str]:
        """Secrets in the log since the last scrape, and in all pages."""
        printed = {"the log": self._log.getvalue()}
        self.result.lines += printed["the log"].count("\n")
        self._log.seek(0)
        self._log.truncate()
        for path in PAGES:
            async with self._harness.session.get(path) as answer:
                printed[path] = await answer.text()
        secrets = {
            *(USER.password, HEALTHY_TOKEN, FILE_TOKEN),
            *(simulator.ACCESS_KEY_PREFIX, simulator.SECRET_PREFIX, simulator.REFRESH_PREFIX),
            *self._harness.api.recorder.access_tokens,
        }
        for where, text in printed.items():
            for secret in secrets:
                if secret in text:
                    at = text.index(secret)
                    yield f"a secret is in {where}: {text[max(0, at - 200) : at + 50]}"

    def _make_trouble(self) -> None:
        """Start another mix of faults, or a pause without any. May also replace the token file."""
        chosen = []
        if self._rng.random() > 0.15:
            names = self._rng.sample(STATS_TROUBLES, self._rng.randint(1, 4))
            chosen = [self._for_some(name) for name in names]
            chosen += self._rng.sample(ACCOUNT_TROUBLES, self._rng.randint(0, 3))
        self._harness.api.play(",".join(chosen))
        self.result.troubles.update(each.partition("/")[0] for each in chosen)
        if self._rng.random() < 0.3:
            self._swap_the_token()

    def _for_some(self, name: str) -> str:
        """Limit a scenario to some buckets of the two accounts with faults."""
        count = 1 if name in HEAVY else self._rng.randint(1, len(TROUBLED))
        hit = self._rng.sample(TROUBLED, count)
        share = self._rng.choice((0.1, 0.5, 1))
        return f"{name}/share={share}" + "".join(f"/bucket={bucket}" for bucket in hit)

    def _swap_the_token(self) -> None:
        """Replace the token file: valid, wrong, empty, too large, a FIFO, or missing."""
        new = self._token.with_name("token.new")
        kind = self._rng.choice(("good", "good", "wrong", "empty", "huge", "fifo", "gone"))
        self.result.troubles[f"token file: {kind}"] += 1
        texts = {"good": FILE_TOKEN, "wrong": "wrong", "empty": "", "huge": "x" * 2**21}
        if kind == "gone":
            self._token.unlink(missing_ok=True)
            return
        if kind == "fifo":
            os.mkfifo(new)
        else:
            new.write_text(texts[kind])
        new.replace(self._token)


def _plan(directory: Path) -> Plan:
    """Three accounts: with a token, with a login and discovery, and with a token file."""
    healthy = {"authorization": {"credentials": HEALTHY_TOKEN}}
    login = {"login": {"email": USER.email, "password_file": f"{directory}/password"}}
    file = {"authorization": {"credentials_file": f"{directory}/token"}}
    discovery = PlannedDiscovery(refresh_interval=300)
    accounts = (
        ("healthy", healthy, HEALTHY, None),
        ("login", login, TROUBLED[:6], discovery),
        ("file", file, TROUBLED[6:], None),
    )
    return Plan(
        tuple(
            PlannedAccount(name, access, tuple(map(PlannedBucket, ids)), found, INTERVAL, 180)
            for name, access, ids, found in accounts
        )
    )
