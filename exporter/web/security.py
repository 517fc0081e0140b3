"""Protects the endpoints: TLS, authentication, and response headers.

The settings are reloaded when their files change, and apply to the next connection and the next
request. If they cannot be used, that is logged once, and the old settings stay active.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TypeAlias

import bcrypt
import structlog
from aiohttp import hdrs, web

from exporter.blocking import BlockingCalls
from exporter.clock import Clock
from exporter.web.basic_auth import BasicAuth, Check, TooManyWaitingError
from exporter.web.config import WebConfig, WebConfigError
from exporter.web.handshake import AlertingContext, HandshakeLog
from exporter.web.tls import (
    Material,
    has_allowed_name,
    make_context,
    read_material,
    renewable,
)

_Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]

CHECK_INTERVAL = 5.0
"""Seconds between two checks of the files."""

READ_SECONDS = 5.0
"""Seconds for a check: a hanging file system never responds."""

HEALTH_PATHS = frozenset({"/-/healthy", "/-/ready"})

_ONLY_AT_START = "a reload cannot turn TLS on or off: restart the exporter"

_BUSY = "Too many password checks, try again later."
_WRONG_CERTIFICATE = "The client certificate has no name in client_allowed_sans."

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Rules:
    """The settings, and the content of the files that they name."""

    settings: WebConfig
    material: Material | None


class Security:
    """Protects an application. `read` returns the current settings, or raises WebConfigError.

    The constructor raises WebConfigError if the settings cannot be used. It reads files, so it may
    block. `clock` is for deadlines of threads.
    """

    def __init__(
        self,
        read: Callable[[], WebConfig],
        clock: Clock,
        *,
        health_without_auth: bool = False,
        check: Check = bcrypt.checkpw,
    ) -> None:
        self._read = read
        self._open_paths = HEALTH_PATHS if health_without_auth else frozenset()
        self._check = check
        self._clock = clock
        self._files = BlockingCalls(clock, READ_SECONDS)
        rules = self._current()
        context = _context(rules)
        self.tls = None if context is None else renewable(context, HandshakeLog(clock))
        self._settings = rules.settings
        self._auth = self._make_auth()
        self._seen: _Rules | str = rules
        self._handled: _Rules | str = rules

    def protect(self, app: web.Application) -> None:
        """Check access to everything that `app` serves, and add headers to its responses."""
        app.middlewares.insert(0, self._check_access)
        app.on_response_prepare.append(self._add_headers)

    async def watch(self, clock: Clock) -> None:
        """Reload changed settings until cancelled."""
        while True:
            await self.reload_if_changed()
            await clock.sleep(CHECK_INTERVAL)

    async def reload_if_changed(self) -> None:
        """Reload when two checks in a row see the same change, as files change one by one."""
        before, self._seen = self._seen, await self._read_files()
        if self._seen != before or self._seen == self._handled:
            return
        self._handled = self._seen
        try:
            await self._apply(self._seen)
        except WebConfigError as error:
            _log.error("web_config_refused", error=str(error))
        except TimeoutError:  # treated like a hanging check, so that it is tried again later
            self._handled = self._seen = self._hanging_message()
            _log.error("web_config_refused", error=self._seen)
        else:
            _log.info("web_config_reloaded", file=self._settings.file)

    async def _read_files(self) -> _Rules | str:
        try:
            return await self._files.run(self._current)
        except WebConfigError as error:
            return str(error)
        except TimeoutError:
            return self._hanging_message()

    def _hanging_message(self) -> str:
        return read_timeout_message(self._settings.file, READ_SECONDS)

    def _current(self) -> _Rules:
        settings = self._read()
        return _Rules(settings, None if settings.tls is None else read_material(settings.tls))

    async def _apply(self, seen: _Rules | str) -> None:
        if isinstance(seen, str):
            raise WebConfigError(seen)
        context = await self._files.run(partial(_context, seen))
        if (context is None) != (self.tls is None):
            raise WebConfigError(f"{seen.settings.file}: tls_server_config: {_ONLY_AT_START}")
        if self.tls is not None and context is not None:
            self.tls.newest = context
        before, self._settings = self._settings, seen.settings
        if before.users != seen.settings.users:
            self._auth = self._make_auth()

    def _make_auth(self) -> BasicAuth | None:
        users = self._settings.users
        return BasicAuth(users, self._clock, self._check) if users else None

    @web.middleware
    async def _check_access(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if not self._has_allowed_certificate(request):
            return _error_response(HTTPStatus.FORBIDDEN, _WRONG_CERTIFICATE)
        if self._auth is not None and request.path not in self._open_paths:
            authorization = request.headers.get(hdrs.AUTHORIZATION, "")
            try:
                admitted = await self._auth.admits(authorization, request.remote or "")
            except (TooManyWaitingError, TimeoutError):
                return _error_response(HTTPStatus.SERVICE_UNAVAILABLE, _BUSY)
            if not admitted:
                return _error_response(HTTPStatus.UNAUTHORIZED, "Unauthorized")
        return await handler(request)

    def _has_allowed_certificate(self, request: web.Request) -> bool:
        tls = self._settings.tls
        if tls is None or not tls.client_allowed_sans:
            return True
        certificate = request.get_extra_info("peercert") or {}
        return has_allowed_name(certificate, tls.client_allowed_sans)

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(self._settings.headers)
        connection = request.get_extra_info("ssl_object")
        if self.tls is not None and connection and connection.context is not self.tls.newest:
            # The connection was made under older settings. The next request must open a new one.
            response.headers[hdrs.CONNECTION] = "close"
            response.force_close()


def read_timeout_message(file: str, seconds: float) -> str:
    """The message if a web configuration cannot be read in time."""
    what = f"this file, or a file that it names, could not be read within {seconds:g}s"
    return f"{file}: {what}: check for a hung mount"


def _context(rules: _Rules) -> AlertingContext | None:
    tls, material = rules.settings.tls, rules.material
    return None if tls is None or material is None else make_context(tls, material)


def _error_response(status: HTTPStatus, text: str) -> web.Response:
    response = web.Response(status=status, text=f"{text}\n")
    if status is HTTPStatus.UNAUTHORIZED:
        response.headers[hdrs.WWW_AUTHENTICATE] = 'Basic realm="flashback-exporter"'
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        response.headers[hdrs.RETRY_AFTER] = "1"
    return response
