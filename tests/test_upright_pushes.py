"""The waypoint rule pushes whatever stands upright, and its own failures are never told as faults of the task."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

import iker_envs  # noqa: F401 (registers the environments)
from iker_agent.authoring.check import check_task
from iker_agent.cli import app
from iker_agent.execute import execute
from iker_agent.learning.evaluate import evaluate
from iker_agent.learning.forecast import ForecastSettings, foresee
from iker_agent.learning.learner import Learned
from iker_agent.learning.policy import PolicyFault
from iker_agent.learning.policy_files import load_policy
from iker_agent.learning.sequential import SequentialTest
from iker_agent.learning.waypoint import WaypointLearner, WaypointPolicy
from iker_agent.learning.waypoint_parameters import waypoint_parameters
from iker_agent.learning.waypoint_tall import leaning_hand, touch_m
from iker_agent.rehearsal import advice, rehearse
from iker_envs.geometry import pose_apply, pose_inverse, quaternion_from_yaw
from iker_envs.optics import default_cameras
from iker_envs.scene import HOME_GRIPPER_QUATERNION, Goal, ObjectModel, Scene, SceneObject
from iker_envs.spec import Spec, decode_action, pack_observation, spec_of
from iker_envs.task import load_task

WORKSPACE_M = np.array([[0.20, -0.45, 0.015], [0.75, 0.45, 0.45]])
# What stands upright: a box higher than wide, one whose second longest axis is vertical, a cube, a can's box, and what
# a push at the usual height tips over: a carton, a bottle's box, a book.
COMPACT = {"7 x 7 x 10": (0.07, 0.07, 0.10), "6 x 9 x 8": (0.06, 0.09, 0.08), "cube": (0.08, 0.08, 0.08)}
TALL = {"12 x 4 x 20": (0.12, 0.04, 0.20), "5 x 5 x 15": (0.05, 0.05, 0.15), "book": (0.03, 0.18, 0.24)}
SIDES = {
    "as it is": Rotation.identity(),
    "on its side": Rotation.from_euler("x", 90, degrees=True),
    "on its end": Rotation.from_euler("y", 90, degrees=True),
}


def standing(
    size, side: Rotation = SIDES["as it is"], start=(0.45, 0.10, 0.0), end=(0.45, -0.08, 0.0)
) -> tuple[Scene, Goal]:
    """A box alone on the table that is to be pushed from `start` to `end`: x, y in metres and heading in radians."""

    def pose(x: float, y: float, heading: float) -> np.ndarray:
        rotation = Rotation.from_euler("z", heading) * side
        half_height = float(np.abs(rotation.as_matrix()[2]) @ np.asarray(size)) / 2
        return np.array([x, y, half_height, *np.roll(rotation.as_quat(), 1)])

    model = ObjectModel("thing", "box", np.array(size), 0.4)
    scene = Scene((SceneObject(model, pose(*start)),), default_cameras(), WORKSPACE_M)
    return scene, Goal("thing", pose(*end), instruction="Push it")


def successes(scene: Scene, goal: Goal, tries: int = 3) -> int:
    """How often the rule reaches the goal by the strict measure, of three tries with default randomisation."""
    env = gym.make("IKER-Stage-v0", scene=scene, goal=goal).unwrapped
    policy = WaypointLearner().learn(scene, goal).policy
    try:
        count = 0
        for seed in range(tries):
            env.reset(seed=seed, options={"look": True})
            count += execute(env, policy, goal).outcome.success_strict
        return count
    finally:
        env.close()


@pytest.mark.parametrize("turn", [0.0, 0.6])
@pytest.mark.parametrize("size", COMPACT.values(), ids=COMPACT)
def test_what_is_higher_than_wide_is_pushed_in_any_direction(size, turn):
    scene, goal = standing(size, start=(0.45, 0.10, turn), end=(0.36, 0.0, turn))
    assert successes(scene, goal) >= 2


def test_a_box_is_pushed_whichever_side_it_stands_on():
    for side in SIDES.values():
        assert successes(*standing((0.06, 0.09, 0.08), side)) >= 2


@pytest.mark.parametrize("size", TALL.values(), ids=TALL)
def test_what_a_high_push_would_tip_over_is_pushed_low_with_the_hand_leaning_back(size):
    scene, goal = standing(size)
    parameters = waypoint_parameters(scene, goal)
    assert parameters.lean_rad > 0 and scene.object("thing").pose[2] + parameters.push_height_m < 0.03
    assert successes(scene, goal) >= 2


def on_the_shelf(y: float, to_y: float, neighbour_y: float) -> tuple[Scene, Goal]:
    """A thin book that stands on a shelf beside another one, to be pushed sideways."""
    models = [ObjectModel(name, "box", np.array([0.11, 0.025, 0.18]), 0.4) for name in ("thing", "neighbour")]
    board = ObjectModel("board", "box", np.array([0.28, 0.64, 0.10]), 5.0)
    objects = [
        SceneObject(m, np.array([0.58, at, 0.19, 1.0, 0, 0, 0])) for m, at in zip(models, (y, neighbour_y), strict=True)
    ]
    objects.append(SceneObject(board, np.array([0.60, 0.0, 0.05, 1.0, 0, 0, 0]), False))
    scene = Scene(tuple(objects), default_cameras(), WORKSPACE_M)
    return scene, Goal("thing", np.array([0.58, to_y, 0.19, 1.0, 0, 0, 0]), instruction="Push it")


@pytest.mark.parametrize("to_y", [-0.10, 0.10])
def test_a_thin_book_is_pushed_along_its_shelf_and_stays_upright(to_y):
    scene, goal = on_the_shelf(0.02, to_y, -0.20)
    policy = WaypointLearner().learn(scene, goal).policy
    forecast = foresee(scene, goal, policy, ForecastSettings(max_copies=8), of_policy=SequentialTest(0.5, 8))
    assert forecast.num_success >= 7


CANNOT = {
    "too far away to lean back": (
        standing(TALL["5 x 5 x 15"], start=(0.58, 0.0, 0.0), end=(0.45, 0.0, 0.0)),
        "reaches",
    ),
    "turned": (standing(TALL["book"], start=(0.60, 0.0, 0.3), end=(0.45, 0.0, 0.3)), "towards the robot"),
    "low, at the end of the reach": (standing((0.1, 0.1, 0.06), start=(0.69, 0, 0), end=(0.5, 0, 0)), "reaches"),
    "a neighbour behind": (on_the_shelf(-0.10, -0.04, -0.20), "it would hit neighbour"),
}


@pytest.mark.parametrize(("asked", "words"), CANNOT.values(), ids=CANNOT)
def test_a_side_that_the_hand_cannot_get_behind_is_told_before_anything_moves(asked, words):
    doubt = WaypointLearner().learn(*asked).doubt
    assert re.match(f"the hand cannot get behind thing to push it .*{words}", doubt), doubt


def test_the_reason_is_part_of_what_happens_in_copies_and_no_push_that_is_refused_is_recommended():
    scene, goal = CANNOT["turned"][0]
    settings = ForecastSettings(max_copies=8)
    ready = rehearse(scene, goal, lambda grasp: WaypointLearner().learn(scene, goal), settings)
    told = advice(ready, scene, goal, settings, lambda pose: False)
    assert re.search(
        r"none succeeds, since the hand cannot get behind thing .* m; grasp it instead; no shorter", told
    ), told


CAN = {
    "the other way": on_the_shelf(-0.10, -0.16, -0.30),
    "with room for the hand": on_the_shelf(0.02, 0.10, -0.20),
    "sideways, far away": standing(TALL["5 x 5 x 15"], start=(0.58, 0.1, 0.0), end=(0.58, -0.1, 0.0)),
    "a little back": standing(TALL["5 x 5 x 15"], start=(0.58, 0.1, 0.0), end=(0.565, -0.1, 0.0)),
    "from nearby": standing(TALL["5 x 5 x 15"], start=(0.45, 0.0, 0.0), end=(0.38, 0.0, 0.0)),
    "low": standing((0.1, 0.1, 0.06), start=(0.60, 0.0, 0.0), end=(0.5, 0.0, 0.0)),
}


@pytest.mark.parametrize("asked", CAN.values(), ids=CAN)
def test_where_the_hand_has_room_nothing_is_refused(asked):
    assert WaypointLearner().learn(*asked).doubt == ""


def observation(scene: Scene, goal: Goal, gripper: np.ndarray, spec: Spec) -> np.ndarray:
    thing = scene.object("thing")
    local = thing.model.control_keypoints_m()
    here, there = (pose_apply(pose, local)[None] for pose in (thing.pose, goal.target_pose))
    return pack_observation(spec, gripper[None], thing.pose[None], here, there, goal.target_pose[None])


lengths = st.floats(0.02, 0.30)
places = st.tuples(st.floats(0.3, 0.6), st.floats(-0.3, 0.3), st.floats(-3.0, 3.0))


@given(
    size=st.tuples(lengths, lengths, lengths),
    side=st.sampled_from([*SIDES.values(), Rotation.from_euler("xy", [30, 40], degrees=True)]),
    start=places,
    end=places,
    hand=st.tuples(st.floats(0.2, 0.7), st.floats(-0.4, 0.4), st.floats(0.02, 0.4)),
)
def test_actions_are_numbers_for_every_box_wherever_it_stands_and_however_it_is_turned(size, side, start, end, hand):
    scene, goal = standing(size, side, start, end)
    spec = spec_of(scene)
    seen = observation(scene, goal, np.array([*hand, 0.0, 1.0, 0.0, 0.0]), spec)
    for grasp in (False, True):
        parameters = waypoint_parameters(scene, replace(goal, grasp=grasp))
        action = WaypointPolicy(parameters, spec).act(seen)
        assert np.isfinite(action).all() and np.abs(action).max() <= 1.0


def test_a_square_box_that_is_where_it_should_be_is_left_alone():
    scene, goal = standing((0.08, 0.08, 0.08), end=(0.45, 0.10, 0.0))
    seen = observation(scene, goal, np.array([0.45, 0.2, 0.1, 0.0, 1.0, 0.0, 0.0]), spec_of(scene))
    assert not WaypointLearner().learn(scene, goal).policy.act(seen)[:, :3].any()


@pytest.mark.parametrize("configuration", [7, 8])  # a box on the widest rack, pushed to the left and to the right
@pytest.mark.parametrize("heading", [0.15, 0.2, 0.3])
def test_a_hand_does_not_wait_for_a_contact_that_the_arm_does_not_reach(configuration, heading):
    """The far end of a turned box, where a push would set it straight, is out of reach: it is pushed nearer by."""
    task = load_task("shoe_rack")
    scene = task.sample(None, configuration)
    goal = task.goal(0, scene, configuration)
    box = scene.object("shoe_box")
    side = 1.0 if goal.target_pose[1] > box.pose[1] else -1.0
    turned = np.concatenate([[0.638], box.pose[1:3], quaternion_from_yaw(np.array(-side * heading))])
    scene = scene.with_poses({"shoe_box": turned})
    policy = WaypointLearner().learn(scene, goal).policy
    local = box.model.control_keypoints_m()
    here, there = (pose_apply(pose, local)[None] for pose in (turned, goal.target_pose))
    pose = np.array([[0.487, turned[1] - 0.19 * side, 0.19, *HOME_GRIPPER_QUATERNION]])
    for _ in range(25):  # the box stands still: until the hand is beside it
        seen = pack_observation(policy.spec, pose, turned[None], here, there, goal.target_pose[None])
        pose = decode_action(policy.spec, policy.act(seen), pose, pose, scene.workspace_m)
    beside = pose_apply(pose_inverse(turned), pose[:, :3])[0]
    assert abs(beside[1]) - box.model.size_m[1] / 2 < 0.02 and abs(beside[2]) < box.model.size_m[2] / 2


def broadside() -> tuple[Scene, Goal]:
    """A standing book that is pushed square to its cover."""
    return standing(TALL["book"], start=(0.45, 0.10, np.pi / 2), end=(0.45, -0.08, np.pi / 2))


def leaning_behind(thing_pose: np.ndarray, behind_m: float) -> float:
    """How far in metres the rule moves a hand that leans, so far behind a book, towards it."""
    scene, goal = broadside()
    policy = WaypointLearner().learn(scene, goal).policy
    scene = scene.with_poses({"thing": thing_pose})
    parameters = policy.parameters
    normal = np.array([[0.0, -1.0]])
    touching = thing_pose[1] + TALL["book"][0] / 2 + touch_m(parameters.lean_rad)
    place = np.array([[thing_pose[0], touching + behind_m]])
    low = np.array([thing_pose[2] + parameters.push_height_m])
    hand = leaning_hand(place, normal, low, parameters.lean_rad, np.array(HOME_GRIPPER_QUATERNION))[0]
    action = policy.act(observation(scene, goal, hand, spec_of(scene)))[0]
    return -float(action[1]) * policy.spec.position_step_m


def test_a_thin_book_is_met_no_faster_than_it_is_pushed_and_what_has_tipped_is_not_pressed_on():
    upright = broadside()[0].object("thing").pose
    far, near, touching = (leaning_behind(upright, behind_m) for behind_m in (0.045, 0.010, 0.0))
    assert far > 0.012
    assert near == pytest.approx(touching, abs=1e-6) and 0.003 < near < 0.01
    leaning = Rotation.from_euler("zx", [90, 30], degrees=True).as_quat(scalar_first=True)
    fallen = np.concatenate([upright[:3], leaning])
    assert leaning_behind(fallen, 0.0) == 0.0


def test_the_lengths_of_a_tall_object_survive_the_policy_file(tmp_path):
    policy = WaypointLearner().learn(*standing(TALL["book"])).policy
    policy.save(tmp_path / "policy.safetensors")
    assert load_policy(tmp_path / "policy.safetensors").parameters == policy.parameters


# -- whose fault it is ------------------------------------------------------------------------------------------------

# A mat marks the place: its centre is at 0.45, -0.30, 0.01, and the carton goes 25 cm to the left of it.
MODELS = {
    "carton": {"shape": "box", "size_m": [0.06, 0.09, 0.08], "mass_kg": 0.3, "source": "a carton"},
    "mat": {"shape": "box", "size_m": [0.15, 0.15, 0.02], "source": "a mat"},
}
KEYPOINTS = """
import numpy as np

