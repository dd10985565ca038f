"""The scripted motions around a policy: grasp before it, release and retreat after it. All in physics.

Nothing is welded or teleported in the hand: fingers close with limited force, objects may slip, drop or be missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from iker_envs.geometry import (
    norm,
    pose_compose,
    quaternion_conjugate,
    quaternion_from_yaw,
    quaternion_multiply,
    quaternion_rotate,
)
from iker_envs.planning.grasps import propose_grasps
from iker_envs.planning.hand import FINGER_STIFFNESS, GRIP_FORCE_N, MAX_OPENING_M
from iker_envs.scene import Grasp
from iker_envs.sim import WorldReset, WorldState

if TYPE_CHECKING:
    from iker_envs.stage.arrangements import Arrangement
    from iker_envs.stage.worlds import StageWorlds

_RETREAT_M = 0.12
_STILL_M_S = 0.01
_STILL_RAD_S = 0.1
_SETTLE_TICKS = 30  # 3 s at 10 Hz, the longest wait
_HELD_M = 0.04  # in the hand while it withdraws by 12 cm: held objects slip by up to 2.5 cm, others by 12 cm and more


@dataclass(frozen=True)
class GraspedStates:
    """One grasped state per world: rows to reset to, the starts they came from, and what became of them."""

    rows: WorldReset
    starts: Sequence[Arrangement]
    held: np.ndarray  # (N,) bool, the hand holds the object
    still: np.ndarray  # (N,) bool, no other object moves any more


def object_in_hand(state: WorldState, index: np.ndarray) -> np.ndarray:
    """The centre (N, 3) of each world's object `index` (N,) in the end-effector frame."""
    offset = state.object_pose[np.arange(len(index)), index, :3] - state.gripper_pose[:, :3]
    return quaternion_rotate(quaternion_conjugate(state.gripper_pose[:, 3:]), offset)


def place_hand(worlds: StageWorlds, pose: np.ndarray, opening_m: float) -> None:
    """Put the empty hand of every world at a pose (N, 7), objects untouched (the arm moves there unseen)."""
    opening = np.full(worlds.num_worlds, opening_m)
    worlds.sim.reset(np.arange(worlds.num_worlds), WorldReset(pose, opening, None, opening))


def grasped_states(worlds: StageWorlds, configuration: int | None) -> GraspedStates:
    """Draw an episode for every world, grasp in physics and return where that left things."""
    everyone = np.arange(worlds.num_worlds)
    starts = worlds.draw(everyone, configuration, own_goals=True)  # a given one may change while the states are kept
    worlds.arrange(everyone, starts)
    poses = np.array([s.object_pose for s in starts])
    local, width = (np.array(column) for column in zip(*map(worlds.arrangements.grasp, starts), strict=True))
    nominal = pose_compose(poses[everyone, worlds.object_index], local)
    tcp = np.array([_noisy(worlds, w, nominal[w]) for w in everyone])
    worlds.place(everyone, starts, _behind(tcp, _RETREAT_M), np.full(worlds.num_worlds, MAX_OPENING_M))
    command, in_hand = pick_up(worlds, tcp, width)
    state = worlds.sim.state()
    furniture = np.array([s.furniture_pose for s in starts])
    rows = WorldReset(state.gripper_pose, state.opening_m, state.object_pose, command, furniture)
    return GraspedStates(rows, starts, _held(worlds, state, in_hand), _at_rest(state, besides=worlds.object_index))


def grasp_now(worlds: StageWorlds, grasp: Grasp | None) -> str:
    """Grasp in the world as it stands and begin the episode; returns why it failed, else ""."""
    goal = worlds.goal
    if grasp is None:
        proposals = propose_grasps(worlds.scene_now(0), goal.object, goal.target_pose)
        if not proposals.grasps:
            worlds.begin(np.arange(worlds.num_worlds), worlds.opening_command_m)
            return f"{goal.object} cannot be grasped: {proposals.reason}"
        grasp = proposals.grasps[0]
        tcp = np.array([_noisy(worlds, w, np.array(grasp.tcp_pose)) for w in range(worlds.num_worlds)])
    else:  # a grasp that is given brings the error of whoever estimated the pose; the arm itself repeats to 0.1 mm
        tcp = np.tile(grasp.tcp_pose, (worlds.num_worlds, 1))
    place_hand(worlds, _behind(tcp, _RETREAT_M), MAX_OPENING_M)
    command, in_hand = pick_up(worlds, tcp, np.full(worlds.num_worlds, grasp.width_m))
    worlds.begin(np.arange(worlds.num_worlds), command)
    held = worlds.grasped = _held(worlds, worlds.state, in_hand)
    return "" if held.all() else f"the hand did not lift {goal.object} when it grasped it"


