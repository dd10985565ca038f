"""A motion that takes much too long ends with the true reason: the box answers late, or this computer is too slow."""

import time

import numpy as np
import pytest

from real_env.config import ArmConfig, LabConfig, RealConfig
from real_env.faults import Kind, RobotFault
from real_env.ik import HostIK
from real_env.stream import Path, Stream

QUICK = RealConfig(ArmConfig("127.0.0.1"), clock=5.0, lab=LabConfig(1, "token"))  # a motion is given up after 0.6 s
HOME = np.array(QUICK.home_joints_rad)
SLOW_S = 0.25  # for a set point that is due every 2 ms


class Answering:
    """An arm that takes some time to answer a set point."""

    def __init__(self, answer_s):
        self._answer_s = answer_s

    def servo(self, joints):
        time.sleep(self._answer_s)


class Computed(Path):
    """A path whose set points take some time to find."""

    def next(self, joints_rad):
        time.sleep(SLOW_S)
        return super().next(joints_rad)


@pytest.mark.parametrize(
    ("answer_s", "path", "kind"),
    [(SLOW_S, Path, Kind.LINK), (0.0, Computed, Kind.OVERLOADED)],
    ids=["the box answers late", "this computer is too slow"],
)
def test_set_points_that_are_too_slow_have_a_true_reason(answer_s, path, kind):
    stream = Stream(Answering(answer_s), HostIK(), QUICK)
    stream.start(HOME)
    with pytest.raises(RobotFault, match=r"set points in \d\.\d s, of which their answers took \d\.\d s") as caught:
        stream.carry_out(path(np.linspace(HOME, HOME + 0.1, 40)))
    stream.halt()
    assert caught.value.kind is kind
