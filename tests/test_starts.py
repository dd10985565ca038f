"""Starts that are drawn for many worlds at once are those of one world at a time, whatever is drawn beside it."""

import numpy as np
import pytest

from iker_envs.planning.collision import deepest_overlap, gripper_boxes, object_boxes, scene_boxes
from iker_envs.planning.many import Shapes, deepest_m, hands_at
from iker_envs.planning.push import push_start
from iker_envs.randomisation import Randomisation
from iker_envs.scene import Goal
from iker_envs.stage.arrangements import Arrangements
from iker_envs.stage.starts import FixedStart, Start, TaskStart, draw_starts
from iker_envs.stage.variants import make_variants
from iker_envs.task import load_task

SEEDS = range(12)


def fixed(ranges: Randomisation) -> FixedStart:
    """A crowded scene: the shoe starts beside the other one, so that draws are refused."""
    task = load_task("shoe_push")
    scene = task.sample(None)
    return FixedStart(scene, task.goal(0, scene), ranges)


class Sampled:
    """A source that draws one world at a time, as one of another package would."""

    def __init__(self, source: TaskStart) -> None:
        self._source = source
        self.scene = source.scene
        self.num_configurations = source.num_configurations

    def sample(self, rng, configuration=None) -> Start:
        return self._source.sample(rng, configuration)


WIDE = Randomisation({"object_position": (-0.2, 0.2), "object_yaw": (-3.0, 3.0)})
SOURCES = {
    "shoe_push": lambda: TaskStart(load_task("shoe_push")),
    "book_push": lambda: TaskStart(load_task("book_push")),
    "a later stage": lambda: TaskStart(load_task("shoe_rack"), 2),
    "a fixed scene": lambda: fixed(WIDE),
    "a source of one world at a time": lambda: Sampled(TaskStart(load_task("shoe_push"))),
}


@pytest.mark.parametrize("name", SOURCES)
def test_worlds_that_are_drawn_together_start_as_each_would_alone(name):
    source = SOURCES[name]()
    configuration = np.arange(len(SEEDS)) % source.num_configurations
    rngs = [np.random.default_rng(seed) for seed in SEEDS]
    together = draw_starts(source, rngs, configuration)
    for k, seed in enumerate(SEEDS):
        rng = np.random.default_rng(seed)
        alone = source.sample(rng, int(configuration[k]))
        assert np.array_equal(together.poses[k], [o.pose for o in alone.scene.objects])
        assert np.allclose(together.target_pose[k], alone.goal.target_pose, rtol=0, atol=1e-15)
        assert rng.random() == rngs[k].random(), "as many numbers were drawn"


@pytest.mark.parametrize(("name", "ranges"), [("shoe_push", "on"), ("book_push", "all"), ("a fixed scene", "all")])
def test_an_arrangement_does_not_depend_on_the_worlds_beside_it(name, ranges):
    randomisation = Randomisation.all() if ranges == "all" else Randomisation()
    source = SOURCES[name]()
    variants = make_variants(source, randomisation, "all")

    def draw(seeds):
        arrangements = Arrangements(source, variants, randomisation, len(seeds), 0)
        rngs = [np.random.default_rng(seed) for seed in seeds]
        return arrangements.draw(range(len(seeds)), rngs, None, [None] * len(seeds))

    for one, seed in zip(draw(SEEDS), SEEDS, strict=True):
        (alone,) = draw([seed])
        assert (one.variant, one.scale, one.configuration) == (alone.variant, alone.scale, alone.configuration)
        for field in ("object_pose", "furniture_pose", "hand_pose"):
            assert np.array_equal(getattr(one, field), getattr(alone, field)), field
        assert one.goal.to_dict() == alone.goal.to_dict()


@pytest.mark.parametrize("name", ["shoe_push", "book_push"])
def test_pushes_of_many_worlds_begin_where_those_of_one_do_and_there_the_hand_is_free(name):
    source = SOURCES[name]()
    variants = make_variants(source, Randomisation.off(), "all")
    rngs = [np.random.default_rng(seed) for seed in SEEDS]
    arrangements = Arrangements(source, variants, Randomisation.off(), len(rngs), 0)
    for start in arrangements.draw(range(len(rngs)), rngs, None, [None] * len(rngs)):
        scene = variants.starts[start.configuration].scene
        scene = scene.with_poses(dict(zip(scene.movable, start.object_pose, strict=True)))
        furniture = [o.name for o in scene.objects if not o.movable]
        scene = scene.with_poses(dict(zip(furniture, start.furniture_pose, strict=True)))
        assert np.array_equal(push_start(scene, start.goal), start.hand_pose)
        assert deepest_overlap(gripper_boxes(start.hand_pose, 0.0), scene_boxes(scene))[1] == ""


def test_goals_that_are_given_replace_the_sources_own_in_their_worlds_alone():
    source = SOURCES["shoe_push"]()
    variants = make_variants(source, Randomisation.off(), "all")
    arrangements = Arrangements(source, variants, Randomisation.off(), 3, 0)
    own = variants.starts[0].goal
    target = np.array(own.target_pose)
    target[0] -= 0.03
    given = Goal(own.object, target, instruction="nearer")
    starts = arrangements.draw(range(3), [np.random.default_rng(5) for _ in range(3)], 0, [None, given, None])
    assert starts[1].goal.to_dict() == given.to_dict()
    assert starts[0].goal.to_dict() == starts[2].goal.to_dict() != given.to_dict()
    assert np.array_equal(starts[0].object_pose, starts[1].object_pose)


@pytest.mark.parametrize("shift_m", [0.0, 0.02, 0.05, 0.3])
def test_the_deepest_overlap_of_many_worlds_is_that_of_each(shift_m):
    scene = load_task("shoe_rack").sample(np.random.default_rng(1))
    shapes = Shapes.of([scene])
    poses = np.array([[o.pose for o in scene.objects]] * 3)
    poses[1, 0, 2] += shift_m
    moved = shapes.owner == 1
    found = deepest_m(
        shapes.at(np.zeros(3, dtype=int), poses).only(moved), shapes.at(np.zeros(3, dtype=int), poses).only(~moved)
    )
    for k in range(3):
        here = scene.with_poses(dict(zip([o.name for o in scene.objects], poses[k], strict=True)))
        obj = here.objects[1]
        expected, _ = deepest_overlap(object_boxes(obj.model, obj.pose), scene_boxes(here, skip=[obj.name]))
        assert found[k] == pytest.approx(expected, abs=1e-12) or max(found[k], expected) <= 0.0


def test_hands_of_many_worlds_are_those_of_each():
    tcp = np.array([[0.4, 0.1, 0.2, 0.0, 1.0, 0.0, 0.0], [0.5, -0.1, 0.1, 0.5, 0.5, 0.5, -0.5]])
    hands = hands_at(tcp, 0.04)
    for k in range(2):
        for b, box in enumerate(gripper_boxes(tcp[k], 0.04)):
            assert np.allclose(hands.centre[k, b], box.centre) and np.allclose(hands.axes[k, b], box.axes)
            assert np.array_equal(hands.half[k, b], box.half)
