"""Free moves of the empty hand, found and checked on the arm's model before anything is sent.

    present joints, goal (pose or joints), Scene  ->  Planner.plan  ->  joints (M, 7), one row for each set point

Up, across, down: straight up from where the hand is, joints in a straight line to above the goal, straight down. A hand
that stretches too far to rise is drawn in and set upright as it does. Every joint angle on the way is tried in a MuJoCo
model of arm, table and scene; a way that touches anything is not taken.
"""

from __future__ import annotations

from itertools import pairwise, product

import mujoco
import numpy as np

from iker_envs.geometry import body_axis, quaternion_from_rotvec, quaternion_multiply, rotation_angle
from iker_envs.planning.collision import highest_m, object_boxes
from iker_envs.planning.hand import FINGERTIP_M
from iker_envs.reach import MIN_RADIUS_M
from iker_envs.scene import Scene
from real_env.arm_model import FINGERS, add_arm
from real_env.faults import Kind, RobotFault
from real_env.ik import HostIK, tool_pose
from real_env.safety import between
from real_env.stream import PERIOD_S
from real_env.xarm7 import JOINT_LIMITS_RAD, JOINTS

_GAP_M = 0.004  # nearer than this counts as touching
_DEEPER_M = 0.001  # what touches at the start may not be pressed by more than this on the way off
_RISES_M = (0.05, 0.10, 0.16, 0.24)  # of the tips above everything in the scene, tried in turn
_BACK_M = 0.12  # that the hand backs off along its approach axis, where straight up is not free
_DRAWN_IN_M = (0.1, 0.2)  # towards the base, where the arm stretches too far to rise straight up
_JOINT_SPEED_RAD_S = 1.2  # on average over a leg; its middle is 1.9 times as fast
_TOOL_SPEED_M_S = 0.35
_PEAK = 1.875  # of the minimum-jerk profile's speed over its mean (Flash and Hogan 1985)
_LINE_STEP_M = 0.004
_LINE_STEP_RAD = 0.02
_LINE_ERROR_M = 0.002
_ITERATIONS = 3  # of inverse kinematics for each step of a line
_CHECK_RAD = 0.02  # between joint angles that are tried
_BOXES = mujoco.mjtGeom.mjGEOM_BOX
_THINGS = {"contype": 2, "conaffinity": 1, "margin": _GAP_M}


class Cell:
    """Arm, table and a scene's objects as a model that says what touches what."""

    def __init__(self, scene: Scene, home_rad: np.ndarray) -> None:
        spec = mujoco.MjSpec()
        add_arm(spec)
        for geom in spec.geoms:
            geom.contype, geom.conaffinity = 1, 1  # among themselves, too
        spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=[2, 2, 0.1], name="table", **_THINGS)
        for o in scene.objects:
            body = spec.worldbody.add_body(name=o.name)
            for box in object_boxes(o.model, o.pose):
                quaternion = np.zeros(4)
                mujoco.mju_mat2Quat(quaternion, box.axes.ravel())
                body.add_geom(type=_BOXES, size=box.half, pos=box.centre, quat=quaternion, **_THINGS)
        self._model = spec.compile()
        self._data = mujoco.MjData(self._model)
        self._joints = np.array([self._model.joint(name).qposadr[0] for name in JOINTS])
        self._fingers = np.array([self._model.joint(name).qposadr[0] for name in FINGERS])
        self._table = self._model.geom("table").id
        self._things = {o.name for o in scene.objects}
        self._always = set(self._touching(home_rad, 0.0))  # neighbours that overlap in the model
        self._always = {pair for pair in self._always if not any(name in self._things for name in pair)}

    def _name(self, geom: int) -> str:
        return "the table" if geom == self._table else self._model.body(self._model.geom_bodyid[geom]).name

    def _touching(self, joints_rad: np.ndarray, opening_m: float) -> dict[tuple[str, ...], float]:
        """Pairs of bodies of which one is the arm's, and their gap in metres, where it is below 4 mm."""
        self._data.qpos[self._joints] = joints_rad
        self._data.qpos[self._fingers] = opening_m / 2
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_collision(self._model, self._data)
        found: dict[tuple[str, ...], float] = {}
        for contact in self._data.contact[: self._data.ncon]:
            pair = tuple(sorted(self._name(geom) for geom in contact.geom))
            found[pair] = min(found.get(pair, np.inf), float(contact.dist))
        return found

    def touches(self, joints_rad: np.ndarray, opening_m: float) -> dict[tuple[str, ...], float]:
        """What the arm would touch at joints (7,): pairs of names and gaps, negative where they overlap."""
        found = self._touching(joints_rad, opening_m)
        return {pair: gap for pair, gap in found.items() if pair not in self._always}

    def first_touch(self, path_rad: np.ndarray, opening_m: float) -> str:
        """What a path (M, 7) touches, "hand - left_shoe" for instance; "" if it is free.

        What touches at its beginning may go on touching while it is not pressed harder.
        """
        allowed = self.touches(path_rad[0], opening_m)
        for joints in _dense(path_rad):
            for pair, gap in self.touches(joints, opening_m).items():
                if gap < allowed.get(pair, _GAP_M) - (_DEEPER_M if pair in allowed else 0.0):
                    return " - ".join(pair)
        return ""


