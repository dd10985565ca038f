"""An open loop: all programs from the first look, nobody sees how a stage ended."""

import json

import numpy as np

from iker_agent.config import make_config
from iker_agent.loop import carry_out
from iker_agent.plan import make_plan
from iker_agent.records.run_folder import Folder
from iker_agent.seeing.look import imagined, see
from iker_agent.worlds import make_world
from iker_envs.geometry import pose_compose
from iker_envs.pictures.still import still_view
from iker_envs.task import load_task
from tests.quiet_display import Quiet


class Watched:
    """A world that counts how often it is looked at, and whose first object is moved away behind the run's back."""

    def __init__(self, world, snatch=False):
        self._world = world
        self.views = 0
        self.snatch = snatch
        self.acts = 0

    def __getattr__(self, name):
        return getattr(self._world, name)

    def view(self):
        self.views += 1
        return self._world.view()

    def finish(self):
        outcome = self._world.finish()
        self.acts += 1
        if self.snatch and self.acts == 1:
            pose = np.array(self._world.scene.object("shoe_box").pose)
            pose[1] -= 0.12
            self._world.move("shoe_box", pose)
        return outcome


def run(tmp_path, snatch, *settings):
    base = ["run.video=false", "run.act_above=0", *settings]
    plan = make_plan(make_config(base, task="shoe_rack", learner="waypoint"))
    world = Watched(make_world(plan.config, plan.task), snatch)
    result = carry_out(plan, Folder(tmp_path / "run"), Quiet(), world=world)
    return result, world, json.loads((tmp_path / "run" / "run.json").read_text())


def test_objects_of_an_imagined_look_are_elsewhere_and_its_picture_is_the_same():
    scene = load_task("shoe_rack").sample(None)
    seen = see(scene, still_view(scene))
    pose = pose_compose(np.array([0.1, 0.0, 0.0, 1.0, 0, 0, 0]), scene.object("left_shoe").pose)
    other = imagined(seen, {"left_shoe": pose})
    own = np.array([o == "left_shoe" for o in seen.keypoints.objects])
    assert np.allclose(other.keypoints.world_m[own] - seen.keypoints.world_m[own], [0.1, 0, 0])
    assert np.allclose(other.keypoints.world_m[~own], seen.keypoints.world_m[~own])
    assert np.allclose(other.scene.object("left_shoe").pose, pose)
    assert other.marked is seen.marked


def test_an_open_loop_looks_once_and_does_the_chain_where_nothing_goes_wrong(tmp_path):
    result, world, record = run(tmp_path, False, "run.open_loop=true")
    assert result.success
    assert world.views == 1
    assert len(record["stages"]) == 3


def test_an_open_loop_does_not_see_what_a_closed_one_mends(tmp_path):
    open_loop, _, _ = run(tmp_path / "open", True, "run.open_loop=true")
    assert open_loop.done
    assert not open_loop.success
    assert any("shoe_box" in clause for clause in open_loop.unmet)
    closed, world, record = run(tmp_path / "closed", True)
    assert closed.success
    assert world.views > 3
    assert sum(s["object"] == "shoe_box" for s in record["stages"]) == 2
