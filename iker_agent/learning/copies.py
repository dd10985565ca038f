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
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from iker_agent.learning.policy import Policy, PolicyFault
from iker_envs.events import Event
from iker_envs.geometry import norm, quaternion_from_yaw, quaternion_multiply
from iker_envs.judging.happened import happened
from iker_envs.measure import Errors
from iker_envs.perception import PoseNoise
from iker_envs.planning.collision import deepest_overlap, object_boxes, scene_boxes
from iker_envs.planning.hand import MAX_OPENING_M
from iker_envs.planning.push import push_start
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
        scene = self.scene
        for obj in (o for o in scene.objects if o.movable and rng is not None):
            others = scene_boxes(scene, skip=[obj.name])
            allowed = max(deepest_overlap(object_boxes(obj.model, obj.pose), others)[0], 0.0) + _OVERLAP_M
            drawn = (self._drawn(obj.pose, rng) for _ in range(_DRAWS))
            fits = (p for p in drawn if deepest_overlap(object_boxes(obj.model, p), others)[0] <= allowed)
            scene = scene.with_poses({obj.name: next(fits, obj.pose)})
        return Start(scene, self.goal)

    def _drawn(self, nominal: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        """A pose (7,) near another one: what stands stays on its support, so only x, y and heading are uncertain."""
        assert rng is not None
        pose = np.array(nominal)
        pose[:2] += rng.normal(0.0, self.noise.position_m, 2)
        yaw = rng.normal(0.0, np.deg2rad(self.noise.rotation_deg))
        pose[3:] = quaternion_multiply(quaternion_from_yaw(np.array(yaw)), pose[3:])
        return pose


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
        config = make_config(self.source, episode_s=episode_s, free="near")
        self.stage = Stage(self.source, num_copies, config, randomisation)
        self.stage.record()
        self.disturbed_m = np.zeros(num_copies)  # how far other objects were moved when the hand grasped
        self._everyone = np.arange(num_copies)

    def begin(self, seed: int, grasps: Sequence[Grasp] = (), goals: Sequence[Goal] = ()) -> np.ndarray:
        """Begin a fresh episode in every copy; which of them hold the object, (N,) bool.

        `grasps`, for a goal that grasps, are shared out among the copies in turn, and so are `goals`, other ones of the
        same object in the place of the copies' own.
        """
        stage = self.stage
        stage.seed(self._everyone, [seed * self.num_copies + i for i in range(self.num_copies)])
        chosen = goals or [self.goal]
        starts = [
            self._start(self.source.sample(rng).scene, chosen[i % len(chosen)]) for i, rng in enumerate(stage.rngs)
        ]
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

    def _start(self, scene: Scene, goal: Goal) -> Arrangement:
        """What a copy begins with; where a push finds no place in it, the hand waits where it would in the estimate."""
        hand = self._push_start
        if not goal.grasp:
            with suppress(ValueError):
                hand = push_start(scene, goal)
        movable = np.array([scene.object(name).pose for name in scene.movable])
        furniture = np.array([o.pose for o in scene.objects if not o.movable]).reshape(-1, 7)
        return Arrangement(goal, 0, 1.0, 0, movable, furniture, hand)

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
