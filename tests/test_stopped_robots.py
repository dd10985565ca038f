"""A robot that is stopped, as runs and evaluations see it: its reason is told, and nobody goes on as if nothing was."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from iker_agent.cli import app
from iker_agent.commands.ending import NOT_DONE, explained
from iker_agent.commands.operator import ask_person
from iker_agent.config import make_config
from iker_agent.execute import execute
from iker_agent.learning.waypoint import WaypointLearner
from iker_agent.learning.world_evaluation import evaluate_in_world
from iker_agent.loop import carry_out
from iker_agent.plan import make_plan
from iker_agent.records.report import write_report
from iker_agent.records.run_folder import Folder
from iker_agent.worlds import make_world
from iker_envs.world import Fault, WorldFault
from tests.quiet_display import Quiet

COLLISION = Fault("collision", "the arm stopped because it felt a collision (C31)", True, "")
BUTTON = Fault("emergency_stop", "the emergency stop is pressed (C1)", False, "release the button, then reset")


class Stopped:
    """A simulated world in which a robot is stopped: in the third tick of an episode, of so many episodes."""

    def __init__(self, world, fault, episodes=1):
        self._world = world
        self._fault = fault
        self._left = episodes
        self._ticks = 0
        self._struck = None
        self.has_truth = True

    def __getattr__(self, name):
        return getattr(self._world, name)

    def reset(self, *, seed=None, options=None):
        if self._struck is not None and not self._struck.recovered:
            raise WorldFault(self._struck)
        self._ticks = 0
        self._struck = None
        return self._world.reset(seed=seed, options=options)

    def view(self):
        if self._struck is not None and not self._struck.recovered:
            raise WorldFault(self._struck)
        return self._world.view()

    def step(self, action):
        observation, reward, lost, truncated, info = self._world.step(action)
        self._ticks += 1
        if self._ticks == 3 and self._left:
            self._left -= 1
            self._struck = self._fault
            return observation, reward, lost, True, {**info, "fault": self._fault}
        return observation, reward, lost, truncated, info

    def finish(self):
        outcome = self._world.finish()
        return replace(outcome, reason=str(self._struck)) if self._struck else outcome


def stopped_world(config, fault, episodes=1):
    return Stopped(make_world(config, make_plan(config).task), fault, episodes)


def run(tmp_path, fault):
    config = make_config(("run.video=false",), learner="waypoint", task="shoe_push", seed=1)
    world = stopped_world(config, fault)
    result = carry_out(make_plan(config), Folder(tmp_path), Quiet(), world=world)
    return result, json.loads((tmp_path / "run.json").read_text()), write_report(tmp_path).read_text(encoding="utf-8")


def test_a_stage_that_a_fault_cut_short_is_tried_again_once_the_arm_recovered(tmp_path):
    result, record, page = run(tmp_path, COLLISION)
    assert [stage.failed for stage in result.stages] == ["robot", None] and result.success
    assert record["stages"][0]["failed"] == "robot"
    assert "Robot stopped" in page and "felt a collision" in page


def test_a_robot_that_waits_for_a_person_ends_the_run_with_what_to_do(tmp_path):
    result, record, page = run(tmp_path, BUTTON)
    assert not result.success and "release the button" in result.reason
    assert [stage["failed"] for stage in record["stages"]] == ["robot", "robot"]
    assert "Robot stopped" in page


def test_execute_tells_the_fault_and_measures_where_things_are():
    config = make_config(learner="waypoint", task="shoe_push")
    world = stopped_world(config, COLLISION)
    try:
        world.reset(seed=0, options={"configuration": 0, "look": True})
        goal = world.goal
        rollout = execute(world, WaypointLearner().learn(world.scene, goal).policy, goal)
    finally:
        world.close()
    assert rollout.fault == COLLISION and not rollout.lost
    assert rollout.outcome.reason == str(COLLISION) and rollout.outcome.num_steps == 3


def test_an_evaluation_counts_faults_and_an_episode_that_one_cut_short_has_failed():
    config = make_config(task="shoe_push")
    world = stopped_world(config, COLLISION, episodes=1)
    policy = SimpleNamespace(act=lambda observations: np.zeros((len(observations), 6)))
    heard = []
    try:
        found = evaluate_in_world(world, lambda _: policy, [0, 1], report=lambda index, part: heard.append(index))
    finally:
        world.close()
    assert found.faults == {"collision": 1} and heard == [0, 1] and found.stopped is None
    assert found.result.overall.num_episodes == 2 and found.result.overall.success_rate == 0.0


STILL = SimpleNamespace(act=lambda observations: np.zeros((len(observations), 6)))


def test_an_arm_that_waits_for_a_person_ends_an_evaluation_and_keeps_what_was_measured():
    config = make_config(task="shoe_push")
    world = stopped_world(config, BUTTON)
    heard = []
    try:
        found = evaluate_in_world(
            world, lambda _: STILL, [0, 1], episodes=2, report=lambda index, part: heard.append(part.num_episodes)
        )
        with pytest.raises(WorldFault, match="release the button"):  # nothing to keep
            evaluate_in_world(world, lambda _: STILL, [0])
    finally:
        world.close()
    assert found.stopped.fault == BUTTON and found.faults == {"emergency_stop": 1}
    assert heard == [1] and found.result.overall.num_episodes == 1


def test_eval_writes_what_a_robot_measured_before_it_waited_for_a_person(tmp_path, monkeypatch):
    config = make_config(task="shoe_push")
    monkeypatch.setattr(
        "iker_agent.learning.task_evaluation.robot_world", lambda *where, **more: stopped_world(config, BUTTON)
    )
    path = tmp_path / "result.json"
    arguments = ("eval", "waypoint", "--task", "shoe_push", "--world", "lab", "--num-envs", "1", "--json", str(path))
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code != 0 and isinstance(done.exception, WorldFault)
    content = json.loads(path.read_text())
    assert content["num_episodes"] == 1 and content["stopped"] == str(BUTTON)
    assert "the table holds the episodes until then" in done.output


def test_a_policy_whose_actions_are_no_numbers_has_failed_and_moves_nothing():
    world = make_world(make_config(task="shoe_push"), make_plan(make_config(task="shoe_push")).task)
    policy = SimpleNamespace(act=lambda observations: np.full((len(observations), 6), np.nan))
    try:
        found = evaluate_in_world(world, lambda _: policy, [0])
    finally:
        world.close()
    assert found.result.overall.success_rate == 0.0 and found.faults == {}


def test_a_command_that_a_robot_stops_ends_with_one_sentence():
    ending = explained(WorldFault(BUTTON))
    assert ending.code == NOT_DONE and "release the button" in ending.sentence
    assert explained(RuntimeError("a fault of the program")) is None


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (("world=real",), "world=real and real=robot.yaml"),
        (("real=robot.yaml",), "world=real and real=robot.yaml"),
        (("world=lab", "clock=0"), "clock is a finite number above 0, not 0"),
    ],
)
def test_settings_of_a_robot_belong_together(settings, told):
    with pytest.raises(ValueError, match=told):
        make_config(settings)


def test_nobody_at_the_terminal_declines(monkeypatch):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert ask_person("arrange the table") is False
