"""The fake API over HTTP: routes, what it checks before it answers, and serving it.

What is true lives in `world` and `buckets`, who may ask in `desk`, what goes wrong in `scenarios`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from aiohttp import web
from aiohttp.typedefs import Handler

from exporter.simulator.buckets import Buckets, SimulatedBucket, bucket_to_entry, existing, found
from exporter.simulator.calls import (
    ApiCall,
    CallKind,
    SimulatedResponse,
    body_to_fields,
    fields_to_day,
    listing_response,
    refusal,
    stats_response,
)
from exporter.simulator.delivery import Delivery
from exporter.simulator.fault_injection import FaultPlan, InjectedFault, plan, text_to_faults
from exporter.simulator.recorder import Asked, Recorder, Served
from exporter.simulator.time_and_chance import unix_to_day
from exporter.simulator.token_server import TokenRules, TokenServer, User
from exporter.simulator.world import World

Honest: TypeAlias = Callable[[ApiCall, FaultPlan], SimulatedResponse]
"""What a call is answered unless a scenario replaces it."""

_SHUTDOWN_SECONDS = 0.1  # what answers under way get before they are cut off
_DELAYED = frozenset({CallKind.LOGIN, CallKind.REFRESH})


class Simulator:
    """A fake of the vendor's API.

    `now` says the true (simulated) Unix time. `buckets` are those that exist (None: any id does),
    `forbidden` those that no one may see, `tokens` those that are accepted besides the ones
    issued (None: any where there are no `users`, else none). These three, `faults`, and the
    `users` and `rules` of `desk` may be replaced while it is serving. `sleep` is waited on by
    answers that trickle and by the delay of `rules`. `keep` bounds the record. Equal arguments
    and equal calls, counted per bucket or user, give equal answers.
    """

    def __init__(
        self,
        *,
        now: Callable[[], float],
        seed: int = 0,
        scenarios: str | Iterable[InjectedFault] = "",
        buckets: Buckets = None,
        forbidden: Collection[str] = (),
        tokens: Collection[str] | None = None,
        users: Iterable[User] = (),
        rules: TokenRules = TokenRules(),  # noqa: B008 - it is frozen
        keep: int = 500,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.buckets = buckets
        self.forbidden = forbidden
        self.tokens = tokens
        self.token_server = TokenServer(seed, users, rules)
        self.record = Recorder(keep)
        self.now = now
        self._sleep = sleep
        self._world = World(seed)
        self.play(scenarios)

    def play(self, scenarios: str | Iterable[InjectedFault]) -> None:
        """Replace the scenarios, from the next call on. Raises ScenarioError."""
        if isinstance(scenarios, str):
            scenarios = text_to_faults(scenarios)
        self.faults = tuple(scenarios)

    def routes(self) -> list[web.RouteDef]:
        """What can be called."""
        return [
            web.post("/bucket/{bucketId:[^/]+}/stats", self._stats),
            web.get("/bucket", self._list, allow_head=False),
            web.post("/user/login", self._login),
            web.post("/user/refresh", self._refresh),
        ]

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
        try:
            return await handler(request)
        except ConnectionResetError:
            return web.Response()  # to nobody: who asked has gone

    async def _stats(self, request: web.Request) -> web.StreamResponse:
        bucket, day = request.match_info["bucketId"], fields_to_day(await _fields(request))
        number = self.record.count_call(CallKind.STATS, bucket)
        call = ApiCall(self._world.seed, bucket, number, self.now(), day)
        return await self._answered(request, call, partial(self._figures, _token(request)))

    async def _list(self, request: web.Request) -> web.StreamResponse:
        token, workspace = _token(request), request.query.get("workspaceId", "")
        call = self._account_call(CallKind.LIST, self.token_server.whose(token))
        return await self._answered(request, call, partial(self._listing, token, workspace))

    async def _login(self, request: web.Request) -> web.StreamResponse:
        fields = await _fields(request)
        call = self._account_call(CallKind.LOGIN, str(fields.get("email", "")))
        return await self._answered(
            request, call, lambda there, _steps: self.token_server.login(fields, there.now)
        )

    async def _refresh(self, request: web.Request) -> web.StreamResponse:
        fields = await _fields(request)
        used = self.token_server.refresh_token(fields) or ""
        call = self._account_call(CallKind.REFRESH, self.token_server.whose(used))
        return await self._answered(
            request, call, lambda there, _steps: self.token_server.refresh(fields, there.now)
        )

    def _account_call(self, kind: CallKind, whose: str) -> ApiCall:
        number = self.record.count_call(kind, whose)
        return ApiCall(self._world.seed, "", number, self.now(), None, kind, whose)

    async def _answered(
        self, request: web.Request, call: ApiCall, honest: Honest
    ) -> web.StreamResponse:
        with self.record.under_way(call.kind):
            if call.kind in _DELAYED and self.token_server.rules.delay:
                await self._sleep(self.token_server.rules.delay)
            steps = plan(self.faults, call)
            there = replace(call, now=call.now + steps.clock)
            if steps.revokes:
                self.token_server.revoke(_token(request))
            response = steps.response(honest(there, steps), there)
            note = partial(self._note, call, response)
            delivery = Delivery(request, response, there.now, self._sleep, note)
            return await steps.deliver(delivery)

    def _figures(self, token: str, call: ApiCall, steps: FaultPlan) -> SimulatedResponse:
        caller = self.token_server.caller(token, call.now, self.tokens)
        if caller is None:
            return refusal(401, "Invalid or expired token")
        bucket = found(self.buckets, self._world.seed, call.bucket)
        if bucket is None:
            return refusal(404, "Bucket not found")
        if not self._may_see(caller, bucket):
            return refusal(403, "Insufficient permissions")
        if call.day is None or call.day > unix_to_day(call.now):
            return refusal(400, "Invalid date format")
        nodes = steps.world(self._world).stats(call.bucket, call.day, call.now)
        return stats_response(steps.rows([node.row() for node in nodes], call))

    def _listing(
        self, token: str, workspace: str, call: ApiCall, steps: FaultPlan
    ) -> SimulatedResponse:
        caller = self.token_server.caller(token, call.now, self.tokens)
        if caller is None:
            return refusal(401, "Invalid or expired token")
        if workspace and not caller.sees(workspace):
            return refusal(403, "Insufficient permissions")
        entries = [
            bucket_to_entry(self._world.seed, bucket)
            for bucket in existing(self.buckets, self._world.seed)
            if self._may_see(caller, bucket) and workspace in {"", bucket.workspace}
        ]
        entries.sort(key=lambda entry: (entry["createdAt"], entry["id"]))
        return listing_response(steps.rows(entries, call))

    def _may_see(self, caller: User, bucket: SimulatedBucket) -> bool:
        return caller.sees(bucket.workspace) and bucket.id not in self.forbidden

    def _note(self, call: ApiCall, response: SimulatedResponse) -> None:
        self.record.count_answer(call.kind, response.status)
        if response.rows is not None and call.day is not None:
            self.record.served.append(Served(call.now, call.bucket, call.day, response.rows))
        if response.tokens is not None:
            self.token_server.hand_out(response.tokens)
            self.record.issued.append(response.tokens)


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


def _token(request: web.Request) -> str:
    """The bearer token of a request; empty without one."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme == "Bearer" else ""


async def _fields(request: web.Request) -> dict[str, Any]:
    """What the body says: like Express, the API reads nothing but what is said to be JSON."""
    body = await request.read()
    return body_to_fields(body) if request.content_type == "application/json" else {}
