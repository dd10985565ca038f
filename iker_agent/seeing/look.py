"""One look at the world, as the agent uses it: the scene in simulation, numbered keypoints, the image to ask about.

world.view()  ->  Estimator.estimate  ->  scene_from_poses  ->  select_keypoints  ->  draw_marks  ->  Look

Poses that were measured in pictures leave those pictures and an overlay of the models' outlines, refused ones too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from iker_agent.program.rows import POSE_ROWS
from iker_agent.program.signatures import signature_named
from iker_agent.records.run_folder import Folder
from iker_agent.seeing.keypoints import Keypoints, select_keypoints
from iker_agent.seeing.marks import draw_marks
from iker_agent.seeing.overlay import draw_overlay
from iker_envs.perception import Estimate, EstimateRefused, Estimator
from iker_envs.physics.transfer import SceneNotAtRest, scene_from_poses
from iker_envs.scene import Scene, View
from iker_envs.world import World

_MAX_VIEWS = 5  # taken until the scene that was estimated from one rests in simulation
_MAX_REFUSED = 3  # views whose poses cannot be trusted: more of them would show the same


@dataclass(frozen=True, eq=False)
class Look:
    """What one look gave: the scene in simulation, its keypoints, the image (H, W, 3) that a model is shown."""

    scene: Scene
    keypoints: Keypoints
    marked: np.ndarray


def look(world: World, estimator: Estimator, folder: Folder, contract: str = "keypoints") -> Look:
    """Look, and leave every step's file in the folder of the stage.

    SceneNotAtRest if no scene that was estimated would stand; EstimateRefused if no view gave poses to be trusted;
    ValueError if the view does not show an object.
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
    """A view, and the scene that was estimated from it, at rest; a new view is taken where it would not rest, or where
    its poses cannot be trusted."""
    refused = 0
    for number in range(1, _MAX_VIEWS + 1):
        view = world.view()
        folder.image("view.png", view.image.rgb)
        try:
            estimates = estimator.estimate(view, world.template)
        except EstimateRefused as problem:
            refused += 1
            _leave_measured(folder, view, world.template, problem.estimates, refusal=str(problem))
            if refused == _MAX_REFUSED or number == _MAX_VIEWS:
                raise
            continue
        try:
            scene = scene_from_poses(world.template, {name: estimate.pose for name, estimate in estimates.items()})
        except SceneNotAtRest:
            if number == _MAX_VIEWS:
                raise
            continue
        folder.json("poses.json", {name: estimate.to_dict() for name, estimate in estimates.items()})
        if any(estimate.residual_m > 0 for estimate in estimates.values()):
            _leave_measured(folder, view, world.template, estimates)
        folder.yaml("scene.yaml", scene)
        return view, scene
    raise AssertionError("the last view is returned or raises")


def _leave_measured(
    folder: Folder, view: View, scene: Scene, estimates: Mapping[str, Estimate], refusal: str = ""
) -> None:
    """The pictures that poses were measured in, the models' outlines on them, and what was refused."""
    for name, image in view.cameras.items():
        if name != view.query:
            folder.image(f"view_{name}.png", image.rgb)
    folder.image("overlay.png", draw_overlay(view, scene, estimates))
    if refusal:
        found = {name: estimate.to_dict() for name, estimate in estimates.items()}
        folder.json("refused.json", {"why": refusal, "poses": found})
