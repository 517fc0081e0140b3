"""The simulated API: takes a request and sends a response, through any kind of connection.

The correct figures come from `world` and `buckets`, users and tokens from `token_server`, faults
from `scenarios`; `server` adds HTTP.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

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
from exporter.simulator.delivery import Deliver, Delivery, ResponseWriter
from exporter.simulator.fault_injection import FaultPlan, InjectedFault, plan, text_to_faults
from exporter.simulator.recorder import Asked, Recorder, Served
from exporter.simulator.token_server import TokenRules, TokenServer, User
from exporter.simulator.world import World, unix_to_day


@dataclass(frozen=True, slots=True)
class Reply:
    """The response to a call, and how to deliver it."""

    response: SimulatedResponse
    now: float  # Unix time, by the server's clock
    deliver: Deliver


class Simulator:
    """A fake of the vendor's API.

    `now` returns the simulated Unix time. `buckets` are those that exist (None: any id does),
    `forbidden` those that no user may see. `tokens` are accepted in addition to issued ones (None:
    any token, or only issued ones if there are `users`). These three, `faults`, and the `users` and
    `rules` of `token_server` may be replaced at any time. `sleep` is used for delays in `rules` and
    for slow responses. `keep` limits the recorder. The same arguments and the same sequence of
    calls per bucket or user give the same responses.
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
        self.sleep = sleep
        self._world = World(seed)
        self.play(scenarios)

    def play(self, scenarios: str | Iterable[InjectedFault]) -> None:
        """Replace the scenarios for all later calls. Raises ScenarioError."""
        if isinstance(scenarios, str):
            scenarios = text_to_faults(scenarios)
        self.faults = tuple(scenarios)

    def note_request(self, method: str, raw_path: str, headers: Mapping[str, str]) -> None:
        """Record a request of any kind; `raw_path` is percent-encoded, with the query."""
        token, user_agent = headers.get("Authorization"), headers.get("User-Agent")
        self.record.asked.append(Asked(self.now(), method, raw_path, token, user_agent))

    async def answer(
        self,
        kind: CallKind,
        connection: ResponseWriter,
        *,
        headers: Mapping[str, str],
        body: bytes,
        bucket: str = "",
        workspace: str = "",
    ) -> None:
        """Respond to a call over a connection; `headers` must be case-insensitive."""
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        # Like Express, the API ignores bodies of other content types.
        is_json = headers.get("Content-Type", "").partition(";")[0].strip() == "application/json"
        call = self.receive(
            kind,
            bucket=bucket,
            token=token if scheme == "Bearer" else "",
            workspace=workspace,
            fields=body_to_fields(body) if is_json else {},
        )
        with self.record.in_flight(kind):
            if delay := self.delay(kind):
                await self.sleep(delay)
            reply = self.respond(call)
            note = partial(self.handed_over, call, reply.response)
            await reply.deliver(Delivery(connection, reply.response, reply.now, self.sleep, note))

    def receive(
        self,
        kind: CallKind,
        *,
        bucket: str = "",
        token: str = "",
        workspace: str = "",
        fields: Mapping[str, Any],
    ) -> ApiCall:
        """Count a received call; `fields` are those of its JSON body."""
        whose = self._whose(kind, token, fields)
        is_stats = kind is CallKind.STATS
        return ApiCall(
            seed=self._world.seed,
            bucket=bucket,
            number=self.record.count_call(kind, bucket if is_stats else whose),
            now=self.now(),
            day=fields_to_day(fields) if is_stats else None,
            kind=kind,
            whose=whose,
            token=token,
            workspace=workspace,
            fields=fields,
        )

    def delay(self, kind: CallKind) -> float:
        """Seconds before a call is passed to `respond`."""
        return self.token_server.rules.delay if kind in {CallKind.LOGIN, CallKind.REFRESH} else 0.0

    def respond(self, call: ApiCall) -> Reply:
        """Decide the response to a call, including faults."""
        faults = plan(self.faults, call)
        call = replace(call, now=call.now + faults.clock)
        if faults.revokes:
            self.token_server.revoke(call.token)
        response = faults.response(self._response(call, faults), call)
        return Reply(response, call.now, faults.deliver)

    def handed_over(self, call: ApiCall, response: SimulatedResponse) -> None:
        """Record a response whose last byte is about to be sent, and activate the tokens in it."""
        self.record.count_answer(call.kind, response.status)
        if response.rows is not None and call.day is not None:
            self.record.served.append(Served(call.now, call.bucket, call.day, response.rows))
        if response.tokens is not None:
            self.token_server.hand_out(response.tokens)
            self.record.issued.append(response.tokens)

    def _whose(self, kind: CallKind, token: str, fields: Mapping[str, Any]) -> str:
        match kind:
            case CallKind.STATS:
                return ""
            case CallKind.LIST:
                return self.token_server.whose(token)
            case CallKind.LOGIN:
                return str(fields.get("email", ""))
            case CallKind.REFRESH:
                return self.token_server.whose(self.token_server.refresh_token(fields) or "")

    def _response(self, call: ApiCall, faults: FaultPlan) -> SimulatedResponse:
        """The response before faults replace it. Faults in the world and the rows are applied."""
        match call.kind:
            case CallKind.STATS:
                return self._stats(call, faults)
            case CallKind.LIST:
                return self._listing(call, faults)
            case CallKind.LOGIN:
                return self.token_server.login(call.fields, call.now)
            case CallKind.REFRESH:
                return self.token_server.refresh(call.fields, call.now)

    def _stats(self, call: ApiCall, faults: FaultPlan) -> SimulatedResponse:
        caller = self.token_server.caller(call.token, call.now, self.tokens)
        if caller is None:
            return refusal(401, "Invalid or expired token")
        bucket = found(self.buckets, self._world.seed, call.bucket)
        if bucket is None:
            return refusal(404, "Bucket not found")
        if not self._may_see(caller, bucket):
            return refusal(403, "Insufficient permissions")
        if call.day is None or call.day > unix_to_day(call.now):
            return refusal(400, "Invalid date format")
        nodes = faults.world(self._world).stats(call.bucket, call.day, call.now)
        return stats_response(faults.rows([node.row() for node in nodes], call))

    def _listing(self, call: ApiCall, faults: FaultPlan) -> SimulatedResponse:
        caller = self.token_server.caller(call.token, call.now, self.tokens)
        if caller is None:
            return refusal(401, "Invalid or expired token")
        if call.workspace and not caller.sees(call.workspace):
            return refusal(403, "Insufficient permissions")
        entries = [
            bucket_to_entry(self._world.seed, bucket)
            for bucket in existing(self.buckets, self._world.seed)
            if self._may_see(caller, bucket) and call.workspace in {"", bucket.workspace}
        ]
        entries.sort(key=lambda entry: (entry["createdAt"], entry["id"]))
        return listing_response(faults.rows(entries, call))

    def _may_see(self, caller: User, bucket: SimulatedBucket) -> bool:
        return caller.sees(bucket.workspace) and bucket.id not in self.forbidden
