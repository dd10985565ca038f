"""`Rotation` for programs: the part of scipy.spatial.transform.Rotation that they use, for one rotation at a time.

In: Euler angles, matrices, rotation vectors and quaternions in scipy's conventions (quaternions x, y, z, w; lower
case axes extrinsic, upper case intrinsic; radians unless degrees=True). Out: numpy arrays. Written out here because
the process of a program loads nothing but numpy.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
_AXES = "xyz"


class Rotation:
    """A proper rotation of 3-space, kept as a (3, 3) matrix that maps vectors by `matrix @ vector`.

    What scipy calls a stack is possible with a single rotation in it, as from_euler("xyz", [[a, b, c]]) makes it: its
    results have one more axis in front.
    """

    __slots__ = ("_matrix", "_stacked")

    def __init__(self, matrix: Array, stacked: bool = False) -> None:
        self._matrix = matrix
        self._stacked = stacked

    @classmethod
    def identity(cls) -> Rotation:
        return cls(np.eye(3))

    @classmethod
    def from_euler(cls, seq: str, angles: ArrayLike, degrees: bool = False) -> Rotation:
        """Angles about the axes of `seq`, one to three of "xyz" (extrinsic) or "XYZ" (intrinsic)."""
        axes = _axes(seq)
        values = np.asarray(angles, dtype=float)
        stacked = values.ndim == 2
        if values.size != len(axes) or values.shape[:-1] not in ((), (1,)):
            raise ValueError(f"from_euler needs {len(axes)} angles for {seq!r}, one rotation at a time")
        values = values.ravel()
        matrix = np.eye(3)
        for axis, angle in zip(axes, np.radians(values) if degrees else values, strict=True):
            turn = _about(axis, float(angle))
            matrix = matrix @ turn if seq.isupper() else turn @ matrix
        return cls(matrix, stacked)

    @classmethod
    def align_vectors(cls, a: ArrayLike, b: ArrayLike, weights: ArrayLike | None = None) -> tuple[Rotation, float]:
        """The rotation that best turns the vectors b (N, 3) onto a (N, 3), and the root of the summed squared errors.

        Kabsch 1976; a single pair of vectors is turned the shortest way.
        """
        goals = np.atleast_2d(np.asarray(a, dtype=float))
        starts = np.atleast_2d(np.asarray(b, dtype=float))
        if goals.shape != starts.shape or goals.shape[1:] != (3,) or not np.isfinite([goals, starts]).all():
            raise ValueError(f"align_vectors needs two equal arrays of shape (N, 3), got {goals.shape}, {starts.shape}")
        weight = np.ones(len(goals)) if weights is None else _shaped(weights, (len(goals),), "align_vectors")
        u, _, vt = np.linalg.svd((weight[:, None] * goals).T @ starts)
        matrix = u @ np.diag([1.0, 1.0, np.linalg.det(u @ vt)]) @ vt
        if len(goals) == 1:
            matrix = _shortest_turn(starts[0], goals[0])
        errors = weight * np.sum((goals - starts @ matrix.T) ** 2, axis=1)
        return cls(matrix), float(np.sqrt(errors.sum()))

    @classmethod
    def from_matrix(cls, matrix: ArrayLike) -> Rotation:
        """The rotation nearest to a (3, 3) matrix of positive determinant."""
        given = _shaped(matrix, (3, 3), "from_matrix")
        if not np.linalg.det(given) > 0:
            raise ValueError("from_matrix needs a matrix with a positive determinant")
        u, _, vt = np.linalg.svd(given)
        return cls(u @ vt)

    @classmethod
    def from_rotvec(cls, rotvec: ArrayLike, degrees: bool = False) -> Rotation:
        """A vector (3,) along the axis, its length the angle."""
        vector = _shaped(rotvec, (3,), "from_rotvec")
        vector = np.radians(vector) if degrees else vector
        angle = float(np.linalg.norm(vector))
        half = 0.5 * float(np.sinc(0.5 * angle / math.pi))  # sin(angle / 2) / angle, also at zero
        return cls.from_quat([*(half * vector), math.cos(0.5 * angle)])

    @classmethod
    def from_quat(cls, quat: ArrayLike) -> Rotation:
        """A quaternion (4,) in the order x, y, z, w; any non-zero length."""
        given = _shaped(quat, (4,), "from_quat")
        if not np.any(given):
            raise ValueError("from_quat needs a quaternion that is not zero")
        x, y, z, w = given / np.linalg.norm(given)
        skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        return cls(np.eye(3) + 2 * w * skew + 2 * skew @ skew)

    @property
    def single(self) -> bool:
        return not self._stacked

    def __getitem__(self, index: Any) -> Rotation:
        if not self._stacked:
            raise TypeError("a single rotation has no items")
        return Rotation(np.array([self._matrix])[index])

    def __len__(self) -> int:
        if not self._stacked:
            raise TypeError("a single rotation has no length")
        return 1

    def _told(self, values: Array) -> Array:
        return values[None] if self._stacked else values

    def as_matrix(self) -> Array:
        return self._told(self._matrix.copy())

    def as_quat(self) -> Array:
        """(4,) in the order x, y, z, w."""
        return self._told(self._quaternion())

    def _quaternion(self) -> Array:
        """The largest component is taken first (Shepperd 1978)."""
        m = self._matrix
        diagonal = [m[0, 0], m[1, 1], m[2, 2], np.trace(m)]
        i = int(np.argmax(diagonal))
        quat = np.empty(4)
        if i == 3:
            quat[:] = m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], 1 + diagonal[3]
        else:
            j = (i + 1) % 3
            k = (i + 2) % 3
            quat[i] = 1 + m[i, i] - m[j, j] - m[k, k]
            quat[j] = m[j, i] + m[i, j]
            quat[k] = m[k, i] + m[i, k]
            quat[3] = m[k, j] - m[j, k]
        return quat / np.linalg.norm(quat)

    def as_rotvec(self, degrees: bool = False) -> Array:
        """(3,), its length between 0 and pi."""
        vector = self._rotation_vector()
        return self._told(np.degrees(vector) if degrees else vector)

    def _rotation_vector(self) -> Array:
        quat = self._quaternion()
        quat = -quat if quat[3] < 0 else quat
        sine = float(np.linalg.norm(quat[:3]))
        angle = 2 * math.atan2(sine, quat[3])
        return quat[:3] * (angle / sine if sine > 1e-12 else 2.0)

    def as_euler(self, seq: str, degrees: bool = False) -> Array:
        """Three angles (3,) for `seq`, the third one zero in gimbal lock."""
        i, j, k = _axes(seq, (3,))
        # Intrinsic angles are the negative extrinsic angles of the inverse.
        angles = -_extrinsic(self._matrix.T, i, j, k, -1) if seq.isupper() else _extrinsic(self._matrix, i, j, k, 1)
        return self._told(np.degrees(angles) if degrees else angles)

    def apply(self, vectors: ArrayLike, inverse: bool = False) -> Array:
        """Rotates one vector (3,) or many (N, 3)."""
        points = np.asarray(vectors, dtype=float)
        turned = points @ (self._matrix if inverse else self._matrix.T)
        return np.atleast_2d(turned) if self._stacked else turned

    def inv(self) -> Rotation:
        return Rotation(self._matrix.T.copy(), self._stacked)

    def magnitude(self) -> Any:
        """The angle, 0 to pi."""
        angle = float(np.linalg.norm(self._rotation_vector()))
        return np.array([angle]) if self._stacked else angle

    def __repr__(self) -> str:
        return f"Rotation.from_matrix({self.as_matrix()!r})"

    def __mul__(self, other: Any) -> Rotation:
        """`a * b` rotates by b first."""
        if not isinstance(other, Rotation):
            return NotImplemented
        return Rotation(self._matrix @ other._matrix, self._stacked or other._stacked)


def _shaped(value: ArrayLike, shape: tuple[int, ...], where: str) -> Array:
    array = np.asarray(value, dtype=float)
    if array.shape != shape or not np.isfinite(array).all():
        raise ValueError(f"{where} needs {shape} finite numbers, one rotation at a time; got shape {array.shape}")
    return array


def _axes(seq: Any, lengths: tuple[int, ...] = (1, 2, 3)) -> list[int]:
    valid = isinstance(seq, str) and len(seq) in lengths and (seq.islower() or seq.isupper())
    if not valid or any(c not in _AXES for c in seq.lower()) or any(a == b for a, b in pairwise(seq)):
        raise ValueError(f"{seq!r:.20} is not a sequence of axes like 'z', 'xyz' or 'ZYX'")
    return [_AXES.index(c) for c in seq.lower()]


def _about(axis: int, angle: float) -> Array:
    c = math.cos(angle)
    s = math.sin(angle)
    matrix = np.eye(3)
    j = (axis + 1) % 3
    k = (axis + 2) % 3
    matrix[j, j] = c
    matrix[k, k] = c
    matrix[j, k] = -s
    matrix[k, j] = s
    return matrix


def _shortest_turn(start: Array, goal: Array) -> Array:
    """The matrix of the smallest rotation that turns one direction into another."""
    a = start / np.linalg.norm(start)
    b = goal / np.linalg.norm(goal)
    axis = np.cross(a, b)
    sine = float(np.linalg.norm(axis))
    if sine < 1e-12:  # the same direction, or the opposite one: then about any axis across it
        axis = np.cross(a, np.eye(3)[np.argmin(np.abs(a))])
        sine = 0.0
    axis = axis / np.linalg.norm(axis)
    return Rotation.from_rotvec(math.atan2(sine, float(a @ b)) * axis).as_matrix()


def _extrinsic(matrix: Array, i: int, j: int, k: int, sign: int) -> Array:
    """Angles (a, b, c) with R_k(c) R_j(b) R_i(a) = matrix; b has that sign where i = k, else |b| <= pi/2."""
    ahead = 1 if (j - i) % 3 == 1 else -1
    turned = matrix[:, i]  # R_i leaves its own axis alone: only b and c have turned it
    if k == i:
        other = 3 - i - j
        b_sine = sign * math.hypot(turned[j], turned[other])
        b_cosine = turned[i]
        c_sine = sign * turned[j]
        c_cosine = -sign * ahead * turned[other]
        size = abs(b_sine)
    else:
        b_sine = -ahead * turned[k]
        b_cosine = math.hypot(turned[i], turned[j])
        c_sine = ahead * turned[j]
        c_cosine = turned[i]
        size = b_cosine
    b = math.atan2(b_sine, b_cosine)
    c = math.atan2(c_sine, c_cosine) if size > 1e-9 else 0.0
    rest = _about(j, -b) @ _about(k, -c) @ matrix  # = R_i(a)
    n = (i + 1) % 3
    m = (i + 2) % 3
    return np.array([math.atan2(rest[m, n], rest[n, n]), b, c])