def get_interaction_data(keypoint_coordinates):
    kp = keypoint_coordinates
    shift = np.array([0.45, -0.05, 0.04]) - np.mean([kp[k] for k in "1234"], axis=0)
    for k in "1234":
        kp[k] = kp[k] + shift
    return "carton", ["1", "2", "3", "4"], False, kp
"""
POSES = """
def get_final_poses(object_poses):
    object_poses["carton"] = [0.45, -0.05, 0.04, 0.0, 0.0, 0.0]
    return "carton", False, object_poses
"""
GOAL = {"object": "carton", "relative_to": "mat", "position_m": [0.0, 0.25, 0.03], "grasp": False}
TASK: dict[str, Any] = {
    "name": "carton",
    "id": "Mine-Carton-v0",
    "description": "Push a carton.",
    "workspace_m": WORKSPACE_M.tolist(),
    "instruction": "Push the carton 15 cm to the right",
    "objects": {
        "mat": {"model": "mat", "position_m": [0.45, -0.30, 0.0], "movable": False},
        "carton": {"model": "carton", "position_m": [0.45, 0.10, 0.0]},
    },
    "stages": [{"goal": GOAL, "programs": {"keypoints": KEYPOINTS, "poses": POSES}}],
}


class Broken:
    """A policy that gives no numbers."""

    spec = Spec()

    def act(self, observations: np.ndarray) -> np.ndarray:
        return np.full((len(observations), 6), np.nan, dtype=np.float32)


class Idle(Broken):
    def act(self, observations: np.ndarray) -> np.ndarray:
        return np.zeros((len(observations), 6), dtype=np.float32)


@pytest.fixture
def carton(tmp_path):
    (tmp_path / "objects.yaml").write_text(yaml.safe_dump(MODELS))
    path = tmp_path / "carton.yaml"
    path.write_text(yaml.safe_dump(TASK, sort_keys=False))
    return path


def test_a_sound_task_with_an_upright_box_has_no_faults_and_is_solved(carton):
    notes = []
    assert check_task(str(carton), note=notes.append) == [] and notes == []


@pytest.mark.parametrize("policy", [Broken, Idle])
def test_what_the_reference_solver_cannot_do_is_noted_and_no_fault_of_the_task(carton, monkeypatch, policy):
    monkeypatch.setattr(WaypointLearner, "learn", lambda *_, **__: Learned(policy()))
    done = CliRunner().invoke(app, ["check", str(carton)], catch_exceptions=False)
    assert done.exit_code == 0 and "no faults found" in done.output and "fault:" not in done.output
    assert "the reference solver (waypoint) cannot do it in 3 tries; another policy may: " in done.output


def test_a_run_whose_policy_gives_no_numbers_ends_with_a_report(carton, tmp_path, monkeypatch):
    monkeypatch.setattr(WaypointLearner, "learn", lambda *_, **__: Learned(Broken()))
    monkeypatch.setattr(Broken, "save", lambda self, path: path.touch(), raising=False)
    arguments = ["run", "--task", str(carton), "--learner", "waypoint", "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(app, [*arguments, "run.video=false", "run.retries=0"], catch_exceptions=False)
    assert done.exit_code == 1 and (tmp_path / "run" / "report.html").exists()
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert "the policy gave an action that is no number" in record["stages"][0]["problem"]


def test_an_evaluation_counts_a_world_whose_policy_gives_no_numbers_as_failed():
    scene, goal = standing(COMPACT["cube"], end=(0.45, 0.095, 0.0))  # there from the beginning
    counts = [evaluate(p, num_envs=2, scene=scene, goal=goal, num_threads=1).success_rate for p in (Idle(), Broken())]
    assert counts == [1.0, 0.0]


def test_an_action_that_is_no_number_is_not_carried_out():
    scene, goal = standing(COMPACT["cube"])
    env = gym.make("IKER-Stage-v0", scene=scene, goal=goal).unwrapped
    env.reset(seed=0, options={"look": True})
    with pytest.raises(PolicyFault, match="after 0 ticks"):
        execute(env, Broken(), goal)
    env.close()
