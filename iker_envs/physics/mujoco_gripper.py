"""The floating gripper: what an xArm7 does at its tool centre, without the arm.

A serial chain x, y, z, pitch, roll, tool yaw with force-limited position actuators carries a hand with two fingers.
It is the form that every physics engine has. The end-effector frame has its origin between the fingertips, z along
the approach and y along the closing direction; with all hinges at zero the tool points straight down.
The middle hinge (roll) locks at +-90 degrees, outside the approach cones of all tasks.

    orientation (N, 4)  ->  hinge_angles  ->  actuator targets
    joints              ->  hand_pose     ->  gripper pose
"""

from __future__ import annotations

import mujoco

from iker_envs.components import Array, Components, body_axis, clipped, columns, conjugate, multiply, namespace, stacked
from iker_envs.planning.hand import (
    FINGER_HALF_SIZE_M,
    FINGER_STIFFNESS,
    FINGERTIP_M,
    HAND_CENTRE_M,
    HAND_HALF_SIZE_M,
    MAX_OPENING_M,
    WRIST_FROM_M,
    WRIST_RADIUS_M,
    WRIST_TO_M,
)
from iker_envs.scene import HOME_GRIPPER_QUATERNION

JOINTS = ("x", "y", "z", "pitch", "roll", "tool_yaw")
FINGERS = ("finger_left", "finger_right")

# Nearly as stiff and strong as the arm: its joint servos (real_env/arm_model.py) give way at the tool by 11 to 25 kN/m
# at 0.6 to 0.4 m from the base, and push with about 100 N. Mass and inertia, 4 kg and 0.105 kg m2 with the armatures,
# keep its start into a tick of 3 cm or 0.15 rad as gentle as what is held in the fingers needs (25 m/s2, 143 rad/s2).
# Natural frequencies of 45 and 38 rad/s at damping ratio 0.7 follow the tick; k dt^2 / I is below 0.2 at 10 ms.
_SLIDE = {"kp": 8000.0, "damping": 250.0, "armature": 3.2, "force": 100.0}
_HINGE = {"kp": 150.0, "damping": 5.6, "armature": 0.1, "force": 15.0}
_FINGER = {"kp": FINGER_STIFFNESS, "damping": 28.0, "armature": 0.2, "force": 30.0}
_AXES = {
    "x": (1, 0, 0),
    "y": (0, 1, 0),
    "z": (0, 0, 1),
    "pitch": (0, 1, 0),
    "roll": (1, 0, 0),
    "tool_yaw": (0, 0, 1),
}
_COLLISION = {"contype": 1, "conaffinity": 2, "group": 1}
_DARK = (0.16, 0.16, 0.18, 1.0)
_METAL = (0.82, 0.84, 0.86, 1.0)


def add_gripper(spec: mujoco.MjSpec) -> None:
    """Add the gripper and its actuators (x, y, z, pitch, roll, tool_yaw, finger_left, finger_right) to a model."""
    body = spec.worldbody
    for name in JOINTS:
        body = body.add_body(name=f"gripper_{name}", gravcomp=1.0)
        _add_joint(spec, body, name, _SLIDE if name in "xyz" else _HINGE)
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_SPHERE, size=[0.02, 0, 0], mass=0.05, contype=0, conaffinity=0, group=4
        )
    hand = body.add_body(name="hand", quat=HOME_GRIPPER_QUATERNION, gravcomp=1.0)
    hand.add_geom(
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=HAND_HALF_SIZE_M,
        pos=HAND_CENTRE_M,
        mass=0.25,
        rgba=_METAL,
        **_COLLISION,
    )
    hand.add_geom(
        type=mujoco.mjtGeom.mjGEOM_CYLINDER,
        size=[WRIST_RADIUS_M, (WRIST_TO_M - WRIST_FROM_M) / 2, 0],
        pos=[0, 0, (WRIST_TO_M + WRIST_FROM_M) / 2],
        mass=0.15,
        rgba=_METAL,
        **_COLLISION,
    )
    for name, sign in zip(FINGERS, (1.0, -1.0), strict=True):
        _add_finger(spec, hand, name, sign)


def _add_joint(spec: mujoco.MjSpec, body, name: str, gains: dict[str, float]) -> None:
    kind = mujoco.mjtJoint.mjJNT_SLIDE if name in "xyz" else mujoco.mjtJoint.mjJNT_HINGE
    body.add_joint(name=name, type=kind, axis=_AXES[name], damping=[gains["damping"], 0, 0], armature=gains["armature"])
    _add_actuator(spec, name, gains)


def _add_actuator(spec: mujoco.MjSpec, name: str, gains: dict[str, float]) -> None:
    actuator = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
    actuator.set_to_position(kp=gains["kp"])
    actuator.forcelimited = True
    actuator.forcerange = [-gains["force"], gains["force"]]


def _add_finger(spec: mujoco.MjSpec, hand, name: str, sign: float) -> None:
    finger = hand.add_body(name=name, gravcomp=1.0)
    finger.add_joint(
        name=name,
        type=mujoco.mjtJoint.mjJNT_SLIDE,
        axis=[0, sign, 0],
        range=[0, MAX_OPENING_M / 2],
        limited=True,
        damping=[_FINGER["damping"], 0, 0],
        armature=_FINGER["armature"],
    )
    half_y, half_z = FINGER_HALF_SIZE_M[1:]
    finger.add_geom(
        name=name,
        type=mujoco.mjtGeom.mjGEOM_BOX,
        size=FINGER_HALF_SIZE_M,
        pos=[0, sign * half_y, FINGERTIP_M - half_z],
        mass=0.05,
        rgba=_DARK,
        condim=4,
        **_COLLISION,
    )
    _add_actuator(spec, name, _FINGER)


def hinge_angles(quaternion: Array) -> Array:
    """Hinge angles (..., 3) pitch, roll, tool yaw in radians that give an end-effector orientation (..., 4).

    R = Ry(pitch) Rx(roll) Rz(tool yaw) R_home, solved for the angles with roll in [-90, 90] degrees.
    """
    xp = namespace(quaternion)
    r = multiply(columns(quaternion), conjugate(HOME_GRIPPER_QUATERNION))
    x_axis, y_axis, z_axis = (body_axis(r, i) for i in range(3))
    roll = xp.asin(clipped(-z_axis[1], -1.0, 1.0))
    pitch = xp.atan2(z_axis[0], z_axis[2])
    yaw = xp.atan2(x_axis[1], y_axis[1])
    return stacked((pitch, roll, yaw))


def hand_pose(joints: Components) -> Components:
    """End-effector poses of the joints x, y, z (metres), pitch, roll, tool yaw (radians): see `hinge_angles`."""
    x, y, z, *angles = joints
    xp = namespace(x)
    half = [angle / 2 for angle in angles]
    cos_p, cos_r, cos_y = map(xp.cos, half)
    sin_p, sin_r, sin_y = map(xp.sin, half)
    leaning = (cos_p * cos_r, cos_p * sin_r, sin_p * cos_r, -sin_p * sin_r)
    return x, y, z, *multiply(multiply(leaning, (cos_y, 0.0, 0.0, sin_y)), HOME_GRIPPER_QUATERNION)
