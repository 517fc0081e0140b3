"""The distance of two colours, for normal and for colour-blind vision.

Dichromacy is simulated by the matrices of Machado, Oliveira and Fernandes (2009); distances are
those of CIE 1976. The meanings of colours are in `monitoring.boards.colours`.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import dist
from typing import TypeAlias

Triple: TypeAlias = tuple[float, float, float]
Matrix: TypeAlias = tuple[Triple, Triple, Triple]

SIGHTS: dict[str, Matrix] = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}
"""For each kind of vision, the matrix that is applied to linear RGB."""

_TO_XYZ: Matrix = (
    (0.4124, 0.3576, 0.1805),
    (0.2126, 0.7152, 0.0722),
    (0.0193, 0.1192, 0.9505),
)
_WHITE: Triple = (0.95047, 1.0, 1.08883)


def distance(one: str, other: str, sight: Matrix) -> float:
    """The distance of two colours (`#rrggbb`): 2 is just noticeable, 20 is easily visible."""
    return dist(*(_lab(_times(sight, _linear(each))) for each in (one, other)))


def _linear(color: str) -> Triple:
    red, green, blue = (
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4
        for each in (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))
    )
    return red, green, blue


def _times(matrix: Matrix, color: Triple) -> Triple:
    x, y, z = (sum(a * b for a, b in zip(row, color, strict=True)) for row in matrix)
    return x, y, z


def _lab(color: Triple) -> Triple:
    def scaled() -> Iterator[float]:
        seen = _times(_TO_XYZ, (_clipped(color[0]), _clipped(color[1]), _clipped(color[2])))
        for value, white in zip(seen, _WHITE, strict=True):
            share = value / white
            yield share ** (1 / 3) if share > 0.008856 else 7.787 * share + 16 / 116

    x, y, z = scaled()
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _clipped(value: float) -> float:
    return min(1.0, max(0.0, value))
