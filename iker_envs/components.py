"""The formulas of rigid-body geometry on components: a vector is a tuple of arrays (x, y, z), a quaternion (w, x, y, z)
and a pose (x, y, z, qw, qx, qy, qz).

    arrays (..., D)  ->  columns  ->  formulas, one after the other  ->  stacked  ->  arrays (..., D)

geometry.py has the same on whole arrays, made of these. What every tick computes in all worlds works here, because
numpy is slow along a short last axis: between two formulas, taking arrays apart and putting them together again costs
more than the formulas do. The arrays of a tuple broadcast against each other and against those of another tuple.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import array_api_compat
import array_api_compat.numpy
import numpy as np

Array = Any
Components = tuple[Array, ...]
_NO_TURN_RAD = 1e-9  # below it the sine of an angle is the angle


def namespace(*arrays: Array) -> Any:
    """The array-API namespace (numpy, torch, ...) that the arrays belong to."""
    for array in arrays:
        if type(array) is not np.ndarray:
            return array_api_compat.array_namespace(*arrays)
    return array_api_compat.numpy  # the usual case, without array_api_compat's inspection


def columns(v: Array) -> Components:
    """The components (...) of vectors (..., D)."""
    return tuple(v[..., k] for k in range(v.shape[-1]))


def stacked(parts: Components) -> Array:
    """Vectors (..., D) from D components, all (...)."""
    return namespace(*parts).stack(parts, axis=-1)


def beside(parts: Components) -> Array:
    """As `stacked`, of components (N,) of one type; in memory they stay apart, as the next tick takes them."""
    return np.array(parts).T if type(parts[0]) is np.ndarray else stacked(parts)


def corrected(chosen: Array, correct: Callable[..., Components], *given: Components) -> Components:
    """`given[0]`, all (N,), with what `correct(*given)` makes of the chosen rows (N,) bool.

    The rest is not computed on the host; on an accelerator that costs less than to wait for how many are chosen.
    """
    if type(chosen) is not np.ndarray:
        return tuple(
            namespace(chosen).where(chosen, new, old) for new, old in zip(correct(*given), given[0], strict=True)
        )
    rows = np.flatnonzero(chosen)
    if not len(rows):
        return given[0]
    new = correct(*(tuple(c[rows] for c in components) for components in given))
    result = tuple(c.copy() for c in given[0])
    for values, changed in zip(result, new, strict=True):
        values[rows] = changed
    return result


def clipped(values: Array, low: Any, high: Any) -> Array:
    """The values within [low, high]; NaN stays NaN. `clip` of the array-API namespaces takes five times as long."""
    if hasattr(values, "clamp"):  # torch's own makes no tensor of a number, which would be copied to the device
        return values.clamp(low, high)
    xp = namespace(values)
    return xp.minimum(xp.maximum(values, low), high)


def difference(a: Components, b: Components) -> Components:
    """a - b."""
    return tuple(x - y for x, y in zip(a, b, strict=True))


def dot(a: Components, b: Components) -> Array:
    """Dot product of vectors with at least one component."""
    first, *rest = (x * y for x, y in zip(a, b, strict=True))
    return sum(rest, start=first)


def cross(a: Components, b: Components) -> Components:
    """Cross product of vectors with three components."""
    a0, a1, a2 = a
    b0, b1, b2 = b
    return a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0


def norm(v: Components) -> Array:
    """Euclidean length."""
    return namespace(*v).sqrt(dot(v, v))


def multiply(a: Components, b: Components) -> Components:
    """Rotation b followed by rotation a."""
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    cx, cy, cz = cross((ax, ay, az), (bx, by, bz))
    w = aw * bw - (ax * bx + ay * by + az * bz)
    return w, aw * bx + bw * ax + cx, aw * by + bw * ay + cy, aw * bz + bw * az + cz


def conjugate(q: Components) -> Components:
    """The inverse rotation."""
    w, x, y, z = q
    return w, -x, -y, -z


def rotate(q: Components, v: Components) -> Components:
    """Vectors rotated by quaternions."""
    w, *u = q
    vx, vy, vz = v
    tx, ty, tz = (2.0 * c for c in cross(tuple(u), v))
    cx, cy, cz = cross(tuple(u), (tx, ty, tz))
    return vx + w * tx + cx, vy + w * ty + cy, vz + w * tz + cz


def transform(pose: Components, points: Components) -> Components:
    """Points mapped by poses into the frame that these are given in."""
    return tuple(x + turned for x, turned in zip(pose[:3], rotate(pose[3:], points), strict=True))


def from_rotvec(rotvec: Components) -> Components:
    """Axis times angle in radians -> quaternion; exact near zero through sinc."""
    xp = namespace(*rotvec)
    half = 0.5 * norm(rotvec)
    turns = half > _NO_TURN_RAD
    safe = xp.where(turns, half, 1.0)
    scale = 0.5 * xp.where(turns, xp.sin(safe) / safe, 1.0)
    return xp.cos(half), *(scale * c for c in rotvec)


def to_rotvec(q: Components) -> Components:
    """Quaternion -> axis times angle, angle in [0, pi]."""
    xp = namespace(*q)
    negative = q[0] < 0
    w, *u = (xp.where(negative, -c, c) for c in q)
    length = norm(tuple(u))
    angle = 2.0 * xp.atan2(length, w)
    turns = length > _NO_TURN_RAD
    scale = xp.where(turns, angle / xp.where(turns, length, 1.0), 2.0)
    return tuple(scale * c for c in u)


def body_axis(q: Components, axis: int) -> Components:
    """World direction of body axis 0 (x), 1 (y) or 2 (z)."""
    w, x, y, z = q
    if axis == 0:
        return 1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)
    if axis == 1:
        return 2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)
    return 2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)


def tilt_angle(q: Components) -> Array:
    """Angle in radians by which rotations take z out of the vertical."""
    _, x, y, _ = q
    upwards = clipped(1 - 2 * (x * x + y * y), -1.0, 1.0)
    return namespace(upwards).acos(upwards)


def heading_angle(q: Components) -> Array:
    """Angle in radians, in [0, pi], by which rotations turn about z, whatever their tilt: their twist about it."""
    w, _, _, z = q
    xp = namespace(w)
    return 2.0 * xp.abs(xp.atan(z / (xp.abs(w) + 1e-12)))


def aligned(q: Components, reference: Components) -> Components:
    """Of q and -q, the same rotation, the one whose dot product with the reference is not negative."""
    xp = namespace(*q)
    opposite = dot(q, reference) < 0
    return tuple(xp.where(opposite, -c, c) for c in q)
