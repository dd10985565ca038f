"""What a motion may touch, seen from above: what lies across its way counts, with no corner of one in the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from iker_envs.optics import default_cameras
from iker_envs.planning.nearby import free_objects, objects_near_motion
from iker_envs.scene import Goal, ObjectModel, Scene, SceneObject, turned_pose

WORKSPACE_M = np.array([[0.20, -0.45, 0.015], [0.75, 0.45, 0.45]])
THING = ObjectModel("thing", "box", np.array([0.04, 0.04, 0.06]), 0.3)
PLANK = ObjectModel("plank", "box", np.array([0.60, 0.02, 0.02]), 0.3)
# Where a long plank lies: x, y, heading; the thing goes from y 0.2 to y -0.2 at x 0.45. And how far it is from the way.
PLACES = {
    "square across the way": ((0.45, 0.0, 0.0), 0.0),
    "slantwise across the way": ((0.45, 0.0, 0.7), 0.0),
    "along the way, within it": ((0.45, 0.0, np.pi / 2), 0.0),
    "touching with its end": ((0.765, 0.0, 0.0), 0.0),
    "6 cm beside the way": ((0.54, 0.0, np.pi / 2), 0.06),
    "its end 6 cm before the way": ((0.83, 0.0, 0.0), 0.06),
    "20 cm beside the way": ((0.68, 0.0, np.pi / 2), 0.20),
}


@pytest.mark.parametrize(("place", "far_m"), PLACES.values(), ids=PLACES)
def test_the_distance_of_a_thing_from_a_way_is_that_of_their_outlines(place, far_m):
    def on_table(model: ObjectModel, x: float, y: float, heading: float) -> np.ndarray:
        return turned_pose(np.array([x, y, model.size_m[2] / 2]), (0.0, 0.0, heading))

    objects = (SceneObject(THING, on_table(THING, 0.45, 0.2, 0.0)), SceneObject(PLANK, on_table(PLANK, *place)))
    scene = Scene(objects, default_cameras(), WORKSPACE_M)
    goal = Goal("thing", on_table(THING, 0.45, -0.2, 0.0), instruction="Push it")
    assert objects_near_motion(scene, goal, far_m + 0.006) == ("plank",)
    if far_m:
        assert objects_near_motion(scene, goal, far_m - 0.006) == ()


def test_what_is_fixed_is_never_free():
    scene = Scene((SceneObject(THING, np.array([0.45, 0.2, 0.03, 1, 0, 0, 0])),), default_cameras(), WORKSPACE_M)
    board = SceneObject(replace(PLANK, name="board"), np.array([0.45, 0.0, 0.01, 1, 0, 0, 0]), False)
    scene = replace(scene, objects=(*scene.objects, board))
    goal = Goal("thing", np.array([0.45, -0.2, 0.03, 1, 0, 0, 0]), instruction="Push it")
    assert free_objects(scene, goal) == ("thing",)
