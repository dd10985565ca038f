"""108 first answers of a model to the project's own questions: each is read and run as the model meant it.

data/vlm_replies.json says what they are: one model, one sample, written in batches per task, so not independent. They
answered the sentences of before; where those had two readings (test_instructions.py) the model often took the other,
and then that is what its program has to do here.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from iker_agent.asking.goals import check_goal
from iker_agent.commands.display import Screen
from iker_agent.config import make_config
from iker_agent.loop import run_task
from iker_agent.program import ProgramResult, extract_program, run_program
from iker_agent.records.run_folder import Folder
from iker_agent.seeing.keypoints import Keypoints, marked_points, select_keypoints
from iker_agent.vlm.errors import ReplayMiss
from iker_agent.vlm.record import read_calls
from iker_agent.vlm.replay import Replay
from iker_agent.vlm.types import Message, Part, Request
from iker_envs.geometry import fit_rigid, pose_apply, quaternion_from_yaw, quaternion_multiply, rotation_angle
from iker_envs.measure import keypoint_error
from iker_envs.scene import Goal, Scene, turned_pose
from iker_envs.task import load_task

REPLIES = json.loads((Path(__file__).parent / "data/vlm_replies.json").read_text(encoding="utf-8"))["replies"]
NEAR_M = 0.03
NEAR_DEG = 15.0
# Task, configuration, stage -> where the model's own words put the object, from the annotation: metres forward and
# left, and a half turn: "4 cm in front of" was beyond, "cover to the robot" the other one, "clear the rack" right.
OTHERWISE = {
    ("shoe_place", 4, 1): (0.08, 0.0, False),
    ("shoe_place", 5, 1): (0.08, 0.0, False),
    ("shoe_rack", 0, 1): (0.0, -0.39, False),
    **{("book_stow", index, 1): (0.01, 0.0, True) for index in (0, 3, 5, 8)},
}
MENDED = {("shoe_place", 4), ("shoe_place", 5), ("shoe_rack", 0)}
OUT_OF_REACH = {("shoe_place", 4, 1)}  # as meant; the one such place among them
NAMES = [f"{r['task']}-{r['configuration']}-{r['stage']}-{r['contract']}" for r in REPLIES]
every_reply = pytest.mark.parametrize("reply", REPLIES, ids=NAMES)


@cache
def scene_of(task: str, configuration: int, stage: int, seed: int) -> Scene:
    """The scene that was asked about: the stages before went perfectly."""
    loaded = load_task(task)
    scene = loaded.sample(np.random.default_rng([seed, 0]), configuration)
    for number in range(stage - 1):
        goal = loaded.goal(number, scene, configuration)
        scene = scene.with_poses({goal.object: goal.target_pose})
    return scene


def place(reply: dict) -> tuple[str, int, int]:
    return reply["task"], reply["configuration"], reply["stage"]


def moved(result: ProgramResult, scene: Scene, keypoints: Keypoints) -> tuple[str, np.ndarray]:
    """Which object a program moves, whatever it calls it, and the pose (7,) that it gives to it."""
    if not result.indices:
        six = np.array(result.targets[result.object])
        return result.object, turned_pose(six[:3], six[3:])
    name = keypoints.objects[keypoints.labels.index(result.indices[0])]
    labels = keypoints.of_object(name)
    listed = [k for k, label in enumerate(labels) if label in result.indices]  # it may leave out what it cannot see
    targets = np.array([result.targets[labels[k]] for k in listed])
    return name, fit_rigid(marked_points(scene.object(name).model)[listed], targets)[0]


def test_what_they_are():
    assert len(REPLIES) == 108
    contracts = [reply["contract"] for reply in REPLIES]
    assert (contracts.count("keypoints"), contracts.count("poses")) == (68, 40)


@every_reply
def test_a_recorded_answer_is_read_and_run_as_the_model_meant_it(reply, program_inputs, blank_view):
    task = load_task(reply["task"])
    scene = scene_of(*place(reply), reply["seed"])
    code, warnings = extract_program(reply["reply"], reply["contract"])
    assert code is not None, warnings
    result = run_program(code, program_inputs(scene)[reply["contract"]], reply["contract"])
    stages = task.configuration(reply["configuration"]).stages
    if reply["stage"] > len(stages):
        assert result.status == "done", result.message
        return
    assert result.status == "ok", result.message
    keypoints = select_keypoints(scene, blank_view(scene))
    name, found = moved(result, scene, keypoints)
    goals = [task.goal(k, scene, reply["configuration"]) for k in range(reply["stage"] - 1, len(stages))]
    goal = next(g for g in goals if g.object == name)  # the order of what is left is the model's
    assert result.grasp == goal.grasp
    wanted = np.array(goal.target_pose)
    forward_m, left_m, is_turned = OTHERWISE.get(place(reply), (0.0, 0.0, False))
    wanted[:2] += forward_m, left_m
    if is_turned:
        wanted[3:] = quaternion_multiply(quaternion_from_yaw(np.array(np.pi)), wanted[3:])
    local = scene.object(goal.object).model.control_keypoints_m()
    error_m = float(keypoint_error(found[None], local, pose_apply(wanted, local)[None])[0])
    assert error_m < NEAR_M and np.rad2deg(rotation_angle(found[3:], wanted[3:])) < NEAR_DEG, error_m
    accepted = isinstance(check_goal(result, scene, keypoints), Goal)
    assert accepted == (place(reply) not in OUT_OF_REACH)


# The same answers as records that ship


@pytest.mark.parametrize(("name", "contract"), [("first_answers", "keypoints"), ("first_answers_poses", "poses")])
def test_the_shipped_records_hold_these_answers_and_nothing_is_wrong_with_them(name, contract):
    replay = Replay(name, "instruction")
    rows = read_calls(replay.folder)
    assert replay.faults == []
    assert [row["reply"]["text"] for row in rows] == [r["reply"] for r in REPLIES if r["contract"] == contract]
    for row in rows:
        asked = row["settings"]
        now = load_task(asked["task"]).configuration(asked["configuration"]).instruction
        is_mended = asked["task"] == "book_stow" or (asked["task"], asked["configuration"]) in MENDED
        assert (row["instruction"] == now) != is_mended, "where its meaning changed, the sentence that was asked stays"


def question(instruction: str) -> Request:
    return Request((Message("user", (Part(f"Another prompt. {instruction}"),)),), {"instruction": instruction})


def test_by_instruction_answers_come_in_order_whatever_the_prompt():
    sentence = load_task("shoe_rack").configuration(3).instruction
    replay = Replay("first_answers", "instruction")
    texts = [replay.complete(question(sentence)).text for _ in range(4)]
    assert texts == [r["reply"] for r in REPLIES if place(r)[:2] == ("shoe_rack", 3)]
    with pytest.raises(ReplayMiss, match='has no answer left to "Push the box'):
        replay.complete(question(sentence))
    with pytest.raises(ReplayMiss, match=r"it has answers to this instruction \(ask.match=instruction\)"):
        Replay("first_answers", "text").complete(question(sentence))


def test_where_a_question_says_what_it_is_of_only_answers_of_that_are_given():
    """Arrangements share sentences: the answer to one is none to another."""
    sentence = load_task("shoe_push").configuration(0).instruction
    of_it = [r for r in REPLIES if r["contract"] == "keypoints" and r["task"] == "shoe_push"]
    replay = Replay("first_answers", "instruction")

    def ask_at(configuration: int, stage: int) -> str:
        asked = question(sentence)
        at = {"task": "shoe_push", "configuration": configuration, "stage": stage, "seed": 4242}
        return replay.complete(Request(asked.messages, {**asked.attachments, "place": at})).text

    assert ask_at(0, 1) == of_it[0]["reply"]
    for configuration, stage in ((0, 2), (0, 1)):
        with pytest.raises(ReplayMiss, match="has no answer left to"):
            ask_at(configuration, stage)


def test_a_folder_of_ones_own_goes_before_a_shipped_record(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "first_answers").mkdir()
    for name in ("first_answers", "last_answers"):
        with pytest.raises(ValueError, match=f"'{name}' holds no record"):
            Replay(name)


def test_a_run_is_answered_from_a_shipped_record(tmp_path):
    """As of the command line: one stage, one question, one recorded answer."""
    ask = {"cassette": "first_answers", "match": "instruction"}
    settings = ["prompt=single_stage", "run.video=false", "run.retries=0"]
    config = make_config(settings, task="shoe_push", configuration=5, vlm="replay", learner="waypoint", ask=ask)
    with Screen(config.learn.budget_s) as screen:
        result = run_task(config, Folder(tmp_path / "run"), screen)
    assert result.success and result.spent["calls"] == 1
