"""What benchmarks/perception.py and benchmarks/furniture.py draw and measure is what they say."""

import sys
from pathlib import Path

import numpy as np
import pytest

from iker_agent.records.record import RunResult, StageRecord
from iker_envs.planning.collision import deepest_overlap, object_boxes, scene_boxes
from iker_envs.scene import ObjectModel, Outcome, SceneObject, upright_pose
from iker_envs.task import load_task

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import furniture
import perception
import perception_runs


@pytest.mark.parametrize("number", [3, 8, 23])
def test_objects_pushed_together_touch_and_are_not_pushed_through_furniture(number):
    rng = np.random.default_rng([5, number])
    scene = perception.arranged(load_task("shoe_rack"), "touching", (number - 3) // 5, rng)
    for k, name in enumerate(scene.movable):
        boxes = object_boxes(scene.object(name).model, scene.object(name).pose)
        assert deepest_overlap(boxes, scene_boxes(scene, skip=scene.movable))[0] < 0.003, name
        others = [o.name for o in scene.objects if o.name not in scene.movable[:k]]
        assert not k or -deepest_overlap(boxes, scene_boxes(scene, skip=others))[0] < 0.003, name


def test_errors_of_furniture_are_those_of_its_top_edges_and_corners():
    def board(x: float, length: float, height: float, yaw: float) -> SceneObject:
        model = ObjectModel("board", "box", np.array([length, 0.2, height]))
        return SceneObject(model, upright_pose([x, 0.1, height / 2], yaw), movable=False)

    true = board(0.5, 0.30, 0.10, 0.0)
    for turn in (0.0, np.pi):
        height, edges, corners = furniture.errors(board(0.505, 0.31, 0.102, turn), true)
        assert height == pytest.approx(0.002)
        np.testing.assert_allclose(np.sort(edges), [0, 0, 0, 0.01], atol=1e-9)
        np.testing.assert_allclose(np.sort(corners), [0, 0, 0.01, 0.01], atol=1e-9)


@pytest.mark.parametrize("kind", furniture.KINDS)
def test_drawn_furniture_stands_on_the_table_or_on_other_furniture(kind):
    scene = furniture.drawn(kind, np.random.default_rng(1))
    pieces = [o for o in scene.objects if not o.movable]
    tops = {round(float(o.pose[2] + o.model.size_m[2] / 2), 9) for o in pieces}
    for obj in pieces:
        bottom = float(obj.pose[2] - obj.model.size_m[2] / 2)
        assert abs(bottom) < 1e-9 or round(bottom, 9) in tops, obj.name
    assert len(scene.movable) == 1


def test_runs_count_as_strict_by_their_first_try_and_as_done_by_their_end():
    def run(*strict: bool, success: bool) -> RunResult:
        outcomes = [Outcome(True, right, 0.01, 0.0, 0.0, 0.0) for right in strict]
        return RunResult(success, stages=[StageRecord(k, outcome=each) for k, each in enumerate(outcomes, 1)])

    count = perception_runs.Count()
    count.add("shoe_push", 0, run(True, success=True))
    count.add("shoe_push", 1, run(False, True, success=True))
    count.add("book_push", 0, run(success=False))
    assert perception_runs.row("shoe_push", [count.of("shoe_push")]) == (
        "| shoe_push | 1/2 (9-91 %) | 2/2 (34-100 %) |"
    )
    assert perception_runs.share(count.strict).startswith("1/3")
    assert perception_runs.share(count.done).startswith("2/3")
