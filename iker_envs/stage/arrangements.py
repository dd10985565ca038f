"""What an episode begins with: where everything stands, which variant of the objects it is, and what the goal is.

    StartSource + Variants + a world's generator  ->  Arrangements.draw  ->  Arrangement

All worlds that begin together are drawn together, each from its own generator. In training a world draws a few dozen
arrangements and then repeats them in random order. Physics, sensor errors and where the hand begins are drawn anew for
every episode.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from iker_envs.planning.grasps import grasp_in_object, propose_grasps
from iker_envs.planning.push import PushStarts
from iker_envs.randomisation import Randomisation
from iker_envs.scene import Goal, Grasp, ObjectModel
from iker_envs.stage.starts import Starts, StartSource, draw_starts
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
        self._pushes: dict[tuple[int, str], PushStarts] = {}  # by configuration and object

    def forget(self, world: int) -> None:
        """Draw afresh in this world: its generator or its goal is another one."""
        self._bank[world] = {}

    def draw(
        self,
        worlds: Sequence[int],
        rngs: Sequence[np.random.Generator],
        configuration: int | None,
        goals: Sequence[Goal | None],
    ) -> list[Arrangement]:
        """The next start of each of the worlds (M,), from its generator (one per world of all N).

        A goal replaces the source's own. ValueError if a push finds no place to begin.
        """
        starts: dict[int, Arrangement] = {}
        wanted = []
        for world in worlds:
            drawn = self._bank[world].get(configuration, ())
            if self._size and len(drawn) == self._size:
                starts[world] = drawn[rngs[world].integers(self._size)]
            else:
                wanted.append(world)
        given = dict(zip(worlds, goals, strict=True))
        made = self._make([rngs[w] for w in wanted], configuration, [given[w] for w in wanted])
        for world, start in zip(wanted, made, strict=True):
            starts[world] = start
            if self._size:
                self._bank[world][configuration] = (*self._bank[world].get(configuration, ()), start)
        return [starts[world] for world in worlds]

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

    def _make(
        self, rngs: Sequence[np.random.Generator], configuration: int | None, goals: Sequence[Goal | None]
    ) -> list[Arrangement]:
        """Draw a start for each of M worlds: configuration, poses and size, in this order."""
        count = self.source.num_configurations
        chosen = [int(rng.integers(count)) if configuration is None else configuration for rng in rngs]
        groups: dict[tuple[int, str], list[int]] = {}  # worlds that are computed together
        for row, (index, goal) in enumerate(zip(chosen, goals, strict=True)):
            name = (goal or self.variants.starts[index].goal).object
            groups.setdefault((index, name), []).append(row)
        made: dict[int, Arrangement] = {}
        for (index, _), rows in groups.items():
            starts = draw_starts(self.source, [rngs[r] for r in rows], index)
            picks = [self.variants.pick(index, self._size_factor(rngs[r])) for r in rows]
            made |= zip(rows, self._arranged(index, starts, picks, [goals[r] for r in rows]), strict=True)
        return [made[row] for row in range(len(rngs))]

    def _size_factor(self, rng: np.random.Generator) -> float:
        return float(self.randomisation.draw("geometry_scale", rng)[0, 0])

    def _arranged(
        self, configuration: int, starts: Starts, picks: Sequence[int], goals: Sequence[Goal | None]
    ) -> Iterable[Arrangement]:
        """Arrangements of M worlds of one configuration, whose goals are of one object."""
        example = self.variants.starts[configuration]
        scene = example.scene
        own = example.goal if goals[0] is None else goals[0]
        model = scene.object(own.object).model
        index = [o.name for o in scene.objects].index(own.object)
        scales = np.array([self.variants.items[pick].scale_of(own.object) for pick in picks])
        poses = starts.poses
        poses[:, index] = standing_higher(model, poses[:, index], scales)
        targets = np.array([t if g is None else g.target_pose for g, t in zip(goals, starts.target_pose, strict=True)])
        targets = standing_higher(model, targets, scales)
        hands = None if own.grasp else self._push_starts(configuration, own.object).at(poses, targets)
        movable = np.array([o.movable for o in scene.objects])
        for row, (goal, scale) in enumerate(zip(goals, scales.tolist(), strict=True)):
            yield Arrangement(
                goal=_moved_goal(example.goal, targets[row]) if goal is None else _scaled_goal(goal, model, scale),
                variant=picks[row],
                scale=scale,
                configuration=configuration,
                object_pose=poses[row, movable],
                furniture_pose=poses[row, ~movable],
                hand_pose=None if hands is None else hands[row],
            )

    def _push_starts(self, configuration: int, name: str) -> PushStarts:
        key = configuration, name
        if key not in self._pushes:
            self._pushes[key] = PushStarts(self.variants.starts[configuration].scene, name)
        return self._pushes[key]

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


def _scaled_goal(goal: Goal, model: ObjectModel, scale: float) -> Goal:
    if scale == 1.0:
        return goal
    annotated = goal.annotated_pose
    return replace(
        goal,
        target_pose=standing_higher(model, goal.target_pose, scale),
        annotated_pose=None if annotated is None else standing_higher(model, annotated, scale),
    )


def _moved_goal(goal: Goal, target_pose: np.ndarray) -> Goal:
    """A goal of a source with another target pose (7,); nothing is checked again, there are thousands of them."""
    target_pose.setflags(write=False)
    moved = object.__new__(Goal)
    annotated = None if goal.annotated_pose is None else target_pose
    moved.__dict__.update(vars(goal) | {"target_pose": target_pose, "annotated_pose": annotated})
    return moved
