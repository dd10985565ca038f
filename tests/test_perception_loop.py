"""The loop from pictures: what a look leaves, what a refused look does, and a whole stage without the truth."""

import json

import numpy as np
import pytest
from rgbd_scenes import LEFT, SIZE, pair, seen

from iker_agent import loop
from iker_agent.config import make_config
from iker_agent.plan import make_plan
from iker_agent.records.record import Failure
from iker_agent.records.report import write_report
from iker_agent.records.run_folder import Folder
from iker_agent.seeing.look import look
from iker_agent.seeing.overlay import draw_overlay
from iker_agent.worlds import make_world, pose_estimator
from iker_envs.optics import stationary_cameras
from iker_envs.perception import Estimate, EstimateRefused
from iker_envs.perception.rgbd import RgbdEstimator
from iker_envs.pictures.depth_world import DepthCameraWorld
from iker_envs.pictures.sensor_noise import NoisyCameras
from tests.quiet_display import Quiet

WHY = "left_shoe is seen by camera front only, 8 % of it; take away what hides it, or let a second camera see it"


class Table:
    """A world that can be looked at."""

    template = pair()

    def __init__(self) -> None:
        self.views = 0

    def view(self):
        self.views += 1
        return seen(pair(), seed=self.views)


class Doubtful:
    """An estimator that refuses so many views, then finds the shoes."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals

    def estimate(self, view, models):
        found = {n: Estimate(models.object(n).pose, 0.9, 0.002, 0.8) for n in models.movable}
        if self.refusals:
            self.refusals -= 1
            found["left_shoe"] = Estimate(LEFT, 0.0, 0.002, 0.08, WHY)
            raise EstimateRefused(WHY, found)
        return found


def test_a_refused_view_is_followed_by_a_fresh_one(tmp_path):
    world = Table()
    look(world, Doubtful(2), Folder(tmp_path))
    assert world.views == 3
    poses = json.loads((tmp_path / "poses.json").read_text())
    assert poses["left_shoe"]["residual_m"] == 0.002 and not poses["left_shoe"]["why"]
    names = {path.name for path in tmp_path.iterdir()}
    assert {"view.png", "overlay.png", "marked.png", "scene.yaml"} <= names
    assert {f"view_{camera.name}.png" for camera in stationary_cameras()} <= names


def test_views_that_are_all_refused_end_the_look_with_the_reason(tmp_path):
    world = Table()
    with pytest.raises(EstimateRefused, match="8 % of it"):
        look(world, Doubtful(9), Folder(tmp_path))
    assert world.views == 3
    refused = json.loads((tmp_path / "refused.json").read_text())
    assert refused["why"] == WHY and refused["poses"]["left_shoe"]["why"] == WHY
    assert (tmp_path / "overlay.png").exists() and not (tmp_path / "poses.json").exists()


def test_outlines_lie_around_the_objects_and_red_ones_are_not_trusted():
    view = seen(pair())
    trusted = {n: Estimate(pair().object(n).pose) for n in pair().movable}
    sheet = draw_overlay(view, pair(), trusted)
    assert sheet.shape == (2 * 360, 3 * 480, 3)
    assert ((sheet == (0, 220, 255)).all(axis=-1)).sum() > 100
    doubted = draw_overlay(view, pair(), trusted | {"left_shoe": Estimate(LEFT, 0.0, why=WHY)})
    assert ((doubted == (255, 40, 40)).all(axis=-1)).sum() > 50
    assert (draw_overlay(view, pair(), {}) != sheet).any(), "nothing is found, nothing is drawn"


def test_a_stage_fails_with_the_sentence_of_the_refusal(tmp_path, monkeypatch):
    config = make_config(("run.video=false", "run.retries=0"), learner="waypoint", task="shoe_push")
    monkeypatch.setattr(loop, "pose_estimator", lambda config: Doubtful(99))
    monkeypatch.setattr(loop, "make_world", lambda config, task: DepthCameraWorld(make_world(config, task), cameras=()))
    result = loop.run_task(config, Folder(tmp_path), Quiet())
    assert not result.success and result.stages[0].failed is Failure.SCENE
    assert WHY in result.reason
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "8 % of it" in page and "Where the cameras found things" in page


def small_cameras(world) -> DepthCameraWorld:
    return DepthCameraWorld(world, NoisyCameras(seed=4), stationary_cameras(*SIZE))


def test_a_push_is_carried_out_from_pictures_alone(tmp_path, monkeypatch):
    overrides = ("run.video=false", "perception.source=rgbd")
    config = make_config(overrides, learner="waypoint", task="shoe_push", seed=1)
    assert isinstance(pose_estimator(config).inner, RgbdEstimator)
    world = make_world(config, make_plan(config).task)
    assert isinstance(world, DepthCameraWorld) and world.has_truth
    monkeypatch.setattr(loop, "make_world", lambda config, task: small_cameras(world))
    result = loop.run_task(config, Folder(tmp_path), Quiet())
    assert result.success, result.reason
    measured = json.loads((tmp_path / "stage_01" / "poses.json").read_text())
    assert all(0 < found["residual_m"] < 0.01 for found in measured.values())
    assert np.isfinite(measured["left_shoe"]["pose"]).all()


def test_pictures_are_drawn_of_simulated_worlds_alone():
    class Laboratory:
        has_truth = False

    with pytest.raises(ValueError, match="cameras of its own"):
        DepthCameraWorld(Laboratory())
