"""`iker eval`: which worlds, which files, which refusals; shipped policies."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from iker_agent.cli import app
from iker_agent.learning import shipped
from iker_agent.learning.conditions import SHIFTED_LATENCY, conditions, parse_configurations
from iker_agent.learning.evaluate import evaluate, evaluate_task, summary, wilson
from iker_agent.learning.waypoint import WaypointLearner
from iker_envs.randomisation import DEFAULT_RANGES
from iker_envs.spec import Spec, spec_of
from iker_envs.task import load_task


def test_configurations_are_all_or_a_list():
    assert parse_configurations("all", 3) == [0, 1, 2] and parse_configurations("2,0,2", 3) == [2, 0]
    with pytest.raises(ValueError, match="configuration 3 does not exist; there are 0 to 2"):
        parse_configurations("0,3", 3)
    with pytest.raises(ValueError, match="'all' or numbers"):
        parse_configurations("first", 3)


def test_the_shifted_world_is_wider_noisier_and_has_its_own_seed():
    (plain, seed) = conditions("on", 4)
    (shifted, other_seed) = conditions("shifted", 4)
    assert seed == 4 != other_seed
    assert shifted.ranges["friction"].tolist() == pytest.approx([0.4, 1.6])
    for name in set(plain.ranges) - {"observation_position", "observation_rotation"}:
        assert np.ptp(shifted.ranges[name]) > np.ptp(plain.ranges[name])
    assert shifted.ranges["observation_position"].tolist() == [-0.005, 0.005]
    assert np.rad2deg(shifted.ranges["observation_rotation"]).tolist() == pytest.approx([-2.0, 2.0], abs=0.01)
    assert set(shifted.ranges) - set(DEFAULT_RANGES) == set(SHIFTED_LATENCY)


def test_the_whole_is_the_sum_of_its_configurations():
    task = load_task("shoe_push")

    def rule(index):
        scene = task.sample(None, index)
        return WaypointLearner().learn(scene, task.goal(0, scene, index)).policy

    result = evaluate_task(rule, [0, 2], num_envs=4, episodes=2, seed=1, task="shoe_push")
    parts = list(result.configurations.values())
    assert [p.num_episodes for p in parts] == [8, 8] and result.overall.num_episodes == 16
    assert result.overall.success_rate == pytest.approx(np.mean([p.success_rate for p in parts]))
    assert result.overall.interval == wilson(round(16 * result.overall.success_rate), 16)


def test_hard_contacts_are_those_above_the_limit_of_the_reward():
    """Whoever pushes meets some force, and a limit beyond all forces is met by nobody."""
    task = load_task("shoe_push")
    scene = task.sample(None, 0)
    policy = WaypointLearner().learn(scene, task.goal(0, scene, 0)).policy
    rates = [
        evaluate(policy, num_envs=4, seed=1, task="shoe_push", rewards={"force_limit_N": limit}).hard_rate
        for limit in (0.01, 1e6)
    ]
    assert rates == [1.0, 0.0]


def test_a_world_that_feels_no_forces_tells_none():
    assert summary(np.array([[1.0, 1.0, 0.01, np.nan]])).hard_rate is None
    assert summary(np.array([[1.0, 1.0, 0.01, 1.0], [1.0, 0.0, 0.01, 0.0]])).hard_rate == 0.5


def test_eval_writes_what_it_measured(tmp_path):
    path = tmp_path / "result.json"
    arguments = ("eval", "waypoint", "--task", "shoe_push", "--configurations", "0", "--num-envs", "4", "--seed", "3")
    done = CliRunner().invoke(app, [*arguments, "--randomisation", "off", "--json", str(path)])
    assert done.exit_code == 0, done.output
    content = json.loads(path.read_text())
    assert {"success_rate", "success_rate_strict", "interval", "task_hash", "spec_hash", "versions"} <= set(content)
    assert "> 20 N" in done.output and 0.0 <= content["hard_rate"] <= 1.0
    assert [c["configuration"] for c in content["configurations"]] == [0]
    assert content["seed"] == 3 and content["ranges"] == {} and content["id"] == "IKER-ShoePush-v0"


def test_eval_says_when_no_policy_is_shipped():
    with pytest.raises(ValueError, match="no policy is shipped for book_stow"):
        CliRunner().invoke(app, ["eval", "--task", "book_stow"], catch_exceptions=False)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("eval", "."), "there is no policy file '.'"),
        (("eval", "--json", "nowhere/x.json"), "--json is a file that can be written"),
        (("eval", "--json", "."), "--json is a file that can be written"),
        (("eval", "--episodes", "0"), "at least 1"),
        (("eval", "--seed", "-1"), "seed is a whole number from 0 to 4294967295, not -1"),
        (("eval", "waypoint", "--observation", "pose"), "waypoint reads keypoints, not 'pose'"),
        (("eval", "--randomisation", "sifted"), "knows shifted too"),
        (("eval", "--seed", "99999999999999999999"), "seed is a whole number from 0 to 4294967295"),
        (("train", "shoe_push", "--seed", "-1", "--out", "x"), "seed is a whole number"),
        (("train", "shoe_push", "learn.horizon=0", "--out", "x"), "learn.horizon is at least 1, not 0"),
        (("train", "shoe_push", "learn.mini_batches=9", "learn.num_envs=1", "learn.horizon=8"), "from 1 to 8, not 9"),
        (("train",), "say which task"),
        (("train", "shoe_push", "run.retries=3"), "settings of learn only"),
        (("train", "shoe_push", "learn.max_step=3"), "did you mean 'learn.max_steps'"),
        (("train", "shoe_pull"), "no task 'shoe_pull'"),
        (("train", "shoe_push", "--observation", "poses"), "'poses'"),
        (("train", "--resume", "nowhere"), "is no training folder"),
        (("train", "--resume", "nowhere", "--seed", "3"), "keeps its observation, randomisation, seed, first policy"),
    ],
)
def test_train_refuses_with_a_sentence(arguments, says):
    with pytest.raises(ValueError) as refusal:
        CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert says in str(refusal.value)


def test_shipped_policies_are_found_by_name_and_observation(tmp_path, monkeypatch):
    task = load_task("shoe_push")
    scene = task.sample(None)
    policy = WaypointLearner().learn(scene, task.goal(0, scene)).policy
    (tmp_path / "policies").mkdir()
    policy.save(tmp_path / "policies" / "push.safetensors")
    monkeypatch.setattr(shipped, "files", lambda _: tmp_path)
    assert shipped.shipped_names() == ["push"]
    goal = task.goal(0, scene)
    assert shipped.shipped_for(scene, goal).parameters == policy.parameters
    assert shipped.shipped_for(scene, replace(goal, grasp=True)) is None
    assert shipped.shipped_for(replace(scene, approach_cone_rad=0.1), goal) is None
    assert shipped.shipped_policy("push", Spec(observation="pose")) is None


def test_every_family_and_single_stage_task_has_a_policy_that_fits_its_stages():
    for name in (*shipped.FAMILIES, "shoe_place", "shoe_push", "book_push", "book_reorient"):
        for task, _ in shipped.stages_of(name):
            assert shipped.shipped_policy(name, spec_of(load_task(task).sample(None))) is not None


@pytest.mark.parametrize("task", ["shoe_push", "shoe_place"])
def test_eval_without_a_policy_measures_the_shipped_one(task, tmp_path):
    arguments = ["eval", "--task", task, "--configurations", "0", "--num-envs", "32", "--json", str(tmp_path / "e")]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    assert json.loads((tmp_path / "e").read_text())["success_rate"] > 0.8
