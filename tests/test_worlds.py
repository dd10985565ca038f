"""A run acts in a World: what it shares with a robot is enough, also where nobody knows the truth."""

from __future__ import annotations

import json

import numpy as np
import pytest

from iker_agent import loop
from iker_agent.config import make_config
from iker_agent.disturb import load_disturbance
from iker_agent.plan import make_plan
from iker_agent.records.report import write_report
from iker_agent.records.run_folder import Folder
from iker_agent.seeing.look import look
from iker_agent.worlds import make_world, pose_estimator
from iker_envs.perception import Estimate
from iker_envs.physics.transfer import SceneNotAtRest
from iker_envs.scene import upright_pose
from tests.quiet_display import Quiet

OFFSET = np.array([0.001, 0.002, 0, 0, 0, 0, 0])  # of what a world without truth thinks of its objects


class Narrow:
    """A simulated world of which no more can be seen than what World names; it may be one that has to estimate."""

    def __init__(self, world, *, truth: bool) -> None:
        self._world = world
        self.has_truth = truth
        self.views = 0
        self.estimate = world.template
        for name in ("reset", "step", "finish", "render", "move", "close"):
            setattr(self, name, getattr(world, name))

    @property
    def template(self):
        return self._world.template

    @property
    def scene(self):
        return self._world.scene if self.has_truth else self.estimate

    def view(self):
        self.views += 1
        view = self._world.view()
        shifted = {name: pose + OFFSET for name, pose in view.true_poses.items()}
        self.estimate = self.template.with_poses(shifted)
        return view


def narrow_world(config, *, truth: bool) -> Narrow:
    plan = make_plan(config)
    return Narrow(make_world(config, plan.task), truth=truth)


@pytest.mark.parametrize("truth", [True, False])
def test_a_run_needs_only_what_a_world_has_and_says_what_it_is_judged_by(tmp_path, monkeypatch, truth):
    config = make_config(("run.video=false",), learner="waypoint", task="shoe_push", seed=1)
    world = narrow_world(config, truth=truth)
    monkeypatch.setattr(loop, "make_world", lambda config, task: world)
    result = loop.run_task(config, Folder(tmp_path), Quiet())
    assert result.success, result.reason
    run, outcome = (json.loads((tmp_path / name).read_text()) for name in ("run.json", "outcome.json"))
    assert run["judged_by"] == outcome["judged_by"] == ("truth" if truth else "estimate")
    end = np.array(outcome["objects"]["left_shoe"]["position_m"])
    assert np.array_equal(end, world.estimate.object("left_shoe").pose[:3]) == (not truth)
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert ("these are estimates" in page) == (not truth)


class Wobbly:
    """An estimator that is wrong, by 10 cm in height, so many times."""

    def __init__(self, inner, wrong: int) -> None:
        self.inner = inner
        self.wrong = wrong

    def estimate(self, view, models):
        found = self.inner.estimate(view, models)
        if self.wrong == 0:
            return found
        self.wrong -= 1
        up = np.array([0, 0, 0.1, 0, 0, 0, 0])
        return {name: Estimate(estimate.pose + up) for name, estimate in found.items()}


@pytest.mark.parametrize(("wrong", "views"), [(0, 1), (2, 3), (5, 5)])
def test_a_scene_that_would_not_rest_is_looked_at_again(tmp_path, wrong, views):
    config = make_config(task="shoe_push")
    world = narrow_world(config, truth=True)
    try:
        world.reset(seed=0, options={"look": True})
        estimator = Wobbly(pose_estimator(config), wrong)
        if wrong == 5:
            with pytest.raises(SceneNotAtRest):
                look(world, estimator, Folder(tmp_path))
        else:
            assert look(world, estimator, Folder(tmp_path)).scene.movable == world.template.movable
        assert world.views == views and (tmp_path / "view.png").exists()
        assert (tmp_path / "scene.yaml").exists() == (wrong < 5)
    finally:
        world.close()


def test_moving_an_object_leaves_everything_else_as_it_is():
    config = make_config(task="shoe_rack")
    world = make_world(config, make_plan(config).task)
    try:
        world.reset(seed=0, options={"look": True})
        before = world.scene
        pose = upright_pose([0.35, -0.3, 0.046], 0.5)
        world.move("left_shoe", pose)
        after = world.scene
        np.testing.assert_allclose(after.object("left_shoe").pose, pose, atol=1e-9)
        for name in ("shoe_box", "right_shoe"):
            np.testing.assert_allclose(after.object(name).pose, before.object(name).pose, atol=1e-9)
    finally:
        world.close()


def test_a_plan_is_what_its_settings_name():
    plan = make_plan(make_config(task="shoe_place", configuration=3))
    task = plan.task
    assert (task.name, plan.configuration, plan.disturbance) == ("shoe_place", 3, None)
    assert plan.instruction == task.configuration(3).instruction and plan.is_annotated
    other = plan.retold(1)
    assert (other.configuration, other.instruction) == (1, task.configuration(1).instruction)
    assert other.config is plan.config and other.task is task and plan.configuration == 3
    own = make_plan(make_config(task="shoe_place", instruction="Put it away"))
    assert own.instruction == "Put it away" and not own.is_annotated


def test_a_plan_takes_the_task_of_its_disturbance():
    plan = make_plan(make_config(disturb="gap"))
    disturbance, task = load_disturbance("gap")
    assert plan.task.name == task.name and plan.disturbance.text == disturbance.text
    with pytest.raises(ValueError, match="gap plays in the task shoe_gap; leave out --task"):
        make_plan(make_config(disturb="gap", task="shoe_push"))


@pytest.mark.parametrize("instruction", ["", "Put it away"])
def test_a_configuration_that_does_not_exist_is_refused_whatever_the_instruction(instruction):
    with pytest.raises(ValueError, match="configuration 99 does not exist; shoe_push has 0 to 9"):
        make_plan(make_config(task="shoe_push", configuration=99, instruction=instruction))


@pytest.mark.parametrize(("views", "cameras"), [("query", ["front"]), ("query+side", ["front", "side"])])
def test_a_simulation_draws_the_pictures_that_are_asked_for(views, cameras):
    config = make_config((f"prompt.views={views}",), task="shoe_push")
    world = make_world(config, make_plan(config).task)
    world.reset(seed=0, options={"look": True})
    assert list(world.view().cameras) == cameras
    world.close()
