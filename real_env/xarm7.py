"""Facts of the UFACTORY xArm7 that hold with and without hardware: sizes, limits, masses. Numbers only, SI units.

Used by the host's inverse kinematics, by the arm's model (arm_model.py), by its kinematics (kinematics.py) and by the
emulated control box. Millimetres and degrees of the vendor's tables are metres and radians here; only the code that
speaks to a control box, real or emulated, converts back.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

NUM_JOINTS = 7
JOINTS = tuple(f"joint{i}" for i in range(1, NUM_JOINTS + 1))
LINKS = tuple(f"link{i}" for i in range(1, NUM_JOINTS + 1))


class DHRow(NamedTuple):
    """One row of a modified Denavit-Hartenberg table: Rot_x(alpha) Trans_x(a) Rot_z(theta) Trans_z(d)."""

    d_m: float
    alpha_rad: float
    a_m: float


_QUARTER = np.pi / 2
# UFACTORY documentation, "Kinematic and Dynamic Parameters", xArm 7, modified DH; offsets of theta are 0.
DH = (
    DHRow(0.267, 0.0, 0.0),
    DHRow(0.0, -_QUARTER, 0.0),
    DHRow(0.293, _QUARTER, 0.0),
    DHRow(0.0, _QUARTER, 0.0525),
    DHRow(0.3425, _QUARTER, 0.0775),
    DHRow(0.0, _QUARTER, 0.0),
    DHRow(0.097, -_QUARTER, 0.076),
)
TOOL_M = 0.172  # flange to tool centre, between the fingertips: xArm gripper

# Links 1 to 7 of the same page, third hardware model; centres of mass in the links' DH frames.
LINK_MASS_KG = (2.382, 1.869, 1.638, 1.727, 1.32, 1.325, 0.17)
LINK_COM_M = (
    (0.00013, 0.0294, -0.0124),
    (0.0002, -0.12856, 0.01735),
    (0.0466, -0.02463, -0.00768),
    (0.0705, -0.11575, 0.012),
    (-0.00032, 0.01604, -0.026),
    (0.0647, 0.0328, 0.0214),
    (0.0, -0.00677, -0.01098),
)
GRIPPER_MASS_KG = 0.82  # xArm gripper, vendor's payload table

_TURN = 2 * np.pi
# (7, 2) radians: XARM7_X4 and XARM7_X4_1305 of the vendor's SDK (core/config/x_config.py). The second holds for serial
# numbers whose digits 3 to 6 are 1305 to 8499.
JOINT_LIMITS_RAD = np.array(
    [
        (-_TURN, _TURN),
        (-2.059488, 2.094395),
        (-_TURN, _TURN),
        (-0.191986, 3.92699),
        (-_TURN, _TURN),
        (-1.692969, np.pi),
        (-_TURN, _TURN),
    ]
)
JOINT_LIMITS_1305_RAD = JOINT_LIMITS_RAD.copy()
JOINT_LIMITS_1305_RAD[1] = (-2.042035, 2.024581)
JOINT_LIMITS_1305_RAD[3] = (-0.10472, 3.92699)
for _limits in (JOINT_LIMITS_RAD, JOINT_LIMITS_1305_RAD):
    _limits.setflags(write=False)

# The vendor's protocol manual, robot specifications.
MAX_JOINT_SPEED_RAD_S = np.pi
MAX_JOINT_ACCELERATION_RAD_S2 = 20.0
MAX_JOINT_JERK_RAD_S3 = 500.0
MAX_TCP_SPEED_M_S = 1.0
MAX_TCP_ACCELERATION_M_S2 = 50.0
MAX_TCP_JERK_M_S3 = 100.0
SERVO_TCP_SPEED_M_S = 1.2  # above it, servo mode stops with error 60 (vendor's page on C60)
JOINT_TORQUE_NM = (50.0, 50.0, 30.0, 30.0, 30.0, 20.0, 20.0)  # efforts of the vendor's xarm7.urdf.xacro

GRIPPER_PULSES = 850  # of the vendor's gripper, fully open
GRIPPER_STROKE_M = 0.085
