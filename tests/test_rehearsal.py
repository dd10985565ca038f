"""Simulation judges before the world does: what would fail is not carried out, and the model is told what happens."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from iker_agent.commands.run import replay_run
from iker_agent.config import make_config
from iker_agent.learning.forecast import ForecastSettings
from iker_agent.learning.grasp_trial import try_grasps
from iker_agent.learning.waypoint import WaypointLearner
from iker_agent.loop import run_task
from iker_agent.records.run_folder import Folder
from iker_agent.rehearsal import advice, rehearse
from iker_agent.vlm.types import Reply
from iker_envs.perception import PoseNoise
from iker_envs.physics.transfer import settle
from iker_envs.planning.support import support_limit
from iker_envs.scene import Goal
from iker_envs.task import load_task
from tests.quiet_display import Quiet

BOX_TO = """
def get_interaction_data(keypoint_coordinates):
    kp = keypoint_coordinates
    box = ["1", "2", "3", "4"]
    centre = np.mean([kp[k] for k in box], axis=0)
    for k in box:
        kp[k] = kp[k] + np.array([{x} - centre[0], {y} - centre[1], 0.0])
    return "shoe_box", box, False, kp
"""
DONE = "def get_interaction_data(keypoint_coordinates):\n    return\n"
OVER_THE_END = (0.61, -0.318)


class Reader:
    """A model that knows nothing but what it is told: it takes the place that a refusal recommends."""

    def __init__(self, x: float, y: float) -> None:
        self.place = (x, y)
        self.heard: list[str] = []

    def complete(self, request):
        said = request.messages[-1].parts[-1].text
        if len(request.messages) > 1:
            self.heard.append(said)
            found = re.search(r"its centre to x ([-\d.]+), y ([-\d.]+)", said)
            self.place = tuple(float(number) for number in found.groups()) if found else self.place
        code = BOX_TO.format(x=self.place[0], y=self.place[1])
        return Reply(f"```python\n{code}\n```", backend="scripted")


class Written(Reader):
    """The same program again and again, whatever it is told."""

    corrects = False


def run(path: Path, vlm, *settings: str, task: str = "shoe_rack"):
    config = make_config(
        ("run.video=false", "run.retries=0", "run.max_stages=1", *settings), task=task, learner="waypoint"
    )
    display = Quiet()
    result = run_task(config, Folder(path), display, vlm)
    return result, display, json.loads((path / "run.json").read_text())["stages"][0]


def box(path: Path) -> np.ndarray:
    return np.array(json.loads((path / "outcome.json").read_text())["objects"]["shoe_box"]["position_m"])


@pytest.fixture(scope="module")
def over_the_edge(tmp_path_factory):
    """The folder of a run whose first goal is refused, its model, result, display and stage."""
    folder = tmp_path_factory.mktemp("over_the_edge")
    vlm = Reader(*OVER_THE_END)
    return folder, vlm, *run(folder, vlm)


def test_a_push_over_the_edge_is_not_carried_out_and_the_refusal_tells_where_to(over_the_edge):
    folder, vlm, result, display, stage = over_the_edge
    assert len(stage["refusals"]) == 1 and stage["answers"] == 2
    told = stage["refusals"][0]
    assert re.search(r"in simulation, in \d+ of \d+ copies, shoe_box .*rack", told), told
    assert "would pass the edge of rack" in told and told in vlm.heard[0] and "\n" not in told
    assert result.stages[0].ok, result.stages[0].problem  # the recommended place is one that can be reached
    assert stage["forecast"]["num_success"] / stage["forecast"]["num_copies"] > 0.5
    assert stage["forecast"]["sentence"] in display.notes
    assert np.linalg.norm(box(folder)[:2] - vlm.place) < 0.04


def test_a_goal_that_is_insisted_on_moves_nothing(tmp_path):
    class Deaf(Reader):
        def complete(self, request):
            code = BOX_TO.format(x=OVER_THE_END[0], y=OVER_THE_END[1])
            return Reply(f"```python\n{code}\n```", backend="scripted")

    result, _, stage = run(tmp_path, Deaf(*OVER_THE_END), "run.repairs=1")
    assert stage["failed"] == "answer" and len(stage["refusals"]) == 2
    assert "in simulation" in result.reason
    assert (
        not (tmp_path / "stage_01" / "goal.json").exists()
        and not (tmp_path / "stage_01" / "policy.safetensors").exists()
    )
    assert box(tmp_path)[2] == pytest.approx(load_task("shoe_rack").sample(None).object("shoe_box").pose[2], abs=0.01)


@pytest.mark.parametrize("settings, notes", [((), 1), (("run.act_above=0",), 0)])
def test_written_programs_and_runs_without_forecast_act(tmp_path, settings, notes):
    vlm = Written(*OVER_THE_END)
    _, _, stage = run(tmp_path, vlm, *settings)
    assert stage["refusals"] == [] and not vlm.heard
    assert sum("carried out all the same" in note for note in stage["notes"]) == notes
    assert (stage["forecast"] is None) == (not notes)
    assert stage["goal_error_m"] > 0.03  # it was right about that


def test_a_missed_grasp_is_tried_again_in_the_same_stage(tmp_path):
    settings = ("perception.position_m=0.03", "seed=1")  # a look that is so far off misses often; with this seed twice
    result, display, stage = run(tmp_path, None, *settings, task="shoe_place")
    assert result.stages[0].ok, result.stages[0].problem
    assert any("the hand missed left_shoe" in event for event in stage["events"])
    assert any("the hand missed left_shoe" in note for note in display.notes)
    assert (tmp_path / "stage_01" / "look_2" / "view.png").exists()


def test_a_run_with_refused_goals_replays(tmp_path, over_the_edge):
    folder = over_the_edge[0]
    assert (folder / "stage_01" / "refused_1.safetensors").exists()
    comparison = replay_run(folder, tmp_path / "again")
    assert comparison.exact and not comparison.trained


def test_the_paper_acts_without_a_trial():
    config = make_config(preset="paper")
    assert config.run.act_above == 0 and config.run.regrasps == 0


def first_stage(name):
    task = load_task(name)
    scene = settle(task.sample(None))
    return scene, task.goal(0, scene)


def test_grasps_are_ordered_by_how_often_they_hold():
    scene, goal = first_stage("shoe_place")
    tried = try_grasps(scene, goal, ForecastSettings())
    assert not tried.hopeless and tried.rates[0] >= 0.75
    assert len(tried.grasps) == len(tried.rates) > 2
    local = [np.linalg.norm(g.tcp_pose[:3] - tried.grasps[0].tcp_pose[:3]) for g in tried.grasps[1:]]
    assert min(local) > 0.01


def test_a_grasp_that_misses_nearly_always_is_refused_with_the_reason():
    scene, goal = first_stage("shoe_place")
    tried = try_grasps(scene, goal, ForecastSettings(noise=PoseNoise(0.13, 2.0)))
    assert re.match(r"left_shoe cannot be grasped well here: the hand seldom lifts it, in simulation", tried.hopeless)


@pytest.mark.parametrize("y, over", [(-0.2, False), (-0.29, False), (-0.36, True)])
def test_the_edge_of_what_an_object_stands_on_is_known(y, over):
    scene, _ = first_stage("shoe_rack")
    pose = np.array(scene.object("shoe_box").pose)
    pose[1] = y
    limit = support_limit(scene, Goal("shoe_box", pose, False))
    assert (limit is not None) == over
    if limit:
        edge = scene.object("rack").pose[1] - scene.object("rack").model.size_m[1] / 2
        assert limit.support == "rack" and edge < limit.position_m[1] < edge + 0.03


def test_the_table_has_no_edge():
    scene, goal = first_stage("shoe_push")
    assert support_limit(scene, goal) is None


@pytest.mark.slow
def test_a_grasp_that_fails_names_a_target_beside_it_that_succeeds():
    scene, _ = first_stage("book_stow")
    other = scene.object("other_book")
    middle = other.pose[:3] + np.array([-0.04, 0.036, -0.015])  # in front of it, a centimetre to its left
    goal = Goal("book", np.concatenate([middle, other.pose[3:]]), True)
    settings = ForecastSettings()

    def learn(grasp):
        return WaypointLearner().learn(scene, goal)

    ready = rehearse(scene, goal, learn, settings)
    assert ready.forecast.rate < settings.act_above
    told = advice(ready, scene, goal, settings, lambda pose: True)
    found = re.search(r"; with the target (\d\.\d) cm towards ([+-])([xyz]) it succeeds$", told)
    assert found, told
    shift = np.zeros(7)
    shift["xyz".index(found[3])] = float(f"{found[2]}{found[1]}") / 100
    better = Goal("book", goal.target_pose + shift, True)
    assert rehearse(scene, better, learn, settings).forecast.rate > settings.act_above
