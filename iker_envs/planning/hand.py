"""The hand of an xArm7 as sizes and forces: what fits between its fingers, and what it must not touch.

End-effector frame: origin between the fingertips, z along the approach, y along the closing direction; metres.
"""

from __future__ import annotations

MAX_OPENING_M = 0.085  # xArm gripper stroke (UFACTORY xArm Gripper manual)
FINGER_STIFFNESS = 1000.0  # N/m
GRIP_FORCE_N = 25.0  # within the gripper's 30 N
FINGERTIP_M = 0.012  # the fingertips reach this far beyond the tool centre
FINGER_HALF_SIZE_M = (0.011, 0.006, 0.039)
HAND_HALF_SIZE_M = (0.05, 0.07, 0.05)
HAND_CENTRE_M = (0.0, 0.0, -0.115)  # from the flange, 172 mm behind the tool centre, to the finger joints
WRIST_RADIUS_M = 0.045
WRIST_FROM_M = -0.27
WRIST_TO_M = -0.12
