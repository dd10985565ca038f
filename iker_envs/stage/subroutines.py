"""The scripted motions around a policy: grasp before it, release and retreat after it. All in physics.

Nothing is welded or teleported in the hand: fingers close with limited force, objects may slip, drop or be missed. Each
motion moves all N worlds of a `Sim` and returns what became of them; one tick is `substeps` steps of physics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from iker_envs.components import columns, conjugate, difference, namespace, rotate, stacked
from iker_envs.geometry import (
    Array,
    body_axis,
    norm,
    pose_compose,
    quaternion_from_yaw,
    quaternion_multiply,
)
from iker_envs.planning.hand import FINGER_STIFFNESS, GRIP_FORCE_N, MAX_OPENING_M
from iker_envs.randomisation import Randomisation
from iker_envs.sim import Sim, WorldReset, WorldState
from iker_envs.stage.chosen import Chosen, Motion

RETREAT_M = 0.12  # how far the hand backs off along its approach axis, and from how far it approaches
_APPROACH_TICKS = 4  # as far as nothing can be in the way,
_FEELING_TICKS = 8  # and the rest of it, so slowly that what a finger meets is hardly pressed
_TOUCHED_N = 8.0  # along the approach: a finger has met something, as on the arm; then the hand comes again,
_SHIFTS_M = (0.008, -0.008, 0.016, -0.016)  # so much beside it
_CLOSE_TICKS = 8
_GRIP_TICKS = 2  # with closed fingers, before the hand withdraws
_WITHDRAW_TICKS = 6
_OPEN_TICKS = 6
_OPEN_PER_TICK_M = 0.02
_STILL_M_S = 0.01
_STILL_RAD_S = 0.1
_SETTLE_TICKS = 30  # 3 s at 10 Hz, the longest wait
_HELD_M = 0.04  # in the hand while it withdraws by 12 cm: held objects slip by up to 2.5 cm, others by 12 cm and more


@dataclass(frozen=True, eq=False)
class PickUp:
    """What became of an attempt to pick up an object, in each of N worlds."""

    state: WorldState  # after the hand has withdrawn
    opening_command_m: np.ndarray  # (N,) what holds the object
    held: np.ndarray  # (N,) bool, did the object come along?


def object_in_hand(state: WorldState, index: Array) -> Array:
    """The centre (N, 3) of each world's object `index` (N,) in the end-effector frame."""
    rows = namespace(index).arange(len(index), device=index.device)
    return in_hand(state.object_pose[rows, index], state.gripper_pose)


def in_hand(object_pose: Array, gripper_pose: Array) -> Array:
    """The centres (N, 3) of objects at poses (N, 7) in the frames of end effectors at poses (N, 7)."""
    hand = columns(gripper_pose)
    return stacked(rotate(conjugate(hand[3:]), difference(columns(object_pose)[:3], hand[:3])))


def behind(tcp: np.ndarray, distance_m: float) -> np.ndarray:
    """The end-effector poses (N, 7) moved back along their approach axis."""
    shift = np.tile([0.0, 0, -distance_m, 1, 0, 0, 0], (len(tcp), 1))
    return pose_compose(tcp, shift)


def with_grasp_error(tcp: np.ndarray, randomisation: Randomisation, rng: np.random.Generator) -> np.ndarray:
    """A grasp's end-effector pose (7,), shifted and turned by a drawn error."""
    position = tcp[:3] + randomisation.draw("grasp_position", rng)[0]
    turn = quaternion_from_yaw(np.array(randomisation.draw("grasp_rotation", rng)[0, 0]))
    return np.concatenate([position, quaternion_multiply(turn, tcp[3:])])


def place_hand(sim: Sim, pose: np.ndarray, opening_m: float) -> WorldState:
    """Put the empty hands at poses (N, 7), objects untouched, as if the arms moved there unseen; the state then."""
    opening = np.full(sim.num_worlds, opening_m)
    sim.reset(np.arange(sim.num_worlds), WorldReset(pose, opening, None, opening))
    return sim.state()


def pick_up(sim: Motion, substeps: int, tcp: np.ndarray, width_m: np.ndarray, object_index: np.ndarray) -> PickUp:
    """From where the open hands are, approach poses (N, 7) in a line, close on widths (N,), withdraw as they came.

    `object_index` (N,) says which object each hand is after. Where a finger meets something on the way, the hand comes
    again further to that side; it closes where it is stopped for good.
    """
    opening = np.full(sim.num_worlds, MAX_OPENING_M)
    pose = _come_to(sim, substeps, tcp, opening)
    sim.step(pose, opening, substeps)
    squeeze_m = 2 * GRIP_FORCE_N / FINGER_STIFFNESS  # below closed for what is thin, so that it is held as firmly
    for closing in np.linspace(opening, width_m - squeeze_m, _CLOSE_TICKS + 1)[1:]:
        opening = closing
        sim.step(pose, opening, substeps)
    for _ in range(_GRIP_TICKS):
        sim.step(pose, opening, substeps)
    in_hand = object_in_hand(sim.state(), object_index)
    for back in (*np.linspace(0.0, RETREAT_M, _WITHDRAW_TICKS + 1)[1:], RETREAT_M):
        sim.step(behind(pose, back), opening, substeps)
    state = sim.state()
    moved_m = norm(object_in_hand(state, object_index) - in_hand)
    return PickUp(state, opening, (moved_m < _HELD_M) & ~state.unstable)


