"""What a forecast says beforehand is what happens in copies, and it is said in one sentence."""

import re
from dataclasses import replace

import numpy as np
import pytest

from iker_agent.learning.copies import Copies
from iker_agent.learning.forecast import Forecast, ForecastSettings, foresee
from iker_agent.learning.policy import PolicyFault
from iker_agent.learning.waypoint import WaypointLearner
from iker_envs.perception import PoseNoise
from iker_envs.physics.transfer import settle
from iker_envs.planning.grasps import propose_grasps
from iker_envs.randomisation import Randomisation
from iker_envs.spec import Spec
from iker_envs.task import load_task

EXACT = ForecastSettings(noise=PoseNoise(0.0, 0.0), randomisation=Randomisation.off())


def first_stage(name):
    task = load_task(name)
    scene = settle(task.sample(None))
    return scene, task.goal(0, scene)


class Constant:
    """A policy that always gives one action."""

    spec = Spec()

    def __init__(self, value: float) -> None:
        self.value = value

    def act(self, observations):
        return np.full((len(observations), 6), self.value)


@pytest.mark.parametrize("name", ["shoe_push", "book_push"])
def test_a_sound_push_is_known_to_succeed_after_a_few_copies(name):
    scene, goal = first_stage(name)
    found = foresee(scene, goal, WaypointLearner().learn(scene, goal).policy, ForecastSettings())
    assert found.rate > 0.8 and found.num_copies <= 32
    assert f"{found.num_copies} copies" in found.sentence


def test_a_push_over_an_edge_is_known_to_fail_and_why():
    scene, goal = first_stage("shoe_rack")
    rack = scene.object("rack")
    over = np.array(goal.target_pose)
    over[1] = rack.pose[1] - rack.model.size_m[1] / 2 - 0.03  # its centre beyond the rack's right end
    goal = replace(goal, target_pose=over)
    found = foresee(scene, goal, WaypointLearner().learn(scene, goal).policy, ForecastSettings())
    assert found.num_success == 0 and found.num_copies <= 16
    assert goal.object in found.failure and found.failure in found.sentence
    assert re.search("(tipped over|pushed off|fell off).*rack", found.failure)


def test_a_hand_that_misses_is_named():
    scene, goal = first_stage("shoe_place")
    grasp = propose_grasps(scene, goal.object, goal.target_pose).grasps[0]
    beside = np.array(grasp.tcp_pose)
    beside[2] += 0.15
    policy = WaypointLearner().learn(scene, goal).policy
    found = foresee(scene, goal, policy, EXACT, [replace(grasp, tcp_pose=beside)])
    assert "left_shoe was not lifted" in found.failure and found.num_success == 0
    assert found.num_missed == found.num_copies


def test_a_policy_that_does_nothing_hardly_moves_the_object():
    scene, goal = first_stage("shoe_push")
    found = foresee(scene, goal, Constant(0.0), EXACT)
    assert re.match("the hand did not touch left_shoe", found.failure)


def test_a_policy_without_numbers_is_at_fault_itself():
    with pytest.raises(PolicyFault, match="no number after 0 ticks"):
        foresee(*first_stage("shoe_push"), Constant(np.nan), EXACT)


def test_copies_stand_around_the_estimate_as_far_as_its_noise():
    scene, goal = first_stage("shoe_rack")
    copies = Copies(scene, goal, 64, PoseNoise(0.005, 2.0), Randomisation.off())
    copies.begin(0)
    index = copies.stage.sim.objects.index(goal.object)
    shift = copies.stage.episode.start_pose[:, index, :3] - scene.object(goal.object).pose[:3]
    copies.close()
    assert np.all(np.abs(shift[:, :2].std(axis=0) - 0.005) < 0.0015)
    assert np.abs(shift[:, 2]).max() < 0.002  # still on its support


def test_the_same_seed_gives_the_same_forecast():
    scene, goal = first_stage("book_push")
    policy = WaypointLearner().learn(scene, goal).policy
    first, again = (foresee(scene, goal, policy, ForecastSettings(), seed=3) for _ in range(2))
    assert first == again


def test_the_sentence_counts_what_happens_most_often():
    assert Forecast(16, 16).sentence == "in simulation 16 of 16 copies succeed"
    bad = Forecast(24, 2, 0, "shoe_box tips over", 20)
    assert bad.sentence == "in simulation, in 20 of 24 copies, shoe_box tips over; 2 succeed"
    assert Forecast(16, 14, 0, "cup tips over", 1).sentence == (
        "in simulation 14 of 16 copies succeed; in 1 copy cup tips over"
    )
    assert bad.to_dict()["sentence"] == bad.sentence and bad.rate == pytest.approx(1 / 12)
