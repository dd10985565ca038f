"""One look at the world, as the agent uses it: the scene in simulation, numbered keypoints, the image to ask about.

world.view()  ->  Estimator.estimate  ->  scene_from_poses  ->  select_keypoints  ->  draw_marks  ->  Look
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from iker_agent.program.rows import POSE_ROWS
from iker_agent.program.signatures import signature_named
from iker_agent.records.run_folder import Folder
from iker_agent.seeing.keypoints import Keypoints, select_keypoints
from iker_agent.seeing.marks import draw_marks
from iker_envs.perception import Estimator
from iker_envs.physics.transfer import SceneNotAtRest, scene_from_poses
from iker_envs.scene import Scene, View
from iker_envs.world import World

_MAX_VIEWS = 5  # taken until the scene that was estimated from one rests in simulation


@dataclass(frozen=True, eq=False)
class Look:
    """What one look gave: the scene in simulation, its keypoints, the image (H, W, 3) that a model is shown."""

    scene: Scene
    keypoints: Keypoints
    marked: np.ndarray


def look(world: World, estimator: Estimator, folder: Folder, contract: str = "keypoints") -> Look:
    """Look, and leave every step's file in the folder of the stage.

    SceneNotAtRest if no scene that was estimated would stand; ValueError if the view does not show an object.
    """
    view, scene = _view_at_rest(world, estimator, folder)
    seen = see(scene, view, contract)
    folder.json("keypoints.json", seen.keypoints)
    folder.image("marked.png", seen.marked)
    return seen


def see(scene: Scene, view: View, contract: str = "keypoints") -> Look:
    """Keypoints and marked image of a scene in a view; under the pose contract the image has the axes alone."""
    keypoints = select_keypoints(scene, view)
    is_pose = signature_named(contract).rows is POSE_ROWS
    shown = replace(keypoints, drawn=(False,) * len(keypoints.labels)) if is_pose else keypoints
    return Look(scene, keypoints, draw_marks(view.image, shown))


def _view_at_rest(world: World, estimator: Estimator, folder: Folder) -> tuple[View, Scene]:
    """A view, and the scene that was estimated from it, at rest; a new view is taken where it would not rest."""
    for number in range(1, _MAX_VIEWS + 1):
        view = world.view()
        folder.image("view.png", view.image.rgb)
        estimates = estimator.estimate(view, world.template)
        try:
            scene = scene_from_poses(world.template, {name: estimate.pose for name, estimate in estimates.items()})
        except SceneNotAtRest:
            if number == _MAX_VIEWS:
                raise
            continue
        folder.json("poses.json", {name: estimate.to_dict() for name, estimate in estimates.items()})
        folder.yaml("scene.yaml", scene)
        return view, scene
    raise AssertionError("the last view is returned or raises")
