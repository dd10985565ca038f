"""`gymnasium.Env` over one world: what `gym.make("IKER-...-v0")` gives.

    reset(options={"configuration", "goal", "grasp", "look", "world"})  ->  step x T  ->  finish() -> Outcome
    view()  ->  what the cameras see (iker_envs.perception makes poses of it)

A stage is an episode. `options["world"] = "keep"` begins the next one from the world as it stands, which is the only
way to change a goal. `options["look"] = True` makes a new world and leaves the hand out of it, empty: look first, then
begin a stage with "keep". Time limits are truncation; a lost object (dropped, fallen, unstable) is termination.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import gymnasium as gym
import mujoco
import numpy as np

from iker_envs.contract import as_contract
from iker_envs.judging.happened import happened
from iker_envs.judging.sentences import sentence
from iker_envs.measure import make_outcome
from iker_envs.physics.mujoco_model import build_variants
from iker_envs.pictures.camera import render
from iker_envs.pictures.sketch import Painter
from iker_envs.pictures.viewer import Viewer, check_display
from iker_envs.planning.grasps import check_grasp
from iker_envs.scene import Camera, Goal, Grasp, Image, Outcome, Scene, View
from iker_envs.spec import document
from iker_envs.stage.making import check_configuration, check_options, check_view_size, make_config, make_source
from iker_envs.stage.snapshot import Snapshot, short
from iker_envs.stage.stage import Stage
from iker_envs.task import Task

_OPTIONS = ("configuration", "goal", "grasp", "look", "world")
_UNIT_TOLERANCE = 1e-3  # of the length of a quaternion that is given


@document
class StageEnv(Snapshot, gym.Env):
    """One stage: bring the keypoints of one object to their targets.

    Args:
        task: name or path of a task YAML, its content, a Task or its dictionary; or
        scene: a Scene (object, dictionary, or path to JSON or YAML), with
        goal: a Goal, given alike.
        stage_index: which stage of the task, counted from 0; the earlier ones are done when an episode begins.
        randomisation: a Randomisation, its dictionary, "on", "off", "all", or None for the default ranges.
        view_size: width and height in pixels of the pictures that `view` takes; None for each camera's own.
        view_cameras: those that `view` takes them with: "all" (default) or "query", the one shown to a model.
        render_mode: None, "rgb_array" (ray-cast side camera) or "human" (a window; needs a display).
        observation: "keypoints" (38 numbers) or "pose" (21).
        episode_s: time limit in seconds; None for the task's own (6 s without a task).
        max_episode_steps: the same in ticks of 0.1 s; the earlier one holds where both are given.
        rewards: fields of RewardConfig to change.
        free: "all" movable objects are simulated (default), or "near" ones only.
        grasp_bank: grasped states that a world makes once and then repeats; 0 (default) to grasp in every episode.
        start_bank: starts that a world draws before it repeats them; 0 (default) for no end.
        num_threads: CPU threads of the physics, 0 (default) for all cores, or one for a single world.
        sim: the physics engine: "threads" (the default) or "warp".

    `get_state()` and `set_state(state)` save and restore everything; environments can be pickled and copied.
    """

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": 10}  # noqa: RUF012 (gymnasium's own form)
    _KEPT: ClassVar = ("_np_random", "_np_random_seed", "_grasp_failure", "_ready")

    def __init__(
        self,
        task: str | Path | Mapping[str, Any] | Task | None = None,
        scene: Any = None,
        goal: Any = None,
        randomisation: Any = None,
        *,
        stage_index: int = 0,
        render_mode: str | None = None,
        view_size: Sequence[int] | None = None,
        view_cameras: str = "all",
        **config: Any,
    ) -> None:
        views = {"view_size": view_size, "view_cameras": view_cameras}
        changed = {name: value for name, value in views.items() if value not in (None, "all")}
        given = {"stage_index": stage_index, "render_mode": render_mode, **changed, **config}
        Snapshot.__init__(self, task, scene, goal, randomisation, **given)
        self._view_size = check_view_size(view_size)
        if view_cameras not in ("all", "query"):
            raise ValueError(f"view_cameras is 'all' or 'query', not {view_cameras!r}")
        self._view_cameras = view_cameras
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            known = ", ".join(map(repr, (None, "rgb_array", "human")))
            raise ValueError(f"render_mode {render_mode!r} is unknown; known: {known}")
        if render_mode == "human":
            check_display()
        self.render_mode = render_mode
        self.task, self.source, self.randomisation = make_source(task, scene, goal, randomisation, stage_index)
        self._worlds = Stage(self.source, 1, make_config(self.source, self.task, **config), self.randomisation)
        self._worlds.record()
        spec = self.worlds.config.spec
        bound = spec.observation_bound()
        self.observation_space = gym.spaces.Box(-bound, bound, dtype=np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (spec.action_dim,), np.float32)
        self._visual: tuple[mujoco.MjModel, mujoco.MjData] | None = None
        self._drawn: tuple[int, int] | None = None  # variant and configuration that `_visual` shows
        self._painter: Painter | None = None  # of `_visual`, for pictures that are drawn later
        self._window: Viewer | None = None
        self._grasp_failure = ""
        self._ready = False

    @property
    def template(self) -> Scene:
        """Models, furniture where it stands, cameras and workspace; the poses of movable objects mean nothing."""
        return self.worlds.template(0)

    @property
    def scene(self) -> Scene:
        """The scene with the objects where they are now (simulation's truth)."""
        return self.worlds.scene_now(0)

    @property
    def has_truth(self) -> bool:
        """A simulation knows where everything is."""
        return True

    @property
    def goal(self) -> Goal:
        """The goal of the present episode."""
        return self.worlds.goal

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode; see the module docstring for `options`. Returns (observation, info)."""
        options = check_options(options, _OPTIONS)
        world = options.get("world", "new")
        if not isinstance(world, str) or world not in ("new", "keep"):
            raise ValueError(f"options['world'] is 'new' or 'keep', not {short(world)}")
        look = options.get("look", False)
        if not isinstance(look, (bool, np.bool_)):
            raise ValueError(f"options['look'] is True or False, not {short(look)}")
        if world == "keep":
            if seed is not None or not self._ready:
                raise ValueError(
                    "options['world'] = 'keep' needs a world: call reset() once before, and without a seed now"
                )
            self._keep(options)
        else:
            self._new(seed, options)
        self._show()
        return self.worlds.observe()[0], {"is_success": bool(self.worlds.errors().success[0])}

    def _new(self, seed: int | None, options: dict[str, Any]) -> None:
        if "goal" in options or "grasp" in options:
            raise ValueError(
                "options['goal'] and ['grasp'] need options['world'] = 'keep': a new world has its own goal"
            )
        check_configuration(options.get("configuration"), self.source)
        look = bool(options.get("look", False))
        super().reset(seed=seed)
        if seed is not None or not self.worlds.rngs:
            self.worlds.seed(np.arange(1), [int(self.np_random.integers(2**31)) if seed is None else seed])
        self.worlds.reset(np.arange(1), options.get("configuration"), look=look)
        missed = self.goal.grasp and not look and not self.worlds.grasped[0]
        self._grasp_failure = f"the hand did not lift {self.goal.object}" if missed else ""
        self._ready = True

    def _keep(self, options: dict[str, Any]) -> None:
        if "configuration" in options or options.get("look", False):
            name = "configuration" if "configuration" in options else "look"
            raise ValueError(f"options[{name!r}] needs options['world'] = 'new'; a kept world stays as it is")
        goal = as_contract(Goal, options.get("goal", self.goal))
        grasp = as_contract(Grasp, options["grasp"]) if options.get("grasp") is not None else None
        if grasp is not None and not goal.grasp:
            raise ValueError(
                f"options['grasp'] is for a goal that grasps, and this one pushes {goal.object!r}; give a goal with "
                "grasp=True, or no grasp"
            )
        if grasp is not None:
            check_grasp(grasp, self.worlds.workspace_m)
        self._grasp_failure = self.worlds.keep(goal, grasp)

    def _check_ready(self, what: str) -> None:
        if not self.worlds.rngs or not self._ready:  # never reset, or the first reset failed
            raise ValueError(f"call reset() before {what}()")

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One tick of 0.1 s. Returns (observation, reward, terminated, truncated, info)."""
        self._check_ready("step")
        action = self._check_action(action, f"an action is {self.worlds.config.spec.action_dim}")
        rows, lost, errors = self.worlds.step(action[None])
        truncated = self.worlds.episode.step_count[0] >= self.worlds.config.max_steps
        info = {f"reward/{name}": float(value[0]) for name, value in rows.items()}
        info |= {"is_success": bool(errors.success[0]), "is_success_strict": bool(errors.strict[0])}
        info |= {"goal_error_m": float(errors.goal_m[0])}
        reward = float(sum(value[0] for value in rows.values()))
        self._show()
        return self.worlds.observe()[0], reward, bool(lost[0]), bool(truncated), info

    def finish(self) -> Outcome:
        """Open the hand, retreat, wait until still (at most 3 s) and measure."""
        self._check_ready("finish")
        steps = int(self.worlds.episode.step_count[0])
        errors = self.worlds.finish()
        poses = {o.name: np.array(o.pose) for o in self.scene.objects}
        model = self.scene.object(self.goal.object).model
        events = happened(self.worlds.trace(0))
        reason = sentence(events) or self._grasp_failure
        return make_outcome(errors, 0, self.goal, model, poses, reason, steps, events, grasped=not self._grasp_failure)

    def move(self, name: str, pose: np.ndarray) -> None:
        """Put the movable object of this name at a pose (7,), base frame, as a person would.

        Objects come to rest and the hand stays where it is. ValueError if there is no such object, or the pose is none.
        """
        self._check_ready("move")
        objects = self.worlds.sim.objects
        if name not in objects:
            raise ValueError(f"{short(name)} cannot be moved; movable: {', '.join(objects)}")
        self.worlds.move(0, name, _checked_pose(pose))
        self._show()

    def view(self) -> View:
        """What the cameras see, the hand out of sight. Never call it in mid-episode on hardware."""
        scene = self.scene
        width, height = self._view_size or (0, 0)
        named = [c for c in scene.cameras if self._view_cameras == "all" or c.name == scene.query_camera]
        taken = [replace(c, width=width or c.width, height=height or c.height) for c in named]
        cameras = {camera.name: self._image(scene, camera, gripper=False) for camera in taken}
        return View(cameras, scene.query_camera, {o.name: o.pose for o in scene.objects if o.movable})

    def glance(self, cameras: Iterable[Camera]) -> dict[str, Image]:
        """What cameras see at this moment, by name, the hand in their pictures."""
        scene = self.scene
        return {camera.name: self._image(scene, camera, gripper=True) for camera in cameras}

    def render(self) -> np.ndarray | None:
        """The side camera's picture (H, W, 3) uint8, gripper included."""
        draw = self.render_later()
        return draw() if draw else None

    def render_later(self) -> Callable[[], np.ndarray] | None:
        """A function that draws what `render` shows now: later, in any thread or process (it can be pickled)."""
        if self.render_mode != "rgb_array":
            return None
        model, data = self._mirror()
        if self._painter is None:
            scene = self.scene
            camera = next((c for c in scene.cameras if c.name == "side"), scene.cameras[0])
            self._painter = Painter(model, scene, replace(camera, width=480, height=360))  # a video need not be larger
        return self._painter.sketch(data)

    def _image(self, scene: Scene, camera, *, gripper: bool) -> Image:
        model, data = self._mirror()
        return render(model, data, scene, camera, gripper=gripper)

    def _mirror(self) -> tuple[mujoco.MjModel, mujoco.MjData]:
        """A model with everything that can be seen, and data that show the world as it is."""
        present = int(self.worlds.sim.variant[0]), int(self.worlds.episode.configuration[0])
        if self._visual is None or self._drawn != present:
            self._close_pictures()
            variant = replace(self.worlds.variants.items[present[0]], scene=self.worlds.scene)
            model = build_variants([variant], visuals=True)[0]
            self._visual = (model, mujoco.MjData(model))
            self._drawn = present
        model, data = self._visual
        self.worlds.sim.mirror(0, data)
        mujoco.mj_kinematics(model, data)
        return model, data

    def _show(self) -> None:
        """Under render_mode "human", draw the world as it is."""
        if self.render_mode != "human":
            return
        model, data = self._mirror()
        if self._window is None:
            self._window = Viewer(model, data, 1.0 / self.metadata["render_fps"])
        self._window.show()

    def _close_pictures(self) -> None:
        """Forget what was drawn: the world holds other objects now, or none."""
        if self._window is not None:
            self._window.close()
        self._visual = self._window = self._painter = None

    def close(self) -> None:
        """Free the simulation and the window."""
        self._close_pictures()
        self._close_worlds()


def _checked_pose(pose: Any) -> np.ndarray:
    """A pose (7,) as float64; ValueError unless it is finite and its quaternion of unit length."""
    try:
        array = np.array(pose, dtype=np.float64)
    except (TypeError, ValueError):  # no numbers, or rows of different lengths
        array = np.array(np.nan)
    if array.shape != (7,) or not np.isfinite(array).all() or abs(np.linalg.norm(array[3:]) - 1.0) > _UNIT_TOLERANCE:
        raise ValueError(f"a pose is x, y, z and a unit quaternion w, x, y, z, 7 finite numbers, not {short(pose)}")
    return array
