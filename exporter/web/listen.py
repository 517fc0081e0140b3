"""Where the application is served: listen addresses, and the sockets behind them."""

from __future__ import annotations

import os
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

FINISH_SECONDS = 2.0
"""How long running scrapes may go on once the exporter stops.

aiohttp waits twice for it, and the process must be gone within 5 s.
"""

MAX_PORT = 65535


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
            raise ValueError(f"{text!r} is not ':port', 'host:port' or '[IPv6]:port'")
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
    return ListenError(f"cannot listen on {address}: {reason}; choose another --{flag}")


@asynccontextmanager
async def served(
    app: web.Application, addresses: Sequence[ListenAddress]
) -> AsyncIterator[tuple[ListenAddress, ...]]:
    """Serve on all addresses while the body runs; gives what was bound. Raises ListenError.

    At the end nothing new is accepted, and running requests get FINISH_SECONDS.
    """
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=FINISH_SECONDS)
    await runner.setup()
    try:
        bound: dict[ListenAddress, None] = {}
        for address in addresses:
            bound.update(dict.fromkeys(await _listen(runner, address)))
        yield tuple(bound)
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, address: ListenAddress) -> list[ListenAddress]:
    before = len(runner.addresses)
    try:
        await web.TCPSite(runner, address.host or None, address.port).start()
    except OSError as error:
        raise cannot_listen(address, error, flag="web.listen-address") from error
    return [ListenAddress(host, port) for host, port, *_ in runner.addresses[before:]]
