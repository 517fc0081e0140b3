"""How the API's name becomes addresses: in threads that nobody has to wait for.

asyncio's own pool has few threads, shared with all that runs in it, and the interpreter waits for
them before it exits: a few look-ups that hang would stop a reload, a password check and the stop.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from aiohttp.abc import AbstractResolver, ResolveResult

from exporter.blocking import in_thread

LookUp: TypeAlias = "Callable[..., list[tuple[Any, ...]]]"
"""A function such as the system's getaddrinfo."""


class Resolver(AbstractResolver):
    """Looks names up, each once at a time, however many wait for it.

    All accounts of a process share one, over reloads too: a name whose look-up hangs costs one
    thread. `look_up` is the system's getaddrinfo where it is not given.
    """

    def __init__(self, look_up: LookUp | None = None) -> None:
        self._look_up = look_up or socket.getaddrinfo
        self._under_way: dict[tuple[str, int], asyncio.Future[list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a host. Raises OSError."""
        key = (host, int(family))
        found = self._under_way.get(key)
        if found is None:
            found = in_thread(partial(_addresses, self._look_up, host, int(family)))
            self._under_way[key] = found
            found.add_done_callback(lambda _: self._under_way.pop(key))
        return [each | {"port": port} for each in await asyncio.shield(found)]

    async def close(self) -> None:
        """Nothing to close: a look-up under way ends by itself, and its thread stops nobody."""


def _addresses(look_up: LookUp, host: str, family: int) -> list[ResolveResult]:
    kind, flags = socket.SOCK_STREAM, socket.AI_ADDRCONFIG
    try:
        found = look_up(host, None, family=family, type=kind, flags=flags)
    except UnicodeError as error:  # a label that is empty or too long
        raise socket.gaierror(socket.EAI_NONAME, "it is not a valid name") from error
    numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
    return [
        ResolveResult(
            hostname=host,
            host=socket.getnameinfo(address, numeric)[0],  # with the zone of a link-local one
            port=0,
            family=of_kind,
            proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for of_kind, _, protocol, _, address in found
    ]