class Planner:
    """Plans for one arm; `cell` is made anew for each scene."""

    def __init__(self, ik: HostIK, home_rad: np.ndarray) -> None:
        self._ik = ik
        self._home_rad = home_rad

    def plan(
        self, joints_rad: np.ndarray, goal: np.ndarray, scene: Scene, opening_m: float, *, is_pose: bool
    ) -> np.ndarray:
        """Set points (M, 7) from `joints_rad` (7,) to a pose (7,) or to joints (7,), `opening_m` all the way.

        RobotFault(UNREACHABLE) says what is in the way, or that the arm cannot be there.
        """
        if is_pose:
            end = self._ik.solve(goal)
            if end is None:
                raise RobotFault(Kind.UNREACHABLE, f"no joint angles for the pose {np.round(goal, 3).tolist()}")
        else:
            end = np.array(goal, dtype=float)
        cell = Cell(scene, self._home_rad)
        if hit := _pressed(cell, end, opening_m):
            raise RobotFault(Kind.UNREACHABLE, f"at its end the way touches {hit}")
        top = max((highest_m(object_boxes(o.model, o.pose)) for o in scene.objects), default=0.0)
        hits = []
        for drawn_in, back in product((0.0, *_DRAWN_IN_M), (0.0, _BACK_M)):
            for rise in _RISES_M:
                legs = self._legs(joints_rad, end, top + rise + FINGERTIP_M, back, drawn_in)
                if legs is None:
                    continue
                hit = cell.first_touch(np.concatenate(legs), opening_m)
                if not hit:
                    return np.concatenate([timed(leg) for leg in legs])
                hits.append(hit)
        told = f"every way tried touches {', '.join(dict.fromkeys(hits))}"
        if not hits:
            told = f"the arm cannot rise high enough, from or to joints of {np.round(joints_rad, 2).tolist()} rad"
        raise RobotFault(Kind.UNREACHABLE, told)

    def _legs(
        self, start: np.ndarray, end: np.ndarray, height_m: float, back_m: float, drawn_in_m: float
    ) -> list[np.ndarray] | None:
        """Up, across and down as joints (K, 7); None where a line leaves the arm's reach."""
        up = self._away(start, height_m, back_m, drawn_in_m)
        down = self._away(end, height_m, back_m, drawn_in_m)
        if up is None or down is None:
            return None
        down = _nearest_turn(down, up[-1])[::-1]
        across = np.linspace(up[-1], down[0], max(2, int(np.abs(down[0] - up[-1]).max() / _CHECK_RAD) + 2))
        return [leg for leg in (up, across, down) if len(leg) > 1]

    def _away(self, joints_rad: np.ndarray, height_m: float, back_m: float, drawn_in_m: float) -> np.ndarray | None:
        """From joints (7,) back along the approach axis, then up to a height of the tool; (K, 7).

        Straight up, or upright and nearer to the base by some metres.
        """
        way = joints_rad[None]
        pose = tool_pose(joints_rad)
        if back_m:
            away = _moved_back(pose, back_m)
            leg = self._line(joints_rad, pose, away)
            if leg is None:
                return None
            way = np.concatenate([way, leg])
            pose = away
        if pose[2] >= height_m:
            return way
        risen = np.concatenate([pose[:2], [height_m], pose[3:]])
        leg = self._bent(way[-1], _drawn_in(risen, drawn_in_m)) if drawn_in_m else self._line(way[-1], pose, risen)
        return None if leg is None else np.concatenate([way, leg])

    def _bent(self, joints_rad: np.ndarray, goal: np.ndarray) -> np.ndarray | None:
        """Joints (K, 7) in a straight line to a pose (7,); None where the arm cannot be there."""
        end = self._ik.solve(goal)
        if end is None:
            return None
        end = _nearest_turn(end[None], joints_rad)[0]
        return np.linspace(joints_rad, end, max(2, int(np.abs(end - joints_rad).max() / _CHECK_RAD) + 2))

    def _line(self, joints_rad: np.ndarray, start: np.ndarray, goal: np.ndarray) -> np.ndarray | None:
        """Joints (K, 7) along a straight line of the tool; None where it strays from it."""
        length = float(np.linalg.norm(goal[:3] - start[:3]))
        turn = float(rotation_angle(start[3:], goal[3:]))
        steps = max(1, int(np.ceil(max(length / _LINE_STEP_M, turn / _LINE_STEP_RAD))))
        found = []
        for share in np.linspace(0.0, 1.0, steps + 1)[1:]:
            pose = between(start, goal, share)
            for _ in range(_ITERATIONS):
                joints_rad = self._ik.follow(pose, joints_rad)
            if np.linalg.norm(tool_pose(joints_rad)[:3] - pose[:3]) > _LINE_ERROR_M:
                return None
            found.append(joints_rad)
        return np.array(found)


