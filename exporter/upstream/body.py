"""A body while it is read: never past its limit, neither as sent nor decompressed.

Neither httpx nor aiohttp stops a compressed body at a limit while decompressing it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from io import BytesIO

from exporter.model import ApiError, Reason

STEP = 2**20
"""Bytes that are decompressed at a time, in some 3 ms."""


class RefusedBody(Exception):  # noqa: N818 - it names what happened, and is no bug
    """A body cannot be used; `fault` says why."""

    def __init__(self, fault: ApiError) -> None:
        super().__init__(fault.message)
        self.fault = fault


class Body:
    """Takes chunks as they come, gives the whole. Raises RefusedBody."""

    def __init__(self, encoding: str, limit: int) -> None:
        self._limit = limit
        self._received = 0
        self._body = BytesIO()  # gives its bytes without copying them
        encoding = encoding.strip().lower()
        if encoding not in {"identity", "", "gzip", "x-gzip", "deflate"}:
            raise _refused(Reason.MALFORMED, "the answer has an encoding that was not asked for")
        compressed = encoding not in {"identity", ""}
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 32) if compressed else None

    def take(self, chunk: bytes) -> Iterator[None]:
        """Add a chunk as it was sent, in steps: a small one may be a thousand times as large."""
        self._received += len(chunk)
        if self._received > self._limit:
            raise self._too_large()
        if self._inflater is None:
            self._body.write(chunk)
            return
        more = True
        while more:
            chunk, more = self._inflate(self._inflater, chunk)
            yield

    def whole(self) -> bytes:
        """All of it, decompressed, once there are no more chunks."""
        if self._inflater is not None and self._received and not self._inflater.eof:
            raise _refused(Reason.CONNECT, "the answer ended before its compressed body did")
        return self._body.getvalue()

    def _inflate(self, inflater: zlib._Decompress, chunk: bytes) -> tuple[bytes, bool]:
        """Add one step of what a chunk holds; what is left of it, and whether there may be more."""
        # A byte more than allowed is enough to know: a bomb is met while it is small.
        most = min(STEP, self._limit + 1 - self._body.tell())
        try:
            inflated = inflater.decompress(chunk, most)
        except zlib.error:
            raise _refused(Reason.MALFORMED, "the answer's compression is broken") from None
        self._body.write(inflated)
        if self._body.tell() > self._limit:
            raise self._too_large()
        left = inflater.unconsumed_tail
        return left, bool(left) or len(inflated) == most

    def _too_large(self) -> RefusedBody:
        message = f"the answer is larger than max_response_bytes ({self._limit})"
        return _refused(Reason.TOO_LARGE, message)


def _refused(reason: Reason, message: str) -> RefusedBody:
    return RefusedBody(ApiError(reason, message))
