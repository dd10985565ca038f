"""A stage in N worlds: how its episodes begin and end. The machinery under both forms of the environment.

StartSource  ->  reset | keep  ->  [grasp]  ->  step x T  ->  finish  ->  Errors
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from iker_envs.measure import Errors
from iker_envs.planning.grasps import propose_grasps
from iker_envs.planning.hand import MAX_OPENING_M
from iker_envs.planning.push import push_start
from iker_envs.randomisation import Randomisation
from iker_envs.scene import HOME_GRIPPER_QUATERNION, Goal, Grasp
from iker_envs.sim import WorldReset
from iker_envs.spec import check_target
from iker_envs.stage.arrangements import Arrangement
from iker_envs.stage.config import StageConfig
from iker_envs.stage.grasp_bank import GraspBank, as_reset
from iker_envs.stage.starts import StartSource
from iker_envs.stage.subroutines import (
    RETREAT_M,
    behind,
    pick_up,
    place_hand,
    release_and_settle,
    with_grasp_error,
)
from iker_envs.stage.worlds import Worlds


class Stage(Worlds):
    """Worlds with the beginnings and ends of episodes: reset, keep, finish, and the goals that were given."""

    def __init__(self, source: StartSource, num_worlds: int, config: StageConfig, randomisation: Randomisation) -> None:
        super().__init__(source, num_worlds, config, randomisation)
        self.given: list[Goal | None] = [None] * num_worlds  # in the place of the source's own, by world
        self.grasps = GraspBank(
            config.grasp_bank, self.sim, self.substeps, self.physics, self.arrangements, randomisation
        )

    @property
    def grasped(self) -> np.ndarray:
        """Did the hand hold the object when the present episode began, (N,) bool?"""
        return self.episode.grasped

    def seed(self, worlds: np.ndarray, seeds: Sequence[int | None]) -> None:
        """As `Worlds.seed`; grasped states that were made with other generators are forgotten as well."""
        super().seed(worlds, seeds)
        self.grasps.forget(worlds)

    # -- goals ---------------------------------------------------------------------------------------------------

    def check_goal(self, goal: Goal) -> None:
        """ValueError if this stage cannot have the goal."""
        if goal.object not in self.sim.objects:
            movable = ", ".join(self.sim.objects)
            raise ValueError(f"the goal's object {goal.object!r} is not movable; movable: {movable}")
        if goal.object not in self.sim.free:
            free = ", ".join(self.sim.free)
            raise ValueError(
                f"the goal's object {goal.object!r} is welded here; free: {free}, or make it with free='all'"
            )
        check_target(goal, self.variants.scene)

    def _check_given(self, goal: Goal) -> None:
        """ValueError unless the worlds can begin with this goal in the place of their own."""
        self.check_goal(goal)
        own = [start.goal for start in self.variants.starts]
        if goal.grasp != own[0].grasp:
            raise ValueError("a goal of these worlds has `grasp` as their task has it; make another environment")
        if other := [g.object for g in own if goal.grasp and g.object != goal.object]:
            raise ValueError(
                f"the goal's object is {goal.object!r}, but the hand begins with {other[0]!r}; make another environment"
            )

    def give_goals(self, worlds: np.ndarray, goals: Sequence[Goal | None]) -> None:
        """Goals of the worlds (M,) from their next reset on, in the place of the source's own (None: its own again)."""
        for goal in goals:
            if goal is not None:
                self._check_given(goal)
        for world, goal in zip(worlds, goals, strict=True):
            if goal is not self.given[world]:
                self.given[world] = goal
                self.arrangements.forget(world)

    # -- beginning an episode ------------------------------------------------------------------------------------

    def reset(self, worlds: np.ndarray, configuration: int | None = None, *, look: bool = False) -> None:
        """Begin new episodes in the worlds (M,) with freshly drawn objects, physics and starts.

        With `look` the objects are placed and the empty hand waits above them: no stage has begun.
        """
        if self.variants.starts[0].goal.grasp and not look:
            self._reset_grasped(worlds, configuration)
            return
        starts = self.draw(worlds, configuration, [self.given[w] for w in worlds])
        self.arrange(worlds, starts)
        hands = self._look_poses(worlds) if look else self._push_starts(worlds, starts)
        self.place(worlds, starts, hands)
        self.begin(worlds, np.zeros(len(worlds)), np.zeros(len(worlds), dtype=bool))

    def _look_poses(self, worlds: np.ndarray) -> np.ndarray:
        """End-effector poses (M, 7) at the top of the workspace, tool down."""
        centre = self.workspace_m.mean(axis=0)
        top = self.workspace_m[1, 2]
        return np.tile([*centre[:2], top, *HOME_GRIPPER_QUATERNION], (len(worlds), 1))

    def _push_starts(self, worlds: np.ndarray, starts: Sequence[Arrangement]) -> np.ndarray:
        """End-effector poses (M, 7) beside the objects, shifted at random within the workspace."""
        hands = np.array([s.hand_pose for s in starts])
        shifts = self.randomisation.draw_each({"gripper_position": 1}, [self.rngs[w] for w in worlds])
        hands[:, :3] = np.clip(hands[:, :3] + shifts["gripper_position"][:, 0], *self.workspace_m)
        return hands

    def _reset_grasped(self, worlds: np.ndarray, configuration: int | None) -> None:
        states = self.grasps.pick(worlds, configuration, self.rngs)
        given = [self.given[w] for w in worlds]
        starts = [
            s.start if goal is None else self.arrangements.with_goal(s.start, goal)
            for s, goal in zip(states, given, strict=True)
        ]
        self.arrange(worlds, starts)
        reset = as_reset(states)
        self.sim.reset(worlds, reset)
        self.begin(worlds, reset.opening_command_m, np.array([s.held for s in states]))

    def keep(self, goal: Goal, grasp: Grasp | None) -> str:
        """Begin the next episode from the worlds as they stand: a new goal, the hand at its start pose.

        Executes the grasp in physics when the goal asks for one. Returns why the grasp failed, else "".
        """
        self.check_goal(goal)
        if goal.grasp:
            self._note_start()
            self._set_goals(self._everyone, [goal] * self.num_worlds)
            return self._keep_grasped(goal, grasp)
        hands = np.array([push_start(self.scene_now(w), goal) for w in range(self.num_worlds)])
        self._note_start()
        self._set_goals(self._everyone, [goal] * self.num_worlds)
        place_hand(self.sim, hands, opening_m=0.0)
        self.begin(self._everyone, np.zeros(self.num_worlds), np.zeros(self.num_worlds, dtype=bool))
        return ""

    def _note_start(self) -> None:
        """The hands go to work from here: what was recorded before is forgotten."""
        if self.recorder:
            self.recorder.start(self.sim.state())

    def _keep_grasped(self, goal: Goal, grasp: Grasp | None) -> str:
        """Grasp in the worlds as they stand and begin the episode; returns why it failed, else ""."""
        if grasp is None:
            proposals = propose_grasps(self.scene_now(0), goal.object, goal.target_pose)
            if not proposals.grasps:
                nothing = np.zeros(self.num_worlds, dtype=bool)
                self.begin(self._everyone, self.episode.opening_command_m, nothing)
                problem = f"{goal.object} cannot be grasped: {proposals.reason}"
                if self.recorder:
                    self.recorder.grasp_problem = problem
                return problem
            grasp = proposals.grasps[0]
            nominal = np.array(grasp.tcp_pose)
            tcp = np.array([with_grasp_error(nominal, self.randomisation, rng) for rng in self.rngs])
        else:  # a grasp that is given brings the error of whoever estimated the pose; the arm itself repeats to 0.1 mm
            tcp = np.tile(grasp.tcp_pose, (self.num_worlds, 1))
        place_hand(self.sim, behind(tcp, RETREAT_M), MAX_OPENING_M)
        widths = np.full(self.num_worlds, grasp.width_m)
        picked = pick_up(self.sim, self.substeps, tcp, widths, self.episode.object_index)
        self.begin(self._everyone, picked.opening_command_m, picked.held)
        return "" if picked.held.all() else f"the hand did not lift {goal.object} when it grasped it"

    # -- from outside, and the end -------------------------------------------------------------------------------

    def move(self, world: int, name: str, pose: np.ndarray) -> None:
        """Put an object of a world at a pose (7,), as somebody would; hand and other objects stay where they are."""
        now = self.sim.state()
        poses = now.object_pose[[world]]
        poses[0, self.sim.objects.index(name)] = pose
        command = self.arrays.host(self.episode.opening_command_m)[[world]]
        self.sim.reset(np.array([world]), WorldReset(now.gripper_pose[[world]], now.opening_m[[world]], poses, command))
        self.state = self.ticks.state()
        if self.recorder:
            self.recorder.note_move(world, name, self._state_on_host())

    def finish(self) -> Errors:
        """Open, retreat, wait until still, measure. All worlds at once."""
        recorder = self.recorder
        if recorder:
            recorder.release()
        settled = release_and_settle(
            self.sim,
            self.substeps,
            self.arrays.host(self.episode.opening_command_m),
            holds=self.goal.grasp,
            see=recorder.see if recorder else None,
        )
        self.state = self.arrays.put_state(settled)
        if recorder:
            recorder.see(settled)
        return self.errors()

    # -- all of it -----------------------------------------------------------------------------------------------

    def get_state(self) -> dict[str, Any]:
        """As `Worlds.get_state`, with the goals that were given and the grasped states."""
        return {**super().get_state(), "given": list(self.given), "grasps": self.grasps.get_state()}

    def set_state(self, state: dict[str, Any]) -> None:
        """As `Worlds.set_state`."""
        super().set_state(state)
        self.given = list(state["given"])
        self.grasps.set_state(state["grasps"])