def _pressed(cell: Cell, joints_rad: np.ndarray, opening_m: float) -> str:
    """What the arm overlaps at joints (7,); "" if nothing."""
    return next((" - ".join(pair) for pair, gap in cell.touches(joints_rad, opening_m).items() if gap < 0.0), "")


def _moved_back(pose: np.ndarray, distance_m: float) -> np.ndarray:
    return np.concatenate([pose[:3] - distance_m * body_axis(pose[3:], 2), pose[3:]])


def _drawn_in(pose: np.ndarray, distance_m: float) -> np.ndarray:
    """A pose (7,) nearer to the base, the tool pointing straight down."""
    radius = float(np.hypot(pose[0], pose[1]))
    share = max(radius - distance_m, MIN_RADIUS_M) / radius
    approach = body_axis(pose[3:], 2)
    axis = np.array([-approach[1], approach[0], 0.0])  # approach x (0, 0, -1)
    sine = float(np.linalg.norm(axis))
    turn = axis / max(sine, 1e-9) * np.arctan2(sine, -approach[2])
    rotation = quaternion_multiply(quaternion_from_rotvec(turn), pose[3:])
    return np.concatenate([share * pose[:2], pose[2:3], rotation])


def _nearest_turn(path_rad: np.ndarray, joints_rad: np.ndarray) -> np.ndarray:
    """The path (K, 7) with whole turns of joints added so that its last row is nearest to joints (7,)."""
    turns = 2 * np.pi * np.round((joints_rad - path_rad[-1]) / (2 * np.pi))
    low, high = JOINT_LIMITS_RAD.T
    fits = np.all((path_rad + turns >= low) & (path_rad + turns <= high), axis=0)
    return path_rad + np.where(fits, turns, 0.0)


def _dense(path_rad: np.ndarray) -> np.ndarray:
    """The path with points between its own, so that no joint turns by more than 0.02 rad from one to the next."""
    parts = [path_rad[:1]]
    for a, b in pairwise(path_rad):
        steps = max(1, int(np.ceil(np.abs(b - a).max() / _CHECK_RAD)))
        parts.append(np.linspace(a, b, steps + 1)[1:])
    return np.concatenate(parts)


def timed(leg_rad: np.ndarray) -> np.ndarray:
    """A leg (K, 7) as set points (M, 7) that begin and end at rest: minimum jerk along its length."""
    tool_m = np.array([tool_pose(joints)[:3] for joints in leg_rad])
    steps_s = np.maximum(
        np.abs(np.diff(leg_rad, axis=0)).max(axis=1) / _JOINT_SPEED_RAD_S,
        np.linalg.norm(np.diff(tool_m, axis=0), axis=1) / _TOOL_SPEED_M_S,
    )
    at = np.concatenate([[0.0], np.cumsum(steps_s)])
    if at[-1] == 0.0:
        return leg_rad[-1:]
    share = np.linspace(0.0, 1.0, max(2, int(np.ceil(_PEAK * at[-1] / PERIOD_S)) + 1))[1:]
    eased = share**3 * (10 - 15 * share + 6 * share**2)
    return np.stack([np.interp(eased * at[-1], at, column) for column in leg_rad.T], axis=-1)
