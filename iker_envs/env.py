"""`gymnasium.Env` over one world: what `gym.make("IKER-...-v0")` gives.

    reset(options={"configuration", "goal", "grasp", "look", "world"})  ->  step x T  ->  finish() -> Outcome
    view()  ->  what the cameras see (iker_envs.perception makes poses of it)

A stage is an episode. `options["world"] = "keep"` begins the next one from the world as it stands, which is the only
way to change a goal. `options["look"] = True` makes a new world and leaves the hand out of it, empty: look first, then
begin a stage with "keep". Time limits are truncation; a lost object (dropped, fallen, unstable) is termination.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import gymnasium as gym
import mujoco
import numpy as np

from iker_envs.camera import render
from iker_envs.measure import make_outcome
from iker_envs.mujoco_model import build_model
from iker_envs.observation_docs import document
from iker_envs.scene import Goal, Grasp, Image, Outcome, Scene, View
from iker_envs.setup import as_contract, make_source, make_stage
from iker_envs.stage import StageWorlds

_OPTIONS = ("configuration", "goal", "grasp", "look", "world")


@document
class StageEnv(gym.Env):
    """One stage: bring the keypoints of one object to their targets.

    Args:
        task: name or path of a task YAML; or
        scene, goal: a Scene and a Goal (object, dictionary, or path to JSON/YAML).
        randomisation: a Randomisation, its dictionary, "on", "off", or None for the default ranges.
        observation: "keypoints" (38 numbers) or "pose" (21).
        episode_s: time limit in seconds.
        free: "all" movable objects are simulated (default), or "near" ones only.
        render_mode: None or "rgb_array" (ray-cast side camera).
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (gymnasium's own form)

    def __init__(
        self,
        task: str | None = None,
        scene: Any = None,
        goal: Any = None,
        randomisation: Any = None,
        *,
        observation: str = "keypoints",
        episode_s: float = 6.0,
        free: str = "all",
        render_mode: str | None = None,
    ) -> None:
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode {render_mode!r} is unknown; known: None, 'rgb_array'")
        self.render_mode = render_mode
        self.task, self.source, self.randomisation = make_source(task, scene, goal, randomisation)
        self.stage: StageWorlds = make_stage(
            self.source,
            1,
            self.randomisation,
            observation=observation,
            episode_s=episode_s,
            free=free,
            num_threads=1,
            grasp_bank=1,
        )
        spec = self.stage.config.spec
        bound = spec.observation_bound()
        self.observation_space = gym.spaces.Box(-bound, bound, dtype=np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (spec.action_dim,), np.float32)
        self._viewer: tuple[mujoco.MjModel, mujoco.MjData] | None = None
        self._grasp_failure = ""

    @property
    def scene(self) -> Scene:
        """The scene with the objects where they are now (simulation's truth)."""
        return self.stage.scene_now(0)

    @property
    def goal(self) -> Goal:
        """The goal of the present episode."""
        return self.stage.goal

    def reset(self, *, seed: int | None = None, options: Mapping[str, Any] | None = None):
        """Begin an episode; see the module docstring for `options`. Returns (observation, info)."""
        super().reset(seed=seed)
        options = dict(options or {})
        if unknown := [k for k in options if k not in _OPTIONS]:
            raise ValueError(f"reset option {unknown[0]!r} is unknown; known: {', '.join(_OPTIONS)}")
        world = options.get("world", "new")
        if world not in ("new", "keep"):
            raise ValueError(f"options['world'] is 'new' or 'keep', not {world!r}")
        if seed is not None or not self.stage.rngs:
            self.stage.seed([int(self.np_random.integers(2**31))] if seed is None else [seed])
            self._ready = False
        if world == "keep":
            self._keep(options)
        else:
            self._new(options)
        return self.stage.observe()[0], {"is_success": bool(self.stage.errors().success[0])}

    def _new(self, options: dict[str, Any]) -> None:
        if "goal" in options or "grasp" in options:
            raise ValueError(
                "options['goal'] and ['grasp'] need options['world'] = 'keep': a new world has its own goal"
            )
        self._viewer = None
        look = bool(options.get("look", False))
        self.stage.restart(options.get("configuration"), look=look)
        missed = self.goal.grasp and not look and not self.stage.grasped[0]
        self._grasp_failure = f"the hand did not lift {self.goal.object}" if missed else ""
        self._ready = True

    def _keep(self, options: dict[str, Any]) -> None:
        if not self._ready:
            raise ValueError(
                "options['world'] = 'keep' needs a world: call reset() once before, and without a seed now"
            )
        if "configuration" in options:
            raise ValueError("options['configuration'] needs options['world'] = 'new'; a kept world stays as it is")
        goal = as_contract(Goal, options.get("goal", self.goal))
        grasp = as_contract(Grasp, options["grasp"]) if options.get("grasp") is not None else None
        self._grasp_failure = self.stage.keep(goal, grasp)

    def step(self, action):
        """One tick of 0.1 s. Returns (observation, reward, terminated, truncated, info)."""
        action = np.asarray(action, dtype=float)
        if action.shape != self.action_space.shape or not np.all(np.isfinite(action)):
            raise ValueError(f"an action is {self.action_space.shape[0]} finite numbers in [-1, 1], not {action!r}")
        rows, lost = self.stage.step(action[None])
        truncated = self.stage.step_count[0] >= self.stage.config.max_steps
        errors = self.stage.errors()
        info = {f"reward/{name}": float(value[0]) for name, value in rows.items()}
        info |= {"is_success": bool(errors.success[0]), "is_success_strict": bool(errors.strict[0])}
        info |= {"goal_error_m": float(errors.goal_m[0])}
        reward = float(sum(value[0] for value in rows.values()))
        return self.stage.observe()[0], reward, bool(lost[0]), bool(truncated), info

    def finish(self) -> Outcome:
        """Open the hand, retreat, wait until still (at most 3 s) and measure."""
        steps = int(self.stage.step_count[0])
        errors = self.stage.finish()
        poses = {o.name: np.array(o.pose) for o in self.scene.objects}
        model = self.scene.object(self.goal.object).model
        return make_outcome(errors, 0, self.goal, model, poses, self._grasp_failure, steps)

    def view(self) -> View:
        """What every camera sees, the hand out of sight. Never call it in mid-episode on hardware."""
        scene = self.scene
        cameras = {camera.name: self._image(scene, camera, gripper=False) for camera in scene.cameras}
        return View(cameras, scene.query_camera, {o.name: o.pose for o in scene.objects if o.movable})

    def render(self) -> np.ndarray | None:
        """The side camera's picture (H, W, 3) uint8, gripper included."""
        if self.render_mode is None:
            return None
        scene = self.scene
        camera = next((c for c in scene.cameras if c.name == "side"), scene.cameras[0])
        camera = replace(camera, width=480, height=360)  # a video need not be larger
        return np.array(self._image(scene, camera, gripper=True).rgb)

    def _image(self, scene: Scene, camera, *, gripper: bool) -> Image:
        if self._viewer is None:
            model = build_model(self.stage.scene, visuals=True)
            self._viewer = model, mujoco.MjData(model)
        model, data = self._viewer
        self.stage.sim.mirror(0, data)
        mujoco.mj_kinematics(model, data)
        return render(model, data, scene, camera, gripper=gripper)

    def close(self) -> None:
        """Free the simulation."""
        self.stage.close()
