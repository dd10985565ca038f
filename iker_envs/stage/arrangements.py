"""What an episode begins with: where everything stands, which variant of the objects it is, and what the goal is.

    StartSource + Variants + a world's generator  ->  Arrangements.draw  ->  Arrangement

In a batch a world draws a few dozen arrangements and then repeats them in random order: making one costs as much as
stepping a world for many ticks. Physics, sensor errors and where the hand begins are drawn anew for every episode.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from iker_envs.planning.grasps import grasp_in_object, propose_grasps
from iker_envs.planning.push import push_start
from iker_envs.randomisation import Randomisation
from iker_envs.scene import Goal, Grasp
from iker_envs.stage.starts import StartSource
from iker_envs.stage.variants import Variants, standing_higher


@dataclass(frozen=True, eq=False)
class Arrangement:
    """One start: poses of the movable objects (O, 7) and of the furniture (F, 7), hand pose (7,) of a push."""

    goal: Goal
    variant: int
    scale: float  # of the goal's object
    configuration: int
    object_pose: np.ndarray
    furniture_pose: np.ndarray
    hand_pose: np.ndarray | None


class Arrangements:
    """The arrangements of N worlds; `bank` is how many a world draws before it repeats them, 0 for no end."""

    def __init__(
        self, source: StartSource, variants: Variants, randomisation: Randomisation, num_worlds: int, bank: int
    ) -> None:
        self.source = source
        self.variants = variants
        self.randomisation = randomisation
        self._size = bank
        self._bank: list[dict[int | None, tuple[Arrangement, ...]]] = [{} for _ in range(num_worlds)]
        self._grasps: dict[int, Grasp] = {}

    def forget(self, world: int) -> None:
        """Draw afresh in this world: its generator or its goal is another one."""
        self._bank[world] = {}

    def draw(self, world: int, rng: np.random.Generator, configuration: int | None, goal: Goal | None) -> Arrangement:
        """The next start of a world; `goal` replaces the source's own."""
        drawn = self._bank[world].get(configuration, ())
        if self._size and len(drawn) == self._size:
            return drawn[rng.integers(self._size)]
        arrangement = self._make(rng, configuration, goal)
        if self._size:
            self._bank[world][configuration] = (*drawn, arrangement)
        return arrangement

    def with_goal(self, arrangement: Arrangement, goal: Goal) -> Arrangement:
        """The same start of another goal of the same object."""
        scene = self.variants.starts[arrangement.configuration].scene
        scaled = _scaled_goal(goal, scene.object(goal.object).model, arrangement.scale)
        return replace(arrangement, goal=scaled)

    def get_state(self) -> list[dict[int | None, tuple[Arrangement, ...]]]:
        """What has been drawn so far."""
        return [dict(drawn) for drawn in self._bank]

    def set_state(self, state: list[dict[int | None, tuple[Arrangement, ...]]]) -> None:
        """Go back to an earlier `get_state`."""
        self._bank = [dict(drawn) for drawn in state]

    def _make(self, rng: np.random.Generator, configuration: int | None, goal: Goal | None) -> Arrangement:
        if configuration is None:
            configuration = int(rng.integers(self.source.num_configurations))
        start = self.source.sample(rng, configuration)
        goal = goal or start.goal
        pick = self.variants.pick(configuration, float(self.randomisation.draw("geometry_scale", rng)[0, 0]))
        scale = self.variants.items[pick].scale_of(goal.object)
        scene = start.scene
        model = start.scene.object(goal.object).model
        if scale != 1.0:
            lifted = standing_higher(model, scene.object(goal.object).pose, scale)
            scene = scene.with_poses({goal.object: lifted})
            goal = _scaled_goal(goal, model, scale)
        poses = {o.name: o.pose for o in scene.objects}
        return Arrangement(
            goal=goal,
            variant=pick,
            scale=scale,
            configuration=configuration,
            object_pose=np.array([poses[n] for n in scene.movable]),
            furniture_pose=np.array([o.pose for o in scene.objects if not o.movable]).reshape(-1, 7),
            hand_pose=None if goal.grasp else push_start(scene, goal),
        )

    def grasp(self, arrangement: Arrangement) -> tuple[np.ndarray, float]:
        """The best grasp of the goal's object: tool-centre pose (7,) in its body frame, and width in metres.

        ValueError says why there is none. Found once per configuration, in its example start.
        """
        if arrangement.configuration not in self._grasps:
            start = self.variants.starts[arrangement.configuration]
            proposals = propose_grasps(start.scene, start.goal.object, start.goal.target_pose)
            if not proposals.grasps:
                raise ValueError(f"{start.goal.object!r} cannot be grasped: {proposals.reason}")
            best = proposals.grasps[0]
            local = grasp_in_object(best, start.scene.object(start.goal.object).pose)
            self._grasps[arrangement.configuration] = Grasp(local, best.width_m, best.score)
        grasp = self._grasps[arrangement.configuration]
        tcp = np.array(grasp.tcp_pose)
        tcp[:3] *= arrangement.scale
        return tcp, arrangement.scale * grasp.width_m


def _scaled_goal(goal: Goal, model, scale: float) -> Goal:
    annotated = goal.annotated_pose
    return replace(
        goal,
        target_pose=standing_higher(model, goal.target_pose, scale),
        annotated_pose=None if annotated is None else standing_higher(model, annotated, scale),
    )