def _held(worlds: StageWorlds, state: WorldState, in_hand: np.ndarray) -> np.ndarray:
    """Did the object (N,) come along with the hand, given where it was in it (N, 3) when the fingers had closed?"""
    return (norm(object_in_hand(state, worlds.object_index) - in_hand) < _HELD_M) & ~state.unstable


def _noisy(worlds: StageWorlds, world: int, tcp: np.ndarray) -> np.ndarray:
    rng = worlds.rngs[world]
    draw = worlds.randomisation.draw
    position = tcp[:3] + draw("grasp_position", rng)[0]
    turn = quaternion_from_yaw(np.array(draw("grasp_rotation", rng)[0, 0]))
    return np.concatenate([position, quaternion_multiply(turn, tcp[3:])])


def _behind(tcp: np.ndarray, distance_m: float) -> np.ndarray:
    """The poses (N, 7) moved back along their approach axis."""
    shift = np.tile([0.0, 0, -distance_m, 1, 0, 0, 0], (len(tcp), 1))
    return pose_compose(tcp, shift)


def pick_up(worlds: StageWorlds, tcp: np.ndarray, width_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """From where the open hands are, approach poses (N, 7) in a line, close on widths (N,), withdraw as they came.

    Returns the opening commands (N,) that hold the object, and where its centre was in the closed hand (N, 3).
    """
    opening = np.full(worlds.num_worlds, MAX_OPENING_M)
    for back in np.linspace(_RETREAT_M, 0.0, 9)[1:]:
        worlds.sim.step(_behind(tcp, back), opening, worlds.substeps)
    worlds.sim.step(tcp, opening, worlds.substeps)
    squeeze = 2 * GRIP_FORCE_N / FINGER_STIFFNESS
    for closing in np.linspace(opening, np.maximum(width_m - squeeze, 0.0), 9)[1:]:
        opening = closing
        worlds.sim.step(tcp, opening, worlds.substeps)
    for _ in range(2):
        worlds.sim.step(tcp, opening, worlds.substeps)
    in_hand = object_in_hand(worlds.sim.state(), worlds.object_index)
    for back in (*np.linspace(0.0, _RETREAT_M, 7)[1:], _RETREAT_M):
        worlds.sim.step(_behind(tcp, back), opening, worlds.substeps)
    return opening, in_hand


def release_and_settle(worlds: StageWorlds) -> None:
    """Open the fingers, back off along the approach axis, wait until all objects are still (at most 3 s)."""
    pose = worlds.sim.state().gripper_pose.copy()
    opening = worlds.opening_command_m.copy()
    if worlds.goal.grasp:
        for _ in range(6):
            opening = np.minimum(opening + 0.02, MAX_OPENING_M)
            worlds.sim.step(pose, opening, worlds.substeps)
    for back in np.linspace(0.0, _RETREAT_M, 7)[1:]:
        worlds.sim.step(_behind(pose, back), opening, worlds.substeps)
    worlds.state = worlds.sim.state()
    still = np.zeros(worlds.num_worlds, dtype=bool)
    for _ in range(_SETTLE_TICKS):
        still |= _at_rest(worlds.state)
        if still.all():
            break
        worlds.sim.step(_behind(pose, _RETREAT_M), opening, worlds.substeps)
        worlds.state = _where(still, worlds.state, worlds.sim.state())


def _at_rest(state: WorldState, besides: np.ndarray | None = None) -> np.ndarray:
    """Do all objects of a world, or all besides one (N,), stand still, (N,) bool?"""
    twist = np.abs(state.object_twist)
    if besides is not None:
        twist[np.arange(len(besides)), besides] = 0.0
    return (twist[..., :3].max(axis=(1, 2)) < _STILL_M_S) & (twist[..., 3:].max(axis=(1, 2)) < _STILL_RAD_S)


def _where(chosen: np.ndarray, a: WorldState, b: WorldState) -> WorldState:
    """Rows of `a` where chosen (N,), of `b` elsewhere: a world is measured when it rests, whatever others do."""
    rows = {f.name: (getattr(a, f.name), getattr(b, f.name)) for f in fields(WorldState)}
    return WorldState(**{n: np.where(chosen.reshape(-1, *[1] * (x.ndim - 1)), x, y) for n, (x, y) in rows.items()})
