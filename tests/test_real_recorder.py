"""What happened to an object on a robot, from estimates alone; and an SDK that never connects."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from iker_envs.judging.happened import happened
from iker_envs.judging.sentences import sentence
from iker_envs.perception.tracking import Tracked
from iker_envs.scene import HOME_GRIPPER_QUATERNION
from iker_envs.task import load_task
from real_env.config import RealConfig
from real_env.faults import Kind, RobotFault
from real_env.recorder import Recorder

TASK = load_task("shoe_push")
SCENE = TASK.sample(None)
GOAL = TASK.goal(0, SCENE, 0)
NAME = GOAL.object
START = np.array(SCENE.object(NAME).pose)
TARGET = np.array(GOAL.target_pose)
AT = {name: np.array(SCENE.object(name).pose) for name in SCENE.movable}


def hand_at(point) -> np.ndarray:
    return np.concatenate([point, HOME_GRIPPER_QUATERNION])


FAR = hand_at([0.4, 0.3, 0.4])


def moved(metres) -> dict[str, np.ndarray]:
    pose = START.copy()
    pose[:3] += metres
    return {**AT, NAME: pose}


def reached() -> dict[str, np.ndarray]:
    return {**AT, NAME: TARGET}


def seen(acting, after, *, hand=FAR, held=False, out_of_time=False, somebody_in=None):
    recorder = Recorder()
    goal = replace(GOAL, grasp=held) if held else GOAL
    recorder.start(SCENE.movable, AT, FAR)
    recorder.see(AT, hand)
    recorder.begin()
    for row, found in enumerate(acting):
        if row == somebody_in:
            recorder.note_move(NAME)
        recorder.see(found, hand)
    recorder.release()
    recorder.see(after)
    trace = recorder.trace(SCENE, goal, held=held, out_of_time=out_of_time)
    return happened(trace)


NEAR = hand_at(START[:3] + np.array([0, 0, 0.03]))
STORIES = {
    "reached": (seen([reached()] * 5, reached(), hand=NEAR), [], ""),
    "never touched": (seen([AT] * 5, AT), ["not_touched", "off_target"], "did not touch"),
    "lost in between and not touched": (seen([{}] * 5, AT), ["not_touched", "off_target"], "did not touch"),
    "taken by somebody": (
        seen([AT, moved([0.1, 0, 0]), moved([0.1, 0, 0])], moved([0.1, 0, 0]), somebody_in=1),
        ["taken_away", "off_target"],
        "somebody",
    ),
    "out of the hand": (
        seen([AT] * 3 + [moved([0.08, 0, 0])] * 3, moved([0.08, 0, 0]), hand=NEAR, held=True),
        ["slipped", "off_target"],
        "slipped",
    ),
    "hidden by the hand that holds it": (
        seen([AT, {}, {}, AT], AT, hand=NEAR, held=True),
        ["off_target"],
        "",
    ),
}


@pytest.mark.parametrize("name", STORIES)
def test_estimates_tell_what_happened(name):
    events, kinds, told = STORIES[name]
    assert [str(event.kind) for event in events] == kinds and told in sentence(events)


def test_a_new_episode_forgets_the_one_before():
    recorder = Recorder()
    for _ in range(2):
        recorder.start(SCENE.movable, AT, FAR)
        recorder.note_move(NAME)
        recorder.begin()
        recorder.see(AT, FAR, Tracked(START, 0.3, False, "hidden"))
    trace = recorder.trace(SCENE, GOAL, held=False, out_of_time=False)
    assert len(trace.hand_pose) == 2 and trace.moved == ((1, NAME),) and np.isnan(trace.contact_N).all()
    assert trace.pose_age_s.tolist() == [0.0, 0.3] and trace.pose_trusted.tolist() == [True, False]


def test_an_sdk_that_never_connects_is_a_fault_and_is_hung_up_when_it_comes_late(monkeypatch):
    from real_env import arm

    go_on, hung_up = threading.Event(), threading.Event()

    class Late:
        def __init__(self, *_, **__):
            go_on.wait(20)

        def disconnect(self):
            hung_up.set()

    monkeypatch.setattr(arm, "_CONNECT_S", 0.05)
    monkeypatch.setattr(arm, "_sdk", lambda _: Late)
    monkeypatch.setattr(arm.Arm, "_serves", lambda _: True)
    with pytest.raises(RobotFault, match=r"192\.168\.1\.200.*no connection within 0\.05 s") as caught:
        arm.Arm(RealConfig.from_dict({"arm": {"ip": "192.168.1.200"}}))
    assert caught.value.kind is Kind.LINK
    assert not hung_up.is_set()
    go_on.set()
    assert hung_up.wait(20)
