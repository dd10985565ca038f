"""Set points on a busy machine: none follows a late one too closely, and one that is much too slow says why."""

import threading
import time
from dataclasses import replace

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


class FarAway:
    """An arm that set points reach late, some of them much later than others; it remembers when."""

    def __init__(self):
        self.arrivals_s = []

    def servo(self, joints):
        time.sleep(0.05 if len(self.arrivals_s) % 4 == 1 else 0.0)
        self.arrivals_s.append(time.monotonic())


def test_a_set_point_that_was_late_on_its_way_is_not_followed_too_closely():
    arm = FarAway()
    stream = Stream(arm, HostIK(), replace(QUICK, clock=1.0))
    stream.start(HOME)
    stream.carry_out(Path(np.linspace(HOME, HOME + 0.05, 20)))
    stream.halt()
    assert np.diff(arm.arrivals_s).min() > 0.0075  # of 10 ms


def test_a_mistake_of_this_program_is_raised_as_itself_and_ends_the_stream():
    class Mistaken(Path):
        def next(self, joints_rad):
            return 1 / 0

    stream = Stream(Answering(0.0), HostIK(), QUICK)
    stream.start(HOME)
    with pytest.raises(ZeroDivisionError):
        stream.carry_out(Mistaken(HOME[None]))
    assert not stream.running
    stream.halt()


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


def test_a_connection_that_nobody_waits_for_any_more_is_hung_up(monkeypatch):
    from concurrent.futures import Future

    from real_env.arm import _made_within

    interrupted = threading.Event()
    hung_up = threading.Event()

    class Api:
        def disconnect(self):
            hung_up.set()

    def result(self, timeout=None):
        interrupted.set()
        monkeypatch.undo()
        raise KeyboardInterrupt

    def make():
        assert interrupted.wait(10)
        return Api()

    monkeypatch.setattr(Future, "result", result)
    with pytest.raises(KeyboardInterrupt):
        _made_within(10.0, make)
    assert hung_up.wait(10)


def test_a_laboratory_that_was_held_up_ticks_before_it_takes_a_command(monkeypatch):
    from real_env.lab import clock as module
    from real_env.lab.clock import LabClock

    now = [100.0]
    ticks = []
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    clock = LabClock(0.5, lambda: ticks.append(now[0]))
    clock.catch_up()
    assert not ticks  # it does not run yet
    clock._seen_s = now[0]
    now[0] += 0.1  # 50 ms of the laboratory
    clock.catch_up()
    assert len(ticks) == 12
    clock.catch_up()
    assert len(ticks) == 12
    now[0] += 10.0
    clock.catch_up()
    assert (len(ticks), clock.num_late) == (13, 1) and clock.dropped_s == pytest.approx(5.0, abs=0.01)
