"""Which world a run acts in, and how it finds out where things are.

make_world(config, task)  ->  World            pose_estimator(config)  ->  FusingEstimator

A robot is reached by its environment's id alone, an emulated laboratory in the same way.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import gymnasium as gym
import numpy as np

import iker_envs
from iker_agent.config import RunConfig
from iker_agent.prompt_kinds import PromptSettings
from iker_agent.robots import Operator, robot_world
from iker_envs.optics import stationary_cameras
from iker_envs.perception import RGBD_NOISE, FusingEstimator, make_estimator
from iker_envs.task import Task
from iker_envs.world import World

_NOISE_STREAM = 1  # beside the run's seed: the noise of perception has a generator of its own


def make_world(config: RunConfig, task: Task, operator: Operator | None = None) -> World:
    """The world of a task, by its id where the settings name a registered task; it draws pictures.

    Where poses are estimated from pictures, the views of a simulated world come from depth cameras. `operator` shows a
    person what a robot's table should look like, and returns True when it does.
    """
    if config.world != "sim":
        where = config.world, config.real, config.clock, config.seed
        return robot_world(config.task, *where, operator, render_mode="rgb_array")
    options: dict[str, Any] = {"render_mode": "rgb_array"}
    if config.prompt.size != PromptSettings.size:
        options["view_size"] = config.prompt.size_px
    if config.perception.source == "truth" and not config.prompt.side:
        options["view_cameras"] = "query"  # nobody looks at the other picture, and it takes its time
    ids = {name: id_ for id_, name in iker_envs.TASKS.items()}
    if config.task in ids and not config.disturb:  # a disturbance brings a task of its own
        env = gym.make(ids[config.task], **options)
    else:
        env = gym.make("IKER-Stage-v0", task=task, **options)
    world = cast(World, env.unwrapped)  # an id of this package; gymnasium does not say of which class an id is
    if config.perception.source == "truth" or not world.has_truth:
        return world
    from iker_envs.pictures.depth_world import DepthCameraWorld
    from iker_envs.pictures.sensor_noise import NoisyCameras

    sensor = NoisyCameras(seed=config.seed) if config.perception.sensor_noise else None
    shown = {world.template.query_camera, *(("side",) if config.prompt.side else ())}
    width, height = config.prompt.size_px
    own = [replace(c, width=width, height=height) for c in world.template.cameras if c.name in shown]
    cameras = (*own, *stationary_cameras())
    return cast(World, DepthCameraWorld(world, sensor, cameras, track=config.perception.track))  # passes the rest on


def pose_estimator(config: RunConfig) -> FusingEstimator:
    """The estimator of a run, which remembers what stands still; equal settings and seeds give equal estimates."""
    rng = np.random.default_rng([config.seed, _NOISE_STREAM])
    perception = config.perception
    more = perception.server, perception.empty, perception.masks
    one_look = make_estimator(perception.source, perception.noise, rng, *more)
    noise = perception.noise if perception.source == "truth" else RGBD_NOISE
    return FusingEstimator(one_look, noise, perception.looks)
