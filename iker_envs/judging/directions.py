"""Directions and lengths in words, as the robot sees them: left is +y, right -y, away +x, near -x, up +z.

offset (3,) of an object from its target  ->  "8 cm too far left, 2 cm too near"
"""

from __future__ import annotations

import numpy as np

_WAYS = (("away from the robot", "towards the robot"), ("to the left", "to the right"), ("up", "down"))
_TOO = (("too far away", "too near"), ("too far left", "too far right"), ("too high", "too low"))
_WORTH_M = 0.01  # a component that is smaller is not spoken of, unless it is the largest
_WORTH_SHARE = 0.3  # of the largest component
_WORTH_DEG = 10.0


def centimetres(metres: float) -> str:
    """A length in words: "2.9 cm", "8 cm", "14 cm"."""
    value = 100.0 * abs(metres)
    return f"{value:.0f} cm" if value >= 9.95 else f"{value:.1f}".removesuffix(".0") + " cm"


def way(offset: np.ndarray, *, level: bool = True) -> str:
    """The main direction of a vector (3,), "to the left"; of its horizontal part unless `level` is False."""
    axis = int(np.argmax(np.abs(offset[: 2 if level else 3])))
    return _WAYS[axis][0 if offset[axis] >= 0 else 1]


def too_far(offset: np.ndarray, heading_deg: float = 0.0, tilt_deg: float = 0.0) -> str:
    """How an object that is off its target by a vector (3,) and angles (heading: positive to the left) is wrong."""
    size = np.abs(offset)
    worth = max(_WORTH_M, _WORTH_SHARE * float(size.max()))
    order = [int(axis) for axis in np.argsort(-size) if size[axis] >= worth]
    parts = [f"{centimetres(offset[axis])} {_TOO[axis][0 if offset[axis] >= 0 else 1]}" for axis in order]
    if abs(heading_deg) >= _WORTH_DEG:
        parts.append(f"turned {abs(heading_deg):.0f} degrees too far to the {'left' if heading_deg > 0 else 'right'}")
    if tilt_deg > _WORTH_DEG:
        parts.append(f"tilted by {tilt_deg:.0f} degrees")
    return ", ".join(parts)


def side_of(point: np.ndarray, low: np.ndarray, high: np.ndarray) -> str:
    """Over which side of a box [low, high] (2,) seen from above a point (2,) lies: "its right end", "its near edge"."""
    beyond = np.maximum(low - point, point - high)
    axis = int(np.argmax(beyond))
    is_long = bool((high - low)[axis] >= (high - low)[1 - axis])
    names = (("far", "near"), ("left", "right"))[axis]
    name = names[0 if point[axis] > (low + high)[axis] / 2 else 1]
    return f"{name} {'end' if is_long else 'edge'}"
