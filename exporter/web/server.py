"""Where the application is served: listen addresses, and the sockets behind them."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

from aiohttp import web

from exporter.web.connection import Connection, Timeouts, connections

FINISH_SECONDS = 2.0
"""How long running scrapes may go on once the exporter stops.

aiohttp waits twice for it, and the process must be gone within 5 s.
"""

MAX_PORT = 65535
FIRST_FREE_PORT = 1024
"""Ports below are privileged."""

BACKLOG = 128
"""Connections that may wait to be accepted."""

TIMEOUTS = Timeouts()


class ListenError(Exception):
    """An address cannot be listened on."""


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """A host and a port; an empty host means every address of the machine, port 0 any free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> ListenAddress:
        """From `:port`, `host:port` or `[::1]:port`. Raises ValueError."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isascii() or not port.isdigit() or int(port) > MAX_PORT:
            hint = f": did you mean ':{text}'?" if text.isdecimal() else ""
            raise ValueError(f"{text!r} is not ':port', 'host:port' or '[IPv6]:port'{hint}")
        if "/" in host:
            raise ValueError(f"{text!r}: leave out what is before the host, as in 'host:{port}'")
        bracketed = host.startswith("[") and host.endswith("]")
        if ":" in host and not bracketed:
            raise ValueError(f"{text!r}: put an IPv6 address in brackets: '[{host}]:{port}'")
        return cls(host[1:-1] if bracketed else host, int(port))

    def __str__(self) -> str:
        """As it is written in the flag."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def cannot_listen(address: ListenAddress, error: OSError, flag: str) -> ListenError:
    """The error for people, from the operating system's."""
    unknown = isinstance(error, socket.gaierror)
    reason = "the name is not known" if unknown else os.strerror(error.errno or 0).lower()
    if isinstance(error, PermissionError) and 0 < address.port < FIRST_FREE_PORT:
        reason += f" (a port below {FIRST_FREE_PORT} takes the capability NET_BIND_SERVICE)"
    return ListenError(f"cannot listen on {address}: {reason}; choose another --{flag}")


@asynccontextmanager
async def serve(
    app: web.Application,
    addresses: Sequence[ListenAddress],
    tls: ssl.SSLContext | None = None,
    timeouts: Timeouts = TIMEOUTS,
) -> AsyncIterator[tuple[ListenAddress, ...]]:
    """Serve on all addresses while the body runs; gives what was bound. Raises ListenError.

    At the end nothing new is accepted, and running requests get FINISH_SECONDS.
    """
    runner = web.AppRunner(app, shutdown_timeout=FINISH_SECONDS)
    await runner.setup()
    listeners: list[asyncio.Server] = []
    try:
        make = connections(cast("web.Server", runner.server), timeouts)
        for address in addresses:
            listener = await _listening(make, address, tls, timeouts)
            listeners.append(listener)
        yield tuple(dict.fromkeys(_bound(listeners)))
    finally:
        for listener in listeners:
            listener.close()
        await runner.cleanup()


async def _listening(
    make: Callable[[], Connection],
    address: ListenAddress,
    tls: ssl.SSLContext | None,
    timeouts: Timeouts,
) -> asyncio.Server:
    try:
        return await asyncio.get_running_loop().create_server(
            make,
            address.host or None,
            address.port,
            ssl=tls,
            backlog=BACKLOG,
            ssl_handshake_timeout=timeouts.handshake if tls else None,
            ssl_shutdown_timeout=timeouts.farewell if tls else None,
        )
    except OSError as error:
        raise cannot_listen(address, error, flag="web.listen-address") from error


def _bound(listeners: Iterable[asyncio.Server]) -> Iterator[ListenAddress]:
    for listener in listeners:
        for listening in listener.sockets:
            host, port, *_ = listening.getsockname()
            yield ListenAddress(host, port)
