"""Durations and sizes as Prometheus writes them: text to number and back.

Pure functions. They raise ValueError with what to do about it; `{value}` in such a message stands
for the value as the file has it, and `{in_seconds}` for the same with the unit it lacks.
"""

from __future__ import annotations

import re

_MILLISECONDS = {
    "y": 365 * 86_400_000,
    "w": 7 * 86_400_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
_DIGITS = "[0-9]{1,9}"  # more would say nothing, and Python refuses to read thousands of them
DURATION_PATTERN = "^(0|(?=[0-9])" + "".join(f"({_DIGITS}{unit})?" for unit in _MILLISECONDS) + ")$"
_DURATION = re.compile(DURATION_PATTERN)
_DURATION_PART = re.compile(f"({_DIGITS})(ms|[ywdhms])")
_NUMBER = re.compile(r"[0-9]{1,9}")

_BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
SIZE_PATTERN = f"^([0-9]{{1,15}})({'|'.join(_BYTES)})?$"
_SIZE = re.compile(SIZE_PATTERN)


def duration(text: str) -> float:
    """Seconds, from `30s`, `1m30s`, `500ms` or `0`: units y w d h m s ms, in that order."""
    if _DURATION.fullmatch(text):
        parts = _DURATION_PART.findall(text)
        return sum(int(count) * _MILLISECONDS[unit] for count, unit in parts) / 1000
    if _NUMBER.fullmatch(text):
        raise ValueError("{value} has no unit: did you mean {in_seconds}?")
    raise ValueError(
        '{value} is not a duration: write it as "30s" or "1m30s", '
        "with the units y, w, d, h, m, s, ms in that order"
    )


def duration_text(seconds: float) -> str:
    """The duration as `duration` reads it, to the millisecond, in days at most: `1d30m`."""
    rest = round(seconds * 1000)
    text = ""
    for unit in ("d", "h", "m", "s", "ms"):
        count, rest = divmod(rest, _MILLISECONDS[unit])
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def size(text: str) -> int:
    """Bytes, from `8MiB`, `512KiB` or a plain number."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(
            '{value} is not a size: write it as "8MiB", with one of the units B, KiB, MiB, GiB'
        )
    return int(match[1]) * _BYTES[match[2] or "B"]
