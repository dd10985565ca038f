"""`iker look`: one look with the depth cameras; where things are, what they stand on, as a scene and a picture.

config  ->  view  ->  poses, furniture that was seen  ->  SeenScene  ->  FILE.yaml, FILE.png
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage

from iker_agent.atomic import replace_file
from iker_agent.config import RunConfig
from iker_agent.plan import make_plan
from iker_agent.records.run_folder import yaml_text
from iker_agent.seeing.overlay import draw_overlay
from iker_agent.worlds import make_world, pose_estimator
from iker_envs.optics import stationary_cameras
from iker_envs.perception import Estimate
from iker_envs.perception.furniture import MARGIN_M, fit_furniture, furnished, furniture_region
from iker_envs.physics.transfer import SceneNotAtRest, scene_from_poses
from iker_envs.pictures.depth_world import DepthCameraWorld
from iker_envs.pictures.sensor_noise import NoisyCameras
from iker_envs.pictures.still import still_view
from iker_envs.scene import Scene, View
from iker_envs.world import World

_DEVIATIONS = 3.5  # of the noise of truth, beside which no object leaves anything of itself


@dataclass(frozen=True, eq=False)
class SeenScene:
    """The scene with the furniture that was seen, a sheet (H, W, 3) with all outlines, and sentences on both."""

    scene: Scene
    sheet: np.ndarray
    notes: tuple[str, ...]
    is_at_rest: bool


def look_once(config: RunConfig) -> SeenScene:
    """Look at the start of a task; EstimateRefused or ValueError says why nothing can be told."""
    plan = make_plan(config)
    world = make_world(config, plan.task)
    try:
        world.reset(seed=config.seed, options={"configuration": plan.configuration, "look": True})
        return _seen(_with_depth(world, config), config)
    finally:
        world.close()


def look_at_nothing(config: RunConfig) -> View:
    """A view of the task's scene without its movable objects; a robot's table is looked at as it is: clear it first."""
    plan = make_plan(config)
    world = make_world(config, plan.task)
    try:
        if not world.has_truth:
            return world.view()
        world.reset(seed=config.seed, options={"configuration": plan.configuration, "look": True})
        scene = world.scene
        cleared = replace(scene, objects=tuple(o for o in scene.objects if not o.movable))
        view = still_view(cleared, cameras=stationary_cameras())
        return NoisyCameras(seed=config.seed).photograph(view) if config.perception.sensor_noise else view
    finally:
        world.close()


def _with_depth(world: World, config: RunConfig) -> World | DepthCameraWorld:
    """The world with depth cameras around it: furniture is seen by them wherever poses come from."""
    if isinstance(world, DepthCameraWorld) or not world.has_truth:
        return world
    return DepthCameraWorld(world, NoisyCameras(seed=config.seed) if config.perception.sensor_noise else None)


def _seen(world: World | DepthCameraWorld, config: RunConfig) -> SeenScene:
    template = world.template
    view = world.view()
    estimates = pose_estimator(config).estimate(view, template)
    poses = {name: found.pose for name, found in estimates.items()}
    things = [o for o in template.with_poses(poses).objects if o.movable]
    noise = config.perception.noise
    is_truth = config.perception.source == "truth"
    margin_m = max(MARGIN_M, _DEVIATIONS * noise.position_m) if is_truth else MARGIN_M
    furniture = fit_furniture(view, furniture_region(template), things, margin_m)
    scene = furnished(template, poses, furniture)
    notes = list(furniture.notes)
    is_at_rest = True
    try:
        scene = scene_from_poses(scene, poses)
    except SceneNotAtRest as problem:
        notes.append(f"{problem}; or the furniture under it was not seen as it is")
        is_at_rest = False
    shown = {o.name: Estimate(o.pose) for o in scene.objects if "_leg_" not in o.name}
    return SeenScene(scene, draw_overlay(view, scene, shown), tuple(notes), is_at_rest)


def save_scene(seen: SeenScene, path: Path) -> Path:
    """Write the scene as YAML, and its picture beside it; gives the picture's path."""
    replace_file(path, lambda file: file.write_text(yaml_text(seen.scene.to_dict()), encoding="utf-8"))
    picture = path.with_suffix(".png")
    replace_file(picture, PillowImage.fromarray(seen.sheet).save)
    return picture
