"""What an episode begins with: where everything stands, which variant of the objects it is, and what the goal is.

    StartSource + Variants + a world's generator  ->  Arrangements.draw  ->  Arrangement

All worlds that begin together are drawn together, each from its own generator. In training a world draws a few dozen
arrangements and then repeats them in random order. Physics, sensor errors and where the hand begins are drawn anew for
every episode.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from iker_envs.planning.grasps import grasp_in_object, propose_grasps
from iker_envs.planning.push import PushStarts
from iker_envs.randomisation import Randomisation
from iker_envs.scene import Goal, Grasp, ObjectModel
from iker_envs.stage.starts import StartSource, draw_starts
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
    """The arrangements of N worlds; `bank` is how many a world draws before it repeats them, 0 for no end.

    `weights` (C,) say how often each configuration comes where none is asked for; None: all alike.
    """

    def __init__(
        self, source: StartSource, variants: Variants, randomisation: Randomisation, num_worlds: int, bank: int
    ) -> None:
        self.source = source
        self.variants = variants
        self.randomisation = randomisation
        self._size = bank
        self.weights: np.ndarray | None = None
        self._bank: list[dict[int | None, tuple[Arrangement, ...]]] = [{} for _ in range(num_worlds)]
        self._grasps: dict[int, Grasp] = {}
        self._pushes: dict[str, PushStarts] = {}  # by object
        scenes = [start.scene for start in variants.starts]
        self._names = [o.name for o in scenes[0].objects]
        self._movable = np.array([o.movable for o in scenes[0].objects])
        self._sizes_m = np.array([[o.model.size_m for o in scene.objects] for scene in scenes])  # (C, O, 3)

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
                starts[world] = drawn[self._pick(drawn, rngs[world])]
            else:
                wanted.append(world)
        given = dict(zip(worlds, goals, strict=True))
        made = self._make([rngs[w] for w in wanted], configuration, [given[w] for w in wanted])
        for world, start in zip(wanted, made, strict=True):
            starts[world] = start
            if self._size:
                self._bank[world][configuration] = (*self._bank[world].get(configuration, ()), start)
        return [starts[world] for world in worlds]

    def _pick(self, drawn: tuple[Arrangement, ...], rng: np.random.Generator) -> int:
        if self.weights is None:
            return int(rng.integers(len(drawn)))
        return weighted(rng, self.weights[[start.configuration for start in drawn]])

    def _any_configuration(self, rng: np.random.Generator) -> int:
        if self.weights is None:
            return int(rng.integers(self.source.num_configurations))
        return weighted(rng, self.weights)

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
        if not rngs:
            return []
        chosen = [self._any_configuration(rng) if configuration is None else configuration for rng in rngs]
        starts = draw_starts(self.source, rngs, np.array(chosen))
        factors = self.randomisation.draw_each({"geometry_scale": 1}, rngs)["geometry_scale"][:, 0, 0]
        picks = [self.variants.pick(c, factor) for c, factor in zip(chosen, factors, strict=True)]
        wanted = [goal or self.variants.starts[c].goal for c, goal in zip(chosen, goals, strict=True)]
        scales = np.array([self.variants.items[k].scale_of(g.object) for k, g in zip(picks, wanted, strict=True)])
        index = np.array([self._names.index(goal.object) for goal in wanted])
        sizes_m = self._sizes_m[chosen, index]
        worlds = np.arange(len(rngs))
        poses = starts.poses
        poses[worlds, index] = standing_higher(sizes_m, poses[worlds, index], scales)
        targets = standing_higher(sizes_m, _poses_of("target_pose", goals, starts.target_pose), scales)
        annotated = standing_higher(sizes_m, _poses_of("annotated_pose", goals, starts.annotated_pose), scales)
        hands = None if wanted[0].grasp else self._hands(np.array(chosen), index, poses, targets)
        return [
            Arrangement(
                goal=_with_poses(goal, targets[k], annotated[k]),
                variant=picks[k],
                scale=float(scales[k]),
                configuration=chosen[k],
                object_pose=poses[k, self._movable],
                furniture_pose=poses[k, ~self._movable],
                hand_pose=None if hands is None else hands[k],
            )
            for k, goal in enumerate(wanted)
        ]

    def _hands(
        self, configuration: np.ndarray, index: np.ndarray, poses: np.ndarray, targets: np.ndarray
    ) -> np.ndarray:
        """Where the hands of M worlds begin their pushes, (M, 7); `index` (M,) are the objects that they push."""
        hands = np.empty((len(poses), 7))
        for pushed in np.unique(index):
            name = self._names[pushed]
            if name not in self._pushes:
                self._pushes[name] = PushStarts([start.scene for start in self.variants.starts], name)
            here = index == pushed
            hands[here] = self._pushes[name].at(configuration[here], poses[here], targets[here])
        return hands

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


def weighted(rng: np.random.Generator, weights: np.ndarray) -> int:
    """An index drawn by weights (K,) that are above 0."""
    ends = np.cumsum(weights)
    return min(int(np.searchsorted(ends, rng.random() * ends[-1], side="right")), len(ends) - 1)


def _poses_of(name: str, goals: Sequence[Goal | None], own: np.ndarray | None) -> np.ndarray:
    """Poses (M, 7) of goals, from `own` (M, 7) where there is no goal; NaN where there is no pose."""
    poses = np.full((len(goals), 7), np.nan) if own is None else own.copy()
    for row, goal in enumerate(goals):
        if goal is not None:
            pose = getattr(goal, name)
            poses[row] = np.nan if pose is None else pose
    return poses


def _with_poses(goal: Goal, target_pose: np.ndarray, annotated_pose: np.ndarray) -> Goal:
    """A goal with other poses (7,), an annotated one only where it has one; nothing is checked, there are thousands."""
    moved = object.__new__(Goal)
    annotated = None if goal.annotated_pose is None else annotated_pose
    moved.__dict__.update(vars(goal) | {"target_pose": target_pose, "annotated_pose": annotated})
    return moved


def _scaled_goal(goal: Goal, model: ObjectModel, scale: float) -> Goal:
    annotated = goal.annotated_pose
    return replace(
        goal,
        target_pose=standing_higher(model.size_m, goal.target_pose, scale),
        annotated_pose=None if annotated is None else standing_higher(model.size_m, annotated, scale),
    )
