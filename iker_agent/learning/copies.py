"""Copies of an estimated scene, in which a stage can be carried out before it is carried out in the world.

    scene, goal, pose noise, randomisation  ->  Copies
    [grasps]                                ->  begin  ->  which copies hold the object
    policy                                  ->  act    ->  Trial: how each copy ended

The way is that of the world: the grasp is the one that was chosen in the estimated scene, the policy acts until the
time is up, the hand lets go and retreats, and what counts is measured then. Every copy has true poses of its own,
drawn around the estimate, and physical parameters of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from iker_agent.learning.policy import Policy, PolicyFault
from iker_envs.events import Event
from iker_envs.geometry import norm, quaternion_from_yaw, quaternion_multiply
from iker_envs.judging.happened import happened
from iker_envs.measure import Errors
from iker_envs.perception import PoseNoise
from iker_envs.planning.hand import MAX_OPENING_M
from iker_envs.planning.many import Shapes, deepest_m
from iker_envs.planning.push import PushStarts, push_start
from iker_envs.randomisation import Randomisation
from iker_envs.scene import Goal, Grasp, Scene
from iker_envs.stage.arrangements import Arrangement
from iker_envs.stage.making import make_config
from iker_envs.stage.stage import Stage
from iker_envs.stage.starts import Start
from iker_envs.stage.subroutines import RETREAT_M, behind, pick_up, place_hand

_DRAWS = 10  # how often an object's pose is drawn before it stays where it is estimated to be
_OVERLAP_M = 0.001  # how much deeper than in the estimate a drawn object may be in others


@dataclass(frozen=True, eq=False)
class Estimated:
    """A StartSource around an estimate: every movable object shifted and turned on its support, as the noise has it."""

    scene: Scene
    goal: Goal
    noise: PoseNoise
    num_configurations: int = 1

    def sample(self, rng: np.random.Generator | None, configuration: int | None = None) -> Start:
        """One scene as the true one may be; without a generator the estimate itself."""
        if rng is None:
            return Start(self.scene, self.goal)
        names = [o.name for o in self.scene.objects]
        return Start(self.scene.with_poses(dict(zip(names, self.draw([rng])[0], strict=True))), self.goal)

    def draw(self, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Poses (M, O, 7) of all objects, in the scene's order, as they may truly be in M copies.

        Objects are moved one after the other, each at most so often until it stands no deeper in others than before.
        """
        poses = np.tile(np.array([o.pose for o in self.scene.objects]), (len(rngs), 1, 1))
        for index in np.flatnonzero([o.movable for o in self.scene.objects]).tolist():
            nominal = poses[:, index].copy()
            allowed_m = np.maximum(self._depth_m(poses, index), 0.0) + _OVERLAP_M
            left = np.arange(len(rngs))  # copies in which the object has no place yet
            for _ in range(_DRAWS):
                poses[left, index] = self._near(nominal[left], [rngs[k] for k in left.tolist()])
                left = left[self._depth_m(poses[left], index) > allowed_m[left]]
                if not len(left):
                    break
            poses[left, index] = nominal[left]
        return poses

    def _near(self, nominal: np.ndarray, rngs: Sequence[np.random.Generator]) -> np.ndarray:
        """Poses (M, 7) near other ones: what stands stays on its support, only x, y and heading are uncertain."""
        spread = [self.noise.position_m, self.noise.position_m, np.deg2rad(self.noise.rotation_deg)]
        drawn = np.array([rng.standard_normal(3) for rng in rngs]) * spread
        moved = np.array(nominal)
        moved[:, :2] += drawn[:, :2]
        moved[:, 3:] = quaternion_multiply(quaternion_from_yaw(drawn[:, 2]), moved[:, 3:])
        return moved

    def _depth_m(self, poses: np.ndarray, index: int) -> np.ndarray:
        """How deep (M,) an object is in other ones."""
        boxes = self._shapes.at(np.zeros(len(poses), dtype=int), poses)
        own = self._shapes.owner == index
        return deepest_m(boxes.only(own), boxes.only(~own))

    @cached_property
    def _shapes(self) -> Shapes:
        return Shapes.of([self.scene])


@dataclass(frozen=True, eq=False)
class Trial:
    """How a stage ended in N copies; `held` (N,) is True everywhere in a push."""

    errors: Errors
    held: np.ndarray  # did the hand hold the object when the policy began?
    lost: np.ndarray  # was it dropped, tipped over or fallen while the policy acted?

    @property
    def strict(self) -> np.ndarray:
        """Strict success, (N,) bool."""
        return self.errors.strict & self.held & ~self.lost

    @property
    def success(self) -> np.ndarray:
        """Success by the paper's measure, (N,) bool."""
        return self.errors.success & self.held & ~self.lost


