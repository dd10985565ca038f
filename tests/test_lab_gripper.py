"""The lab's gripper presses with its whole force on what stops the fingers, as the vendor's does."""

from __future__ import annotations

import struct

import pytest

from iker_envs.planning.hand import FINGER_STIFFNESS
from real_env.arm_model import FINGER_FORCE_N
from real_env.lab.gripper import ADDRESS, ENABLE, TARGET, Gripper
from real_env.xarm7 import GRIPPER_PULSES, GRIPPER_STROKE_M

WRITE = 0x10
WHOLE_FORCE_M = 2 * FINGER_FORCE_N / FINGER_STIFFNESS


def write(gripper: Gripper, register: int, *words: int) -> None:
    frame = struct.pack(">BBHHB", ADDRESS, WRITE, register, len(words), 2 * len(words))
    assert gripper.request(frame + struct.pack(f">{len(words)}H", *words))[1] == WRITE


def told(gripper: Gripper, target_m: float, stopped_at_m: float, start_m: float = GRIPPER_STROKE_M) -> float:
    """What fingers that begin at an opening are told in the end, where something stops them at another one."""
    pulses = round(target_m / GRIPPER_STROKE_M * GRIPPER_PULSES)
    write(gripper, TARGET, pulses >> 16, pulses & 0xFFFF)
    set_point = start_m
    for _ in range(2000):
        set_point = gripper.tick(max(set_point, stopped_at_m), 0.0)
    return set_point


@pytest.fixture
def gripper() -> Gripper:
    gripper = Gripper(GRIPPER_STROKE_M)
    write(gripper, ENABLE, 1)
    return gripper


@pytest.mark.parametrize(("target_m", "stopped_at_m"), [(0.0, 0.012), (0.0, 0.03), (0.02, 0.07), (0.065, 0.07)])
def test_what_stops_the_fingers_is_pressed_with_the_whole_force_however_near_the_target_is(
    gripper, target_m, stopped_at_m
):
    assert told(gripper, target_m, stopped_at_m) == pytest.approx(stopped_at_m - WHOLE_FORCE_M, abs=1e-6)


def test_fingers_that_nothing_stops_go_to_their_target_and_no_further(gripper):
    assert told(gripper, 0.02, 0.0) == pytest.approx(0.02)
    assert told(gripper, 0.0, 0.03, 0.02) < 0.0  # it holds something,
    assert told(gripper, 0.06, 0.0, 0.03) == pytest.approx(0.06)  # and lets it go
