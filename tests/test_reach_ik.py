"""The closed form of reach against numeric inverse kinematics of the arm, built from the vendor's table."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from iker_envs.reach import reach_margin

# Modified Denavit-Hartenberg rows (d, alpha, a) and joint limits of the xArm7 (UFACTORY kinematic parameters).
LINKS = np.array(
    [
        [0.267, 0.0, 0.0],
        [0.0, -np.pi / 2, 0.0],
        [0.293, np.pi / 2, 0.0],
        [0.0, np.pi / 2, 0.0525],
        [0.3425, np.pi / 2, 0.0775],
        [0.0, np.pi / 2, 0.0],
        [0.097, -np.pi / 2, 0.076],
    ]
)
TURN = 2 * np.pi
LOW = np.array([-TURN, -2.059488, -TURN, -0.191986, -TURN, -1.692969, -TURN])
HIGH = np.array([TURN, 2.094395, TURN, 3.92699, TURN, np.pi, TURN])
TOOL_M = 0.172  # flange to tool centre, xArm gripper
SOLVED = 1e-3  # metres, and tenths of a radian
CONE_RAD = np.deg2rad(40.0)


def forward(q: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tool centres (N, 3), rotations (N, 3, 3) and Jacobians (N, 6, 7) at joint angles (N, 7)."""
    frame = np.tile(np.eye(4), (len(q), 1, 1))
    axes = []
    origins = []
    for (d, alpha, a), angle in zip(LINKS, q.T, strict=True):
        c = np.cos(angle)
        s = np.sin(angle)
        ca = np.cos(alpha)
        sa = np.sin(alpha)
        zero = np.zeros_like(c)
        one = np.ones_like(c)
        rows = [[c, -s, zero, a * one], [s * ca, c * ca, -sa * one, -d * sa * one]]
        rows += [[s * sa, c * sa, ca * one, d * ca * one], [zero, zero, zero, one]]
        frame = frame @ np.moveaxis(np.array(rows), -1, 0)
        axes.append(frame[:, :3, 2])
        origins.append(frame[:, :3, 3])
    tip = frame[:, :3, 3] + TOOL_M * frame[:, :3, 2]
    linear = np.stack([np.cross(z, tip - p) for z, p in zip(axes, origins, strict=True)], axis=-1)
    return tip, frame[:, :3, :3], np.concatenate([linear, np.stack(axes, axis=-1)], axis=1)


def solve(position: np.ndarray, rotation: np.ndarray, rng: np.random.Generator, tries: int = 12, iterations: int = 100):
    """Which poses (N,) damped least squares within the joint limits finds joint angles for."""
    found = np.zeros(len(position), dtype=bool)
    for _ in range(tries):
        left = np.flatnonzero(~found)
        if not len(left):
            break
        q = rng.uniform(np.maximum(LOW, -np.pi), np.minimum(HIGH, np.pi), (len(left), 7))
        q[:, 0] = np.arctan2(position[left, 1], position[left, 0]) + rng.normal(0.0, 0.5, len(left))
        for _ in range(iterations):
            tip, turned, jacobian = forward(q)
            away = Rotation.from_matrix(rotation[left] @ turned.transpose(0, 2, 1)).as_rotvec()
            error = np.concatenate([position[left] - tip, away], axis=-1)
            good = np.linalg.norm(error[:, :3], axis=-1) + 0.1 * np.linalg.norm(error[:, 3:], axis=-1) < SOLVED
            found[left[good]] = True
            left, q, error, jacobian = (values[~good] for values in (left, q, error, jacobian))
            if not len(left):
                return found
            error *= np.minimum(1.0, 0.3 / np.linalg.norm(error, axis=-1, keepdims=True))
            transposed = jacobian.transpose(0, 2, 1)
            step = transposed @ np.linalg.solve(jacobian @ transposed + 1e-3 * np.eye(6), error[..., None])
            q = np.clip(q + np.clip(step[..., 0], -0.3, 0.3), LOW, HIGH)
    return found


def poses(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random tool positions (N, 3) and rotations (N, 3, 3), the approach within a cone about down or about +x."""
    position = rng.uniform([0.15, -0.5, 0.0], [0.85, 0.5, 0.55], (count, 3))
    angle = np.arccos(rng.uniform(np.cos(CONE_RAD), 1.0, count))
    direction = rng.uniform(-np.pi, np.pi, count)
    tilt = Rotation.from_rotvec(angle[:, None] * np.stack([-np.sin(direction), np.cos(direction), 0 * angle], axis=-1))
    spin = Rotation.from_rotvec(rng.uniform(-np.pi, np.pi, (count, 1)) * np.array([0.0, 0.0, 1.0]))
    down = Rotation.from_euler("x", np.pi)
    ahead = Rotation.from_euler("y", np.pi / 2)
    is_down = rng.random(count)[:, None, None] < 0.6
    return position, np.where(is_down, (down * tilt * spin).as_matrix(), (ahead * tilt * spin).as_matrix())


def test_the_arm_model_is_the_vendors():
    tip, rotation, _ = forward(np.zeros((1, 7)))
    np.testing.assert_allclose(tip[0] - TOOL_M * rotation[0, :, 2], [0.206, 0.0, 0.1205], atol=1e-9)
    np.testing.assert_allclose(rotation[0, :, 2], [0, 0, -1], atol=1e-9)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_reach_agrees_with_inverse_kinematics(seed):
    rng = np.random.default_rng(seed)
    position, rotation = poses(1000, rng)
    quaternion = np.roll(Rotation.from_matrix(rotation).as_quat(), 1, axis=-1)
    margin = reach_margin(np.concatenate([position, quaternion], axis=-1))
    found = solve(position, rotation, rng)
    agreement = float(((margin >= 0) == found).mean())
    print(f"agreement {agreement:.3f} over 1000 poses, {found.mean():.2f} of them within reach")
    assert agreement >= 0.97
    doubtful = (margin > 0.02) & ~found  # more than 2 cm inside, and nothing found: try harder before judging
    assert solve(position[doubtful], rotation[doubtful], rng, tries=60).all()