class Copies:
    """N copies of one stage; `close` frees them. ValueError if the stage cannot be carried out from where it begins."""

    def __init__(
        self,
        scene: Scene,
        goal: Goal,
        num_copies: int,
        noise: PoseNoise,
        randomisation: Randomisation,
        episode_s: float | None = None,
    ) -> None:
        self.goal = goal
        self.num_copies = num_copies
        self.source = Estimated(scene, goal, noise)
        self._push_start = None if goal.grasp else push_start(scene, goal)
        self._push_starts = None if goal.grasp else PushStarts([scene], goal.object)
        config = make_config(self.source, episode_s=episode_s, free="near")
        self.stage = Stage(self.source, num_copies, config, randomisation)
        self.stage.record()
        self.disturbed_m = np.zeros(num_copies)  # how far other objects were moved when the hand grasped
        self._everyone = np.arange(num_copies)
        self._begun: dict[int, tuple[dict[str, Any], np.ndarray]] = {}  # by seed

    def begin_again(self, seed: int, grasps: Sequence[Grasp] = ()) -> np.ndarray:
        """As `begin`, from what was kept of it where it has been called with this seed before: nothing is grasped anew.

        `grasps` are the same every time.
        """
        if seed not in self._begun:
            self.begin(seed, grasps)
            self._begun[seed] = (self.stage.get_state(), self.disturbed_m)
        else:
            state, self.disturbed_m = self._begun[seed]
            self.stage.set_state(state)
        return self.stage.grasped.copy() if self.goal.grasp else np.ones(self.num_copies, dtype=bool)

    def begin(self, seed: int, grasps: Sequence[Grasp] = (), goals: Sequence[Goal] = ()) -> np.ndarray:
        """Begin a fresh episode in every copy; which of them hold the object, (N,) bool.

        `grasps`, for a goal that grasps, are shared out among the copies in turn, and so are `goals`, other ones of the
        same object in the place of the copies' own.
        """
        stage = self.stage
        stage.seed(self._everyone, [seed * self.num_copies + i for i in range(self.num_copies)])
        chosen = goals or [self.goal]
        starts = self._starts([chosen[i % len(chosen)] for i in range(self.num_copies)])
        stage.physics.draw(self._everyone, stage.rngs)
        stage.arrange(self._everyone, starts)
        if not self.goal.grasp:
            stage.place(self._everyone, starts, np.array([start.hand_pose for start in starts]))
            stage.begin(self._everyone, np.zeros(self.num_copies), np.zeros(self.num_copies, dtype=bool))
            return np.ones(self.num_copies, dtype=bool)
        taken = [grasps[i % len(grasps)] for i in range(self.num_copies)]
        tcp = np.array([grasp.tcp_pose for grasp in taken])
        stage.place(self._everyone, starts, behind(tcp, RETREAT_M))
        place_hand(stage.sim, behind(tcp, RETREAT_M), MAX_OPENING_M)
        if stage.recorder:
            stage.recorder.start(stage.sim.state())
        widths = np.array([grasp.width_m for grasp in taken])
        picked = pick_up(stage.sim, stage.substeps, tcp, widths, stage.episode.object_index)
        stage.begin(self._everyone, picked.opening_command_m, picked.held)
        placed = np.array([start.object_pose for start in starts])
        moved_m = norm(picked.state.object_pose[..., :3] - placed[..., :3])
        moved_m[self._everyone, stage.episode.object_index] = 0.0
        self.disturbed_m = moved_m.max(axis=-1)
        return picked.held

    def _starts(self, goals: Sequence[Goal]) -> list[Arrangement]:
        """What the copies begin with; where a push finds no place, the hand waits where it would in the estimate."""
        poses = self.source.draw(self.stage.rngs)
        hands: Sequence[np.ndarray | None] = [None] * self.num_copies
        if self._push_starts and self._push_start is not None:
            targets = np.array([goal.target_pose for goal in goals])
            found_hands, found = self._push_starts.find(np.zeros(self.num_copies, dtype=int), poses, targets)
            hands = list(np.where(found[:, None], found_hands, self._push_start))
        movable = np.array([o.movable for o in self.source.scene.objects])
        return [
            Arrangement(goal, 0, 1.0, 0, poses[k, movable], poses[k, ~movable], hands[k])
            for k, goal in enumerate(goals)
        ]

    def act(self, policy: Policy) -> Trial:
        """Let the policy act in all copies, let go, and measure. PolicyFault if an action is no number."""
        stage = self.stage
        held = stage.grasped.copy() if self.goal.grasp else np.ones(self.num_copies, dtype=bool)
        lost = np.zeros(self.num_copies, dtype=bool)
        for tick in range(stage.config.max_steps):
            actions = np.array(policy.act(stage.observe()), dtype=float)
            if not np.isfinite(actions).all():
                raise PolicyFault(f"the policy gave an action that is no number after {tick} ticks in simulation")
            actions[lost] = 0.0  # in the world, too, the hand stops once the object is lost
            lost |= stage.step(actions)[1]
            if (lost | ~held).all():
                break
        errors = stage.finish()
        return Trial(errors, held, lost)

    def happened(self, world: int) -> tuple[Event, ...]:
        """What happened in one copy, causes first, once `act` has ended."""
        return happened(self.stage.trace(world))

    def close(self) -> None:
        """Free the simulation."""
        self.stage.close()
