"""The xArm7 with the project's two-finger hand as a MuJoCo model: for the host's inverse kinematics and for the lab.

    add_arm(spec)  ->  bodies link1..link7, hand, finger_left, finger_right in somebody's MjSpec, and their actuators
    build_arm()    ->  MjModel of the arm alone, without fingers: 7 joints, nothing to collide with

The tool centre (body "hand") is the flange moved by 172 mm along its z axis: with the tool straight down its pose is
the project's home orientation, closing direction along y. Links are capsules around the vendor's drawings; their
inertias are our guess (no table gives them), the masses and centres of mass are the vendor's.
"""

from __future__ import annotations

import mujoco
import numpy as np

from iker_envs.planning.hand import (
    FINGER_HALF_SIZE_M,
    FINGER_STIFFNESS,
    FINGERTIP_M,
    HAND_CENTRE_M,
    HAND_HALF_SIZE_M,
    MAX_OPENING_M,
)
from real_env.xarm7 import (
    DH,
    GRIPPER_MASS_KG,
    JOINT_LIMITS_RAD,
    JOINT_TORQUE_NM,
    JOINTS,
    LINK_COM_M,
    LINK_MASS_KG,
    LINKS,
    TOOL_M,
)

FINGERS = ("finger_left", "finger_right")
HAND = "hand"
# A joint's position servo: stiff, and soft enough that its force does not saturate in free motion (a saturated servo
# with this damping crawls). Its lag, kv / kp, is fed forward by who writes the targets.
SERVO_KP = 4000.0
SERVO_KV = 120.0
_SERVO_ARMATURE = 0.2
_SERVO_DAMPING = 2.0
_INERTIA_PER_KG = 0.004  # m2, about that of a 20 cm rod
_FINGER_MASS_KG = 0.05
_FINGER_DAMPING = 28.0
_FINGER_ARMATURE = 0.2
FINGER_FORCE_N = 30.0  # xArm gripper
_COLLISION = {"contype": 1, "conaffinity": 2, "group": 1}  # the arm meets everything but itself
_WHITE = (0.9, 0.9, 0.92, 1.0)
_DARK = (0.16, 0.16, 0.18, 1.0)
_PEDESTAL_RADIUS_M = 0.063
_PEDESTAL_HEIGHT_M = 0.22
_FLANGE_RADIUS_M = 0.04
_FLANGE_HALF_LENGTH_M = 0.04
# Link number, the ends of a capsule in the link's DH frame and its radius, metres.
_CAPSULES = (
    (1, (0, 0, -0.06), (0, 0, 0), 0.06),
    (2, (0, 0, 0), (0, -0.20, 0), 0.055),
    (3, (0, 0, -0.09), (0, 0, 0), 0.055),
    (3, (0, 0, 0), (0.0525, 0, 0), 0.055),
    (4, (0, 0, 0), (0.0775, -0.12, 0), 0.05),
    (4, (0.0775, -0.12, 0), (0.0775, -0.26, 0), 0.05),
    (5, (0, 0, -0.08), (0, 0, 0), 0.048),
    (6, (0, 0, 0), (0.076, 0, 0), 0.042),
    (6, (0.076, 0, 0), (0.076, 0.05, 0), 0.042),
)


def build_arm() -> mujoco.MjModel:
    """The arm alone: joints joint1..joint7 (nq = 7) and the body "hand" at the tool centre."""
    spec = mujoco.MjSpec()
    add_arm(spec, fingers=False)
    return spec.compile()


def add_arm(spec: mujoco.MjSpec, *, fingers: bool = True) -> None:
    """Add the arm at the base frame's origin; actuators joint1..joint7 in radians, then the fingers' in metres.

    Position servos, torque-limited; a finger's target is half of the opening.
    """
    spec.worldbody.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[_PEDESTAL_RADIUS_M, _PEDESTAL_HEIGHT_M / 2, 0],
        pos=[0, 0, _PEDESTAL_HEIGHT_M / 2],
        rgba=_WHITE,
        **_COLLISION,
    )
    body = spec.worldbody
    for index in range(len(DH)):
        body = _add_link(spec, body, index)
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[_FLANGE_RADIUS_M, _FLANGE_HALF_LENGTH_M, 0],
        pos=[0, 0, -_FLANGE_HALF_LENGTH_M],
        mass=0.0,
        rgba=_WHITE,
        **_COLLISION,
    )
    hand = body.add_body(name=HAND, pos=[0, 0, TOOL_M], gravcomp=1.0)
    hand.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=HAND_HALF_SIZE_M,
        pos=HAND_CENTRE_M,
        mass=GRIPPER_MASS_KG - len(FINGERS) * _FINGER_MASS_KG,
        rgba=_WHITE,
        **_COLLISION,
    )
    if fingers:
        for name, side in zip(FINGERS, (1.0, -1.0), strict=True):
            _add_finger(spec, hand, name, side)


def _add_link(spec: mujoco.MjSpec, parent, index: int):
    row = DH[index]
    half = row.alpha_rad / 2
    body = parent.add_body(
        name=LINKS[index],
        pos=[row.a_m, -np.sin(row.alpha_rad) * row.d_m, np.cos(row.alpha_rad) * row.d_m],
        quat=[np.cos(half), np.sin(half), 0, 0],
        gravcomp=1.0,
    )
    body.explicitinertial = True
    body.mass = LINK_MASS_KG[index]
    body.ipos = LINK_COM_M[index]
    body.inertia = [_INERTIA_PER_KG * LINK_MASS_KG[index]] * 3
    body.add_joint(
        name=JOINTS[index],
        axis=[0, 0, 1],
        range=np.degrees(JOINT_LIMITS_RAD[index]),  # MjSpec reads the ranges of hinges in degrees
        limited=True,
        damping=[_SERVO_DAMPING, 0, 0],
        armature=_SERVO_ARMATURE,
    )
    _add_servo(spec, JOINTS[index], SERVO_KP, JOINT_TORQUE_NM[index], kv=SERVO_KV)
    for link, start, end, radius in _CAPSULES:
        if link == index + 1:
            body.add_geom(
                type=mujoco.mjtGeom.mjGEOM_CAPSULE,
                fromto=[*start, *end],
                size=[radius, 0, 0],
                mass=0.0,
                rgba=_WHITE,
                **_COLLISION,
            )
    return body


def _add_servo(spec: mujoco.MjSpec, joint: str, kp: float, force: float, kv: float = 0.0) -> None:
    actuator = spec.add_actuator(name=joint, target=joint, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    actuator.set_to_position(kp=kp, kv=kv)
    actuator.forcelimited = True
    actuator.forcerange = [-force, force]


def _add_finger(spec: mujoco.MjSpec, hand, name: str, side: float) -> None:
    finger = hand.add_body(name=name, gravcomp=1.0)
    finger.add_joint(
        name=name,
        type=mujoco.mjtJoint.mjJNT_SLIDE,
        axis=[0, side, 0],
        range=[0, MAX_OPENING_M / 2],
        limited=True,
        damping=[_FINGER_DAMPING, 0, 0],
        armature=_FINGER_ARMATURE,
    )
    half_y, half_z = FINGER_HALF_SIZE_M[1:]
    finger.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=FINGER_HALF_SIZE_M,
        pos=[0, side * half_y, FINGERTIP_M - half_z],
        mass=_FINGER_MASS_KG,
        rgba=_DARK,
        condim=4,
        **_COLLISION,
    )
    _add_servo(spec, name, FINGER_STIFFNESS, FINGER_FORCE_N)
