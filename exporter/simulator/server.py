"""The fake API over HTTP: routes, what it checks before it answers, and serving it.

What is true lives in `world`, what goes wrong in `scenarios`. Calls that the vendor has besides
the stats (`POST /user/login`, `POST /user/refresh`, `GET /bucket`) belong into `routes`.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from aiohttp import web

from exporter.simulator.answers import Answer, body_to_day, refusal, stats_answer
from exporter.simulator.call import Call
from exporter.simulator.delivery import Parcel
from exporter.simulator.record import Asked, Record, Served
from exporter.simulator.troubles import Plan, Trouble, plan, text_to_troubles
from exporter.simulator.world import World, unix_to_day

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable

    from aiohttp.typedefs import Handler

_SHUTDOWN_SECONDS = 0.1  # what answers under way get before they are cut off


class Simulator:
    """A fake of the vendor's API.

    `now` says the true (simulated) Unix time. `buckets` are those that exist (None: any id does),
    `forbidden` those that the caller may not see, `tokens` those that are accepted (None: any).
    These three, and `troubles`, may be replaced while it is serving. `sleep` is waited on only by
    answers that trickle. `keep` bounds the record. Equal arguments and equal calls, counted
    per bucket, give equal answers.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float],
        seed: int = 0,
        scenarios: str | Iterable[Trouble] = "",
        buckets: Collection[str] | None = None,
        forbidden: Collection[str] = (),
        tokens: Collection[str] | None = None,
        keep: int = 500,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.buckets = buckets
        self.forbidden = forbidden
        self.tokens = tokens
        self.record = Record(keep)
        self.now = now
        self._sleep = sleep
        self._world = World(seed)
        self.play(scenarios)

    def play(self, scenarios: str | Iterable[Trouble]) -> None:
        """Replace the scenarios, from the next call on. Raises ScenarioError."""
        if isinstance(scenarios, str):
            scenarios = text_to_troubles(scenarios)
        self.troubles = tuple(scenarios)

    def routes(self) -> list[web.RouteDef]:
        """What can be called."""
        return [web.post("/bucket/{bucketId}/stats", self._stats)]

    def app(self) -> web.Application:
        """The API, to be served by any of aiohttp's runners."""
        app = web.Application(middlewares=[self._watch])
        app.add_routes(self.routes())
        return app

    @web.middleware
    async def _watch(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = request.headers
        asked = Asked(
            self.now(),
            request.method,
            request.raw_path,
            headers.get("Authorization"),
            headers.get("User-Agent"),
        )
        self.record.asked.append(asked)
        return await handler(request)

    async def _stats(self, request: web.Request) -> web.StreamResponse:
        day = body_to_day(await request.read()) if _is_json(request) else None
        bucket, now = request.match_info["bucketId"], self.now()
        call = Call(self._world.seed, bucket, self.record.calls[bucket], now, day)
        self.record.calls[bucket] += 1
        steps = plan(self.troubles, call)
        there = replace(call, now=now + steps.clock)
        honest = self._refusal(request, bucket) or self._figures(there, steps)
        answer = steps.answer(honest, there)
        parcel = Parcel(
            request, answer, there.now, self._sleep, lambda: self._note(now, call, answer)
        )
        return await steps.deliver(parcel)

    def _refusal(self, request: web.Request, bucket: str) -> Answer | None:
        if not self._accepts(request.headers.get("Authorization", "")):
            return refusal(401, "Invalid or expired token")
        if self.buckets is not None and bucket not in self.buckets:
            return refusal(404, "Bucket not found")
        if bucket in self.forbidden:
            return refusal(403, "Insufficient permissions")
        return None

    def _accepts(self, authorization: str) -> bool:
        scheme, _, token = authorization.partition(" ")
        return scheme == "Bearer" and (bool(token) if self.tokens is None else token in self.tokens)

    def _figures(self, call: Call, steps: Plan) -> Answer:
        if call.day is None or call.day > unix_to_day(call.now):
            return refusal(400, "Invalid date format")
        nodes = steps.world(self._world).stats(call.bucket, call.day, call.now)
        return stats_answer(steps.rows([node.row() for node in nodes], call))

    def _note(self, now: float, call: Call, answer: Answer) -> None:
        self.record.answers[answer.status] += 1
        if answer.rows is not None and call.day is not None:
            self.record.served.append(Served(now, call.bucket, call.day, answer.rows))


@asynccontextmanager
async def serve(simulator: Simulator, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serve while the body runs, on a free port if none is given; yields the base URL.

    Whoever hangs is cut off when the body ends.
    """
    runner = web.AppRunner(
        simulator.app(),
        access_log=None,
        handler_cancellation=True,  # whoever hangs ends when the client goes
        shutdown_timeout=_SHUTDOWN_SECONDS,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        yield site.name
    finally:
        await runner.cleanup()


def _is_json(request: web.Request) -> bool:
    """Whether the body counts: like Express, the API reads nothing but what is said to be JSON."""
    return request.content_type == "application/json"
