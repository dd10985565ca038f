"""The physical side of the lab: a task's furniture and free objects with an xArm7 in the place of the floating gripper.

    Task, seed, configuration  ->  arrange  ->  Arrangement (scene, drawn physics, compiled model)  ->  LabWorld.install
    joint targets, opening     ->  LabWorld.step  ->  LabWorld.read (joints), LabWorld.truth (objects)

Friction, mass, centre of mass and contacts of every object are drawn once per arrangement from the ranges that
training uses; who asks for the same seed and configuration gets the same objects at the same places.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import mujoco
import numpy as np

from iker_envs.geometry import quaternion_rotate
from iker_envs.physics.mujoco_model import COLLISION_GROUP, build_model
from iker_envs.randomisation import Randomisation
from iker_envs.scene import ObjectModel, Scene
from iker_envs.task import Task
from real_env.arm_model import FINGERS, HAND, SERVO_KP, SERVO_KV, add_arm
from real_env.lab.plant import ArmReading
from real_env.xarm7 import JOINTS, LINKS, NUM_JOINTS

TIMESTEP_S = 0.002
# Elbow up, tool straight down 26 cm in front of the base's edge, 30 cm above the table: out of every task's way.
START_ANGLES_RAD = np.array([0.0, -0.6, 0.0, 1.0, 0.0, 1.6, 0.0])
START_OPENING_M = 0.0
_MAX_COM_SHARE = 0.25  # of the way from the middle to the surface, as in training
_PARTS_OF_THE_ARM = (*LINKS, HAND, *FINGERS)
_DIVERGED = (
    mujoco.mjtWarning.mjWARN_BADQPOS,
    mujoco.mjtWarning.mjWARN_BADQVEL,
    mujoco.mjtWarning.mjWARN_BADQACC,
)
_TOUCH_M = 0.001  # an object put down may be this deep in others


@dataclass(frozen=True, eq=False)
class Arrangement:
    """One scene of a task, compiled, with the physics that were drawn for it."""

    scene: Scene
    model: mujoco.MjModel
    seed: int
    configuration: int


def arrange(task: Task, seed: int, configuration: int, *, visuals: bool = False) -> Arrangement:
    """Draw start poses and physics from a seed and compile the scene; ValueError if an object is called like a link."""
    rng = np.random.default_rng([seed, configuration])
    scene = task.sample(rng, configuration)
    if taken := [o.name for o in scene.objects if o.name in _PARTS_OF_THE_ARM]:
        raise ValueError(f"an object of the lab cannot be called {taken[0]!r}, which is a part of the arm")
    model = build_model(scene, visuals=visuals, add_robot=partial(add_arm, fingers=True))
    model.opt.timestep = TIMESTEP_S
    model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET  # a state that diverged is not hidden by another
    _draw_physics(model, scene, rng)
    return Arrangement(scene, model, seed, configuration)


def _draw_physics(model: mujoco.MjModel, scene: Scene, rng: np.random.Generator) -> None:
    """Give every movable object its own friction, mass, centre of mass and contacts."""
    ranges = Randomisation()
    for name in scene.movable:
        shape = scene.object(name).model
        body = model.body(name).id
        geoms = np.flatnonzero((model.geom_bodyid == body) & (model.geom_group == COLLISION_GROUP))
        friction, mass, damping, softness = (
            float(ranges.draw(what, rng)[0, 0]) for what in ("friction", "mass", "restitution", "compliance")
        )
        model.geom_friction[geoms, 0] *= friction
        model.body_mass[body] *= mass
        model.body_inertia[body] *= mass
        model.body_ipos[body] += _com_offset(shape, ranges, rng)
        time_s = max(model.geom_solref[geoms[0], 0] * softness, 2 * TIMESTEP_S / min(damping, 1.0))
        model.geom_solref[geoms] = [time_s, damping]
    mujoco.mj_setConst(model, mujoco.MjData(model))


def _com_offset(shape: ObjectModel, ranges: Randomisation, rng: np.random.Generator) -> np.ndarray:
    limit = _MAX_COM_SHARE * shape.size_m / 2
    return np.clip(ranges.draw("com_offset", rng)[0], -limit, limit)


class Diverged(RuntimeError):
    """The physics blew up: what the arm and the objects do means nothing any more."""


class LabWorld:
    """The mechanism behind the control box, and the objects around it; a `Plant`."""

    def __init__(self, arrangement: Arrangement) -> None:
        self._angles = START_ANGLES_RAD.copy()  # last targets
        self._opening_m = START_OPENING_M
        self.model = arrangement.model
        self.data = mujoco.MjData(self.model)
        self._take(arrangement)
        self._put_arm(START_ANGLES_RAD, START_OPENING_M)
        mujoco.mj_forward(self.model, self.data)

    def install(self, arrangement: Arrangement) -> None:
        """Replace all objects; the arm stays where it is.

        ValueError if an object would stand inside the arm, which changes nothing.
        """
        old = self.arrangement, self.data
        qpos = self.data.qpos[self._joint_qpos].copy()
        fingers = self.data.qpos[self._finger_qpos].copy()
        self._take(arrangement)
        self.data.qpos[self._joint_qpos] = qpos
        self.data.qpos[self._finger_qpos] = fingers
        self.data.ctrl[:NUM_JOINTS] = self._angles
        self.data.ctrl[NUM_JOINTS:] = self._opening_m / 2
        mujoco.mj_forward(self.model, self.data)
        if touching := self._inside_the_arm(self.scene.movable):
            self._take(old[0])
            self.data = old[1]
            raise ValueError(f"{touching} would stand inside the arm; drive it out of the way and reset again")

    def _take(self, arrangement: Arrangement) -> None:
        self.arrangement = arrangement
        self.scene = arrangement.scene
        self.model = arrangement.model
        self.data = mujoco.MjData(self.model)
        joints = [self.model.joint(name) for name in JOINTS]
        fingers = [self.model.joint(name) for name in FINGERS]
        self._joint_qpos = np.array([j.qposadr[0] for j in joints])
        self._joint_dofs = np.array([j.dofadr[0] for j in joints])
        self._finger_qpos = np.array([j.qposadr[0] for j in fingers])
        self._finger_dofs = np.array([j.dofadr[0] for j in fingers])

    def _put_arm(self, angles_rad: np.ndarray, opening_m: float) -> None:
        self.data.qpos[self._joint_qpos] = angles_rad
        self.data.qpos[self._finger_qpos] = opening_m / 2
        self.data.ctrl[:NUM_JOINTS] = angles_rad
        self.data.ctrl[NUM_JOINTS:] = opening_m / 2

    # -- the arm -----------------------------------------------------------------------------------------------------

    def read(self) -> ArmReading:
        """See `Plant.read`; the external torque is that of the constraints on the joints."""
        data = self.data
        dofs = self._joint_dofs
        return ArmReading(
            angles_rad=data.qpos[self._joint_qpos].copy(),
            speeds_rad_s=data.qvel[dofs].copy(),
            torques_nm=data.qfrc_actuator[dofs] + data.qfrc_gravcomp[dofs],
            external_nm=data.qfrc_constraint[dofs].copy(),
            opening_m=float(data.qpos[self._finger_qpos].sum()),
            opening_speed_m_s=float(data.qvel[self._finger_dofs].sum()),
        )

    def step(self, angles_rad: np.ndarray, opening_m: float, duration_s: float) -> None:
        """See `Plant.step`; the servos' lag is fed forward from the targets' speed."""
        speed = (angles_rad - self._angles) / duration_s
        self._angles = np.array(angles_rad)
        self._opening_m = opening_m
        self.data.ctrl[:NUM_JOINTS] = angles_rad + SERVO_KV / SERVO_KP * speed
        self.data.ctrl[NUM_JOINTS:] = opening_m / 2
        mujoco.mj_step(self.model, self.data, round(duration_s / TIMESTEP_S))
        if any(self.data.warning[w].number for w in _DIVERGED):
            raise Diverged(f"the laboratory's physics diverged after {self.data.time:.2f} s; open it again")

    def contacts(self) -> tuple[str, ...]:
        """What the arm touches now, as "left_shoe-hand", sorted."""
        names = set()
        for contact in self.data.contact[: self.data.ncon]:
            pair = sorted(self.model.body(self.model.geom_bodyid[g]).name for g in contact.geom)
            if any(name in _PARTS_OF_THE_ARM for name in pair):
                names.add("-".join(pair))
        return tuple(sorted(names))

    # -- the objects -------------------------------------------------------------------------------------------------

    def truth(self) -> dict[str, dict[str, list[float]]]:
        """Object -> "pose" (7,) and "twist" (6,) linear and angular in world axes, of the movable ones, as lists."""
        result = {}
        for name in self.scene.movable:
            body = self.data.body(name)
            pose = np.concatenate([body.xpos, body.xquat])
            velocity = self.data.qvel[self.model.body(name).dofadr[0] :][:6]
            twist = np.concatenate([velocity[:3], quaternion_rotate(body.xquat, velocity[3:])])
            result[name] = {"pose": pose.tolist(), "twist": twist.tolist()}
        return result

    def hand_pose(self) -> np.ndarray:
        """The tool centre's true pose (7,)."""
        hand = self.data.body(HAND)
        return np.concatenate([hand.xpos, hand.xquat])

    def move(self, name: str, pose: np.ndarray) -> None:
        """Put a movable object at a pose (7,), at rest.

        ValueError if there is none of this name, or if it would stand inside the arm, which changes nothing.
        """
        if name not in self.scene.movable:
            raise ValueError(f"{name!r} cannot be moved; can be: {', '.join(self.scene.movable)}")
        joint = self.model.body(name).jntadr[0]
        qpos = slice(self.model.jnt_qposadr[joint], self.model.jnt_qposadr[joint] + 7)
        dofs = slice(self.model.jnt_dofadr[joint], self.model.jnt_dofadr[joint] + 6)
        before = self.data.qpos[qpos].copy()
        self.data.qpos[qpos] = pose
        mujoco.mj_forward(self.model, self.data)
        if touching := self._inside_the_arm((name,)):
            self.data.qpos[qpos] = before
            mujoco.mj_forward(self.model, self.data)
            raise ValueError(f"{touching} would stand inside the arm at {np.round(pose[:3], 3).tolist()}; move it away")
        self.data.qvel[dofs] = 0.0

    def _inside_the_arm(self, names: tuple[str, ...]) -> str:
        """The first of the objects that overlaps a part of the arm, or ""."""
        for contact in self.data.contact[: self.data.ncon]:
            pair = [self.model.body(self.model.geom_bodyid[g]).name for g in contact.geom]
            if contact.dist < -_TOUCH_M and any(p in _PARTS_OF_THE_ARM for p in pair):
                for name in names:
                    if name in pair:
                        return name
        return ""
