"""`gymnasium.Env` over a robot cell: what `gym.make("IKER-...-Real-v0", real="robot.yaml")` gives.

    reset(options)  ->  step x T, 10 a second  ->  finish() -> Outcome        view() -> what the cameras see

The spaces, the numbers in them and the options are those of the simulated twin. Objects are where they are estimated to
be, "new" asks an operator, and a fault ends an episode with `truncated` and `info["fault"]`, a `Fault` of
iker_envs/world.py, after one attempt at recovery. `info["lag_m"]` is how far the hand is behind its command,
`info["pose_age_s"]` and `["pose_trusted"]` say how the object is followed. Nothing moves between episodes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from iker_envs.contract import check_index
from iker_envs.documents import shown
from iker_envs.perception import Estimator
from iker_envs.perception.tracking import GripperPose
from iker_envs.planning.grasps import propose_grasps
from iker_envs.planning.hand import MAX_OPENING_M
from iker_envs.planning.push import push_start
from iker_envs.rewards import RewardConfig
from iker_envs.scene import Goal, Grasp, Image, Outcome, Scene, View
from iker_envs.spec import document, spec_of
from iker_envs.task import Task, check_episode_time, load_task
from real_env.config import RealConfig, load_config
from real_env.episode import Episode, in_hand, still
from real_env.faults import RobotFault
from real_env.ik import tool_pose
from real_env.making import connect_lab, make_operator, make_poses, start_lab
from real_env.operators import Ask
from real_env.poses import Poses, standing
from real_env.recorder import Recorder
from real_env.requests import read_request
from real_env.robot import RETREAT_M, Robot, moved_back
from real_env.sight import Sight

LAB = "lab"  # in the place of robot.yaml
_HELD_M = 0.04  # in the hand while it withdraws by 12 cm, as in simulation
_STILL_S = 0.1  # between two looks at the objects
_SETTLE_S = 3.0
_RESTS = "the arm rests after a look, a view or finish()"


@document
class RealWorld(gym.Env):
    """One stage on a robot: bring the keypoints of one object to their targets.

    Args:
        task: name or path of a task YAML, or a Task.
        real: path of robot.yaml, a RealConfig, or "lab": an emulated laboratory is started, and stopped by `close`.
        stage_index: which stage of the task, counted from 0.
        operator: shows a person a request, such as how to arrange the table, and returns True when it is done.
        estimator: finds the objects in pictures, where robot.yaml says `poses: estimator`.
        render_mode: None, or "rgb_array" (the newest picture of the camera "side").
        observation: "keypoints" (38 numbers) or "pose" (21).
        episode_s: time limit in seconds; None for the task's own.
        rewards: fields of RewardConfig to change.
        clock: laboratory seconds in a second of the wall, of a laboratory of one's own.
        seed: of such a laboratory, and of the errors of its poses.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012 (gymnasium's own form)

    def __init__(
        self,
        task: str | Path | Task,
        real: str | Path | RealConfig | None = None,
        *,
        stage_index: int = 0,
        operator: Ask | None = None,
        estimator: Estimator | None = None,
        render_mode: str | None = None,
        observation: str = "keypoints",
        episode_s: float | None = None,
        rewards: Mapping[str, float] | None = None,
        clock: float = 1.0,
        seed: int = 0,
    ) -> None:
        if real is None:
            raise ValueError("a robot is described by a file: real='robot.yaml'; `iker lab TASK` prints one")
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ValueError(f"render_mode {render_mode!r} is unknown on a robot; known: None, 'rgb_array'")
        self.render_mode = render_mode
        self.task = task if isinstance(task, Task) else load_task(task)
        fewest = min(len(configuration.stages) for configuration in self.task.configurations)
        self.stage_index = check_index("stage_index", stage_index, fewest, f"{self.task.name} has")
        self._template = self.task.sample(None)
        self._spec = spec_of(self._template, observation)
        self._rewards = RewardConfig.changed(rewards)
        limit_s = self.task.episode_s if episode_s is None else check_episode_time(episode_s)
        self._max_steps = round(limit_s * self._spec.control_hz)
        bound = self._spec.observation_bound()
        self.observation_space = gym.spaces.Box(-bound, bound, dtype=np.float32)
        self.action_space = gym.spaces.Box(-1.0, 1.0, (self._spec.action_dim,), np.float32)
        self._configuration = 0
        self._found: Poses | None = None  # where the objects were last seen
        self._episode: Episode | None = None
        self._recorder = Recorder()
        self._fault: RobotFault | None = None
        self._hand = np.zeros(7)
        self._is_cut_off = False  # from the truth
        with contextlib.ExitStack() as opened:  # what fails leaves nothing open
            if real == LAB:
                lab, self.config = start_lab(task, clock, seed)
                opened.callback(lab.stop)
            else:
                self.config = load_config(real)
            self._workspace()  # ValueError before anything connects
            orders = connect_lab(self.config)
            if orders is not None:
                opened.callback(orders.close)
            self._operator = make_operator(orders, operator)
            self._template = self._operator.present(self.task) or self._template
            rng = np.random.default_rng(seed)
            self._poses = make_poses(self.config, orders, self._picture, self._glance, estimator, rng)
            self._sight = Sight(self.config)
            opened.callback(self._sight.close)
            self._robot = Robot(self.config)
            opened.callback(self._robot.close)
            self._opened = opened.pop_all()

    # -- what a loop asks of a world -----------------------------------------------------------------------------

    @property
    def template(self) -> Scene:
        """Models, furniture where it stands, cameras and workspace; the poses of movable objects mean nothing."""
        return self._template

    @property
    def scene(self) -> Scene:
        """The scene with its objects where they are now: the laboratory's truth, else the latest estimate."""
        if self._poses.has_truth:
            self._is_cut_off = True
            with contextlib.suppress(RobotFault):  # a laboratory that is gone says nothing any more
                self._found = self._poses.truth(self._template)
                self._is_cut_off = False
        return standing(self._template, self._found or {})

    @property
    def has_truth(self) -> bool:
        """Is `scene` the truth? Only in an emulated laboratory that is asked for it, and answers."""
        return self._poses.has_truth and not self._is_cut_off

    @property
    def goal(self) -> Goal:
        """The goal of the present episode."""
        return self._begun().goal

    @property
    def robot(self) -> Robot:
        """The robot itself, for benchmarks and diagnosis."""
        return self._robot

    def view(self) -> View:
        """What every camera sees from the look pose, the hand empty and out of sight. Never in mid-episode.

        WorldFault if the arm cannot go there, or a camera is missing or stale; ValueError if there are no cameras.
        """
        self._sight.check_any()
        self._stand_ready()
        with self._moving():
            self._robot.arrive(self._robot.look_rad, self._obstacles(), 0.0, is_pose=False)
            self._robot.hold()
            seen = self._picture()
            self._sight.check_brightness()
            return seen

    @contextlib.contextmanager
    def _moving(self) -> Iterator[None]:
        """Around motion that is no tick: a fault is recovered from and told, whatever else comes ends the motion."""
        try:
            yield
        except RobotFault as fault:
            raise self._recovered(fault) from None
        except BaseException:
            self._robot.hold()
            raise

    def _picture(self) -> View:
        truth = self._poses.truth(self._template) if self._poses.has_truth else {}
        return self._sight.view(self._robot.arm.joints(), self._robot.opening_m, truth)

    def _glance(self) -> dict[str, Image]:
        return self._sight.glance(self._robot.arm.joints())

    def _track(self, *, holds: bool) -> Poses:
        """Where the objects are in this tick."""
        found = self._poses.track(GripperPose(self._hand, self._robot.opening_m, holds))
        self._recorder.see(self._poses.latest, self._hand, self._poses.tracked)
        return found

    def render(self) -> np.ndarray | None:
        """The newest picture (H, W, 3) uint8 of the camera "side", or of any; None without cameras."""
        return self._sight.newest_rgb("side") if self.render_mode == "rgb_array" else None

    def move(self, name: str, pose: np.ndarray) -> None:
        """Ask the operator to put an object at a pose (7,). ValueError if there is none of this name."""
        if name not in self._template.movable:
            raise ValueError(f"{shown(name)} cannot be moved; movable: {', '.join(self._template.movable)}")
        moved = self._template.with_poses({name: pose}).object(name)  # checks the pose
        self._operator.move(moved, moved.pose)
        self._recorder.note_move(name)

    def close(self) -> None:
        """Hold the arm and hang up. May be called again."""
        self._opened.close()

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode; see the module docstring. ValueError for options that cannot be, WorldFault for faults."""
        request = read_request(seed, options, self._template, self._workspace(), len(self.task.configurations))
        self._episode = None
        self._stand_ready()
        with self._moving():
            if request.new:
                super().reset(seed=seed)
                self._arrange(request.configuration)
            observation = self._begin(request.goal, request.grasp, look=request.look)
        assert self._episode is not None
        return observation, {"is_success": bool(self._episode.errors(self._episode.start_pose).success[0])}

    def _workspace(self) -> np.ndarray:
        return self.config.workspace(self._template.workspace_m)

    def _stand_ready(self) -> None:
        """Before anything moves: cameras and calibration are in order, a fault is over; WorldFault if not."""
        try:
            self._sight.revive()
            if self._fault is not None or not self._robot.usable:
                self._robot.hold()
                self._robot.arm.reconnect(0.0)
                self._robot.arm.ready()
                self._robot.usable = True
            self._robot.arm.check_error()
        except RobotFault as fault:
            self._robot.hold()
            self._fault = fault
            raise
        self._fault = None

    def _arrange(self, configuration: int | None) -> None:
        """Drive the hand away, and have the objects put where a configuration says."""
        count = len(self.task.configurations)
        self._configuration = int(self.np_random.integers(count)) if configuration is None else int(configuration)
        self._robot.arrive(self._robot.look_rad, self._obstacles(), 0.0, is_pose=False)
        self._robot.hold()
        draw = int(self.np_random.integers(2**31))
        self._template = self._operator.arrange(self.task, self._configuration, draw)
        self._found = None

    def _look_for(self) -> Scene:
        """The scene as it is found at this moment, with the errors that a policy lives with."""
        self._poses.begin()
        self._found = self._poses.find(self._template)
        return standing(self._template, self._found)

    def _obstacles(self) -> Scene:
        """The scene that free moves keep clear of: as it was last seen, else as it was arranged."""
        found = self._poses.truth(self._template) if self._poses.has_truth else self._found
        return standing(self._template, found or {})

    def _begin(self, goal: Goal | None, grasp: Grasp | None, *, look: bool) -> np.ndarray:
        """Bring the hand to where the episode begins and count from there; the first observation."""
        seen = self._look_for()
        goal = goal or self.task.goal(self.stage_index, seen, self._configuration)
        self._poses.follow(seen, goal.object)
        self._recorder.start(seen.movable, self._poses.latest, self._robot.measured_pose())
        opening_m, why = 0.0, ""
        if not look and goal.grasp:
            opening_m, why = self._grasp(seen, goal, grasp)
        elif not look:
            self._robot.arrive(push_start(seen, goal), self._obstacles(), 0.0, is_pose=True)
        self._hand = self._robot.measured_pose()
        now = standing(self._template, self._track(holds=goal.grasp and not why))
        self._recorder.begin()
        self._episode = Episode.begin(self._spec, self._rewards, now, goal, self._hand, opening_m, why)
        if not look:
            self._episode.commanded_pose = tool_pose(self._robot.stream.joints_rad)
        return self._episode.observe(self._hand, self._episode.start_pose)

    def _grasp(self, seen: Scene, goal: Goal, grasp: Grasp | None) -> tuple[float, str]:
        """Pick the goal's object up: what the fingers are told to hold, and why they hold nothing, "" if they do."""
        if grasp is None:
            proposals = propose_grasps(seen, goal.object, goal.target_pose)
            if not proposals.grasps:
                self._recorder.grasp_problem = f"{goal.object} cannot be grasped: {proposals.reason}"
                return 0.0, self._recorder.grasp_problem
            grasp = proposals.grasps[0]
        tcp = np.array(grasp.tcp_pose)
        self._robot.arrive(moved_back(tcp, RETREAT_M), self._obstacles(), MAX_OPENING_M, is_pose=True)
        tcp = self._robot.approach_and_close(tcp, grasp.width_m)
        self._hand = self._robot.measured_pose()
        before = in_hand(self._track(holds=False)[goal.object], self._hand)
        self._robot.withdraw(tcp)
        self._hand = tool_pose(self._robot.check(gripper=True))
        after = in_hand(self._track(holds=True)[goal.object], self._hand)
        held = float(np.linalg.norm(after - before)) < _HELD_M
        return self._robot.opening_m, "" if held else f"the hand did not lift {goal.object} when it grasped it"

    # -- acting --------------------------------------------------------------------------------------------------

    def _begun(self) -> Episode:
        if self._episode is None:
            raise ValueError("call reset() first" if self._fault is None else f"call reset() first: {self._fault}")
        return self._episode

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """One tick of 0.1 s; ValueError for an action that is none, or after a fault. See the module docstring."""
        episode = self._begun()
        if ended := str(self._fault or (_RESTS if self._robot.rests else "")):
            raise ValueError(f"the episode was cut short or is over, call reset(options={{'world': 'keep'}}): {ended}")
        given = np.asarray(action, dtype=np.float64)
        if given.shape != (self._spec.action_dim,) or not np.isfinite(given).all():
            raise ValueError(f"an action is {self._spec.action_dim} finite numbers, not {shown(action)}")
        poses = episode.poses(self._found or {})
        self._robot.stream.watched = False  # what follows is ours, not the policy's
        try:
            self._act(episode, given)
            self._sight.check()
            self._found = self._track(holds=episode.goal.grasp and not episode.grasp_failure)
            poses = episode.poses(self._found)
        except RobotFault as fault:
            self._fault = self._recovered(fault)
        except BaseException:  # a person interrupts: nothing more is sent
            self._robot.stop_for_good()
            raise
        rows, is_lost, errors = episode.tick(self._hand, poses, given)
        info: dict[str, Any] = {f"reward/{name}": value for name, value in rows.items()}
        info |= {"is_success": bool(errors.success[0]), "is_success_strict": bool(errors.strict[0])}
        assert self._poses.tracked is not None
        info |= {"goal_error_m": float(errors.goal_m[0]), **self._poses.tracked.info()}
        info["lag_m"] = float(np.linalg.norm(episode.commanded_pose[:3] - self._hand[:3]))
        if self._fault is not None:
            info["fault"] = self._fault.fault
        truncated = self._fault is not None or episode.step_count >= self._max_steps
        if not (truncated or is_lost):
            self._robot.stream.watch()
        return episode.observe(self._hand, poses), sum(rows.values()), is_lost, truncated, info

    def _act(self, episode: Episode, action: np.ndarray) -> None:
        episode.command(action, self._hand, self._robot.opening_m, self._workspace())
        self._robot.tick(episode.commanded_pose)
        self._hand = tool_pose(self._robot.check(gripper=True))

    def _recovered(self, fault: RobotFault) -> RobotFault:
        """Try to recover; what became of it, which `_stand_ready` asks about."""
        self._fault = self._robot.recover(fault)
        return self._fault

    def finish(self) -> Outcome:
        """Open the hand, retreat, wait until all is still (at most 3 s) and measure.

        After a fault that the arm did not recover from, it only measures. The reason names a fault.
        """
        episode = self._begun()
        self._robot.stream.watched = False
        self._recorder.release()
        stopped = str(self._fault) if self._fault is not None else ""
        try:
            if self._robot.usable and (self._fault is not None or not self._robot.rests):
                self._let_go(episode)
                self._wait_until_still(episode)
        except RobotFault as fault:
            stopped = stopped or str(self._recovered(fault))
        finally:
            self._robot.hold()
        return episode.outcome(self._final_poses(episode), self._recorder, self._max_steps, stopped)

    def _let_go(self, episode: Episode) -> None:
        self._robot.wake()
        pose = tool_pose(self._robot.stream.joints_rad)
        if episode.goal.grasp:
            self._robot.release(pose)
        self._robot.withdraw(pose)

    def _wait_until_still(self, episode: Episode) -> None:
        before = None
        for _ in range(round(_SETTLE_S / _STILL_S) + 1):
            now = episode.poses(self._poses.find(self._template))
            self._recorder.see(self._poses.latest, self._robot.measured_pose())
            if before is not None and still(before, now):
                return
            before = now
            self._robot.wait(_STILL_S)

    def _final_poses(self, episode: Episode) -> np.ndarray:
        """Where the objects are in the end; where they were last seen if nobody can tell any more."""
        try:
            self._found = self._poses.truth(self._template)
        except RobotFault as fault:
            self._fault = self._fault or fault
        return episode.poses(self._found or {})