def _come_to(sim: Motion, substeps: int, tcp: np.ndarray, opening_m: np.ndarray) -> np.ndarray:
    """Come from behind to poses (N, 7); where a finger meets something, go back and come again beside it.

    Returns where the hands are told to stay (N, 7). The arm feels by its torques which finger it was
    (`real_env/robot.py`); here the hand tries one side, then the other.
    """
    for back in np.linspace(RETREAT_M, RETREAT_M / 2, _APPROACH_TICKS + 1)[1:]:
        sim.step(behind(tcp, back), opening_m, substeps)
    pose, met = _approach(sim, substeps, behind(tcp, RETREAT_M / 2), tcp, opening_m)
    for shift_m in _SHIFTS_M:
        if not met.any():
            break
        rows = np.flatnonzero(met)
        again = Chosen(sim, rows, pose, opening_m)  # what one world meets makes no other one wait
        beside = pose_compose(tcp[rows], np.tile([0.0, shift_m, 0, 1, 0, 0, 0], (len(rows), 1)))
        free = behind(beside, RETREAT_M / 2)
        for back in (behind(pose[rows], RETREAT_M / 2), free):
            again.step(back, opening_m[rows], substeps)
        pose[rows], met[rows] = _approach(again, substeps, free, beside, opening_m[rows])
    return pose


def _approach(
    sim: Motion, substeps: int, pose: np.ndarray, tcp: np.ndarray, opening_m: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Go slowly from poses to poses `tcp` (N, 7), feeling the way.

    Returns where the hands are told to stay (N, 7), and which of them met something, (N,) bool: those do not press on.
    """
    start = pose
    met = np.zeros(sim.num_worlds, dtype=bool)
    axis = body_axis(tcp[:, 3:], 2)
    for share in np.linspace(0.0, 1.0, _FEELING_TICKS * substeps + 1)[1:]:
        goal = np.concatenate([start[:, :3] + share * (tcp - start)[:, :3], tcp[:, 3:]], axis=-1)
        pose = np.where(met[:, None], pose, goal)
        sim.step(pose, opening_m, 1)
        state = sim.state()
        pressing = -np.sum(state.contact_force * axis, axis=-1) > _TOUCHED_N
        pose = np.where((pressing & ~met)[:, None], state.gripper_pose, pose)
        met |= pressing
    return pose, met


def release_and_settle(
    sim: Sim,
    substeps: int,
    opening_command_m: np.ndarray,
    *,
    holds: bool,
    see: Callable[[WorldState], None] | None = None,
) -> WorldState:
    """Open the fingers if the hands hold something, back off, wait until all objects are still (at most 3 s).

    `opening_command_m` (N,) is what the fingers were told last. Returns each world's state when it came to rest,
    whatever the other worlds did. `see` is shown every tick.
    """
    pose = sim.state().gripper_pose.copy()
    opening = opening_command_m.copy()

    def tick(target: np.ndarray) -> None:
        sim.step(target, opening, substeps)
        if see:
            see(sim.state())

    if holds:
        for _ in range(_OPEN_TICKS):
            opening = np.minimum(opening + _OPEN_PER_TICK_M, MAX_OPENING_M)
            tick(pose)
    for back in np.linspace(0.0, RETREAT_M, _WITHDRAW_TICKS + 1)[1:]:
        tick(behind(pose, back))
    state = sim.state()
    still = np.zeros(sim.num_worlds, dtype=bool)
    for _ in range(_SETTLE_TICKS):
        still |= at_rest(state)
        if still.all():
            break
        tick(behind(pose, RETREAT_M))
        state = _where(still, state, sim.state())
    return state


def at_rest(state: WorldState, besides: np.ndarray | None = None) -> np.ndarray:
    """Do all objects of a world, or all besides one (N,), stand still, (N,) bool?"""
    twist = np.abs(state.object_twist)
    if besides is not None:
        twist[np.arange(len(besides)), besides] = 0.0
    return (twist[..., :3].max(axis=(1, 2)) < _STILL_M_S) & (twist[..., 3:].max(axis=(1, 2)) < _STILL_RAD_S)


def _where(chosen: np.ndarray, a: WorldState, b: WorldState) -> WorldState:
    """Rows of `a` where chosen (N,), of `b` elsewhere."""
    rows = {f.name: (getattr(a, f.name), getattr(b, f.name)) for f in fields(WorldState)}
    return WorldState(**{n: np.where(chosen.reshape(-1, *[1] * (x.ndim - 1)), x, y) for n, (x, y) in rows.items()})
