"""One look at the world, as the agent uses it: the scene in simulation, numbered keypoints, the image to ask about.

env.view()  ->  Estimator.estimate  ->  scene_from_poses  ->  select_keypoints  ->  draw_marks  ->  Look
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import gymnasium as gym
import numpy as np

from iker_agent.records.run_folder import Folder
from iker_agent.seeing.keypoints import Keypoints, select_keypoints
from iker_agent.seeing.marks import draw_marks
from iker_envs.perception import Estimator, PoseNoise, make_estimator
from iker_envs.physics.transfer import SceneNotAtRest, scene_from_poses
from iker_envs.scene import Scene, View

_LOOKS = 5  # estimates tried before a scene that does not rest is given up


@dataclass(frozen=True, eq=False)
class Look:
    """What one look gave: the scene in simulation, its keypoints, the image (H, W, 3) that a model is shown."""

    scene: Scene
    keypoints: Keypoints
    marked: np.ndarray


def look(env: gym.Env, noise: PoseNoise, rng: np.random.Generator, stage: Folder, contract: str = "keypoints") -> Look:
    """Look, and leave every step's file in the stage folder; SceneNotAtRest if no estimate of the scene would stand."""
    view = env.unwrapped.view()
    stage.image("view.png", view.image.rgb)
    estimator = make_estimator("truth", noise, rng)
    scene = _transfer(env.unwrapped.worlds.scene, view, estimator, stage)
    seen = see(scene, view, contract)
    stage.json("keypoints.json", seen.keypoints)
    stage.image("marked.png", seen.marked)
    return seen


def see(scene: Scene, view: View, contract: str = "keypoints") -> Look:
    """Keypoints and marked image of a scene in a view; under the pose contract the image has the axes alone."""
    keypoints = select_keypoints(scene, view)
    shown = keypoints if contract == "keypoints" else replace(keypoints, drawn=(False,) * len(keypoints.labels))
    return Look(scene, keypoints, draw_marks(view.image, shown))


def _transfer(template: Scene, view: View, estimator: Estimator, stage: Folder) -> Scene:
    for last in (*(False,) * (_LOOKS - 1), True):
        estimates = estimator.estimate(view, template)
        try:
            scene = scene_from_poses(template, {name: seen.pose for name, seen in estimates.items()})
        except SceneNotAtRest:
            if last:
                raise
            continue
        stage.json("poses.json", {name: seen.to_dict() for name, seen in estimates.items()})
        stage.yaml("scene.yaml", scene)
        return scene
    raise AssertionError("the last look returns or raises")
