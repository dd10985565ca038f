"""Success as every shipped task and disturbance says it: good arrangements are accepted, typical wrong ones are not."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

import iker_envs
from iker_agent.disturb import load_disturbance
from iker_envs.geometry import pose_compose, quaternion_from_rotvec, quaternion_multiply
from iker_envs.judging.expression import parse
from iker_envs.scene import Scene
from iker_envs.task import load_task

NAMED = {name: load_task(name) for name in iker_envs.TASKS.values()}
DISTURBED = {name: load_disturbance(name)[1] for name in ("gap", "new_instruction", "snatch", "too_wide")}
TASKS = NAMED | DISTURBED
CASES = [(name, index) for name, task in TASKS.items() for index in range(len(task.configurations))]
every_configuration = pytest.mark.parametrize(("name", "index"), CASES)
SEEDS = range(3)
# Where a turn or shift of what was moved keeps a good arrangement good (metres, degrees).
SLIGHTLY_M = 0.006
SLIGHTLY_DEG = 3.0
NOISE_M = 0.005  # of an estimated pose
NOISE_DEG = 2.0


@cache
def solved(name: str, index: int, seed: int) -> tuple[Scene, Scene]:
    """The scene at the start, and the one in which every stage's goal is fulfilled."""
    task = TASKS[name]
    start = task.sample(np.random.default_rng(seed), index)
    end = start
    for stage in range(len(task.configuration(index).stages)):
        goal = task.goal(stage, end, index)
        end = end.with_poses({goal.object: goal.target_pose})
    return start, end


def goal_objects(name: str, index: int) -> list[str]:
    """The objects that the stages of a configuration move, each once."""
    return list(dict.fromkeys(stage.goal.object for stage in TASKS[name].configuration(index).stages))


def verdict(name: str, index: int, scene: Scene, start: Scene):
    return TASKS[name].judge(scene, start, index)


def shifted(scene: Scene, name: str, by_m) -> Scene:
    pose = np.array(scene.object(name).pose)
    pose[:3] += by_m
    return scene.with_poses({name: pose})


def turned(scene: Scene, name: str, axis, degrees: float) -> Scene:
    """An object turned about a base axis through its centre."""
    pose = np.array(scene.object(name).pose)
    turn = quaternion_from_rotvec(np.deg2rad(degrees) * np.array(axis, dtype=float))
    pose[3:] = quaternion_multiply(turn, pose[3:])
    return scene.with_poses({name: pose})


def on_its_side(scene: Scene, name: str) -> Scene:
    """An object rolled by 90 degrees about its own long axis, as low as before."""
    obj = scene.object(name)
    rolled = np.array(own_turn(scene, name, (1, 0, 0), 90).object(name).pose)
    rolled[2] += obj.model.half_height_m(rolled[3:]) - obj.model.half_height_m(obj.pose[3:])
    return scene.with_poses({name: rolled})


def noisy(scene: Scene, rng: np.random.Generator) -> Scene:
    """What an estimator with the stated noise sees of the movable objects."""
    for obj in scene.objects:
        if obj.movable:
            scene = shifted(scene, obj.name, rng.uniform(-1, 1, 3) * NOISE_M / np.sqrt(3))
            axis = rng.normal(size=3)
            scene = turned(scene, obj.name, axis / np.linalg.norm(axis), rng.uniform(-1, 1) * NOISE_DEG)
    return scene


def own_turn(scene: Scene, name: str, axis, degrees: float) -> Scene:
    """An object turned about one of its own axes through its centre."""
    turn = quaternion_from_rotvec(np.deg2rad(degrees) * np.array(axis, dtype=float))
    return scene.with_poses({name: pose_compose(scene.object(name).pose, np.array([0, 0, 0, *turn]))})


@every_configuration
@pytest.mark.parametrize("seed", SEEDS)
def test_the_annotated_end_is_success_and_the_start_is_not(name, index, seed):
    start, end = solved(name, index, seed)
    assert verdict(name, index, end, start).fulfilled, verdict(name, index, end, start).sentence()
    assert not verdict(name, index, start, start).fulfilled


@every_configuration
@pytest.mark.parametrize("seed", SEEDS)
def test_success_survives_the_noise_of_an_estimate(name, index, seed):
    start, end = solved(name, index, seed)
    rng = np.random.default_rng(seed)
    found = verdict(name, index, noisy(end, rng), noisy(start, rng))
    assert found.fulfilled, found.sentence()


@every_configuration
def test_a_little_further_along_and_turned_is_success_too(name, index):
    start, end = solved(name, index, 0)
    last = goal_objects(name, index)[-1]
    for sign in (1, -1):
        other = turned(shifted(end, last, [0, sign * SLIGHTLY_M, 0]), last, (0, 0, 1), sign * SLIGHTLY_DEG)
        found = verdict(name, index, other, start)
        assert found.fulfilled, found.sentence()


PAIRS = [("shoe_push", i) for i in range(10)] + [("gap", 0), ("new_instruction", 0), ("new_instruction", 1)]
PAIRS += [("book_push", i) for i in (1, 3, 5, 7, 9)] + [("book_reorient", i) for i in (2, 4, 7)]
PAIRS += [("book_stow", i) for i in range(10)]
PARTNERS = {"left_shoe": "right_shoe", "book": "other_book"}


@pytest.mark.parametrize(("name", "index"), PAIRS)
@pytest.mark.parametrize("by_m", [(0, 0.02, 0), (0, -0.02, 0), (-0.01, 0, 0)])
def test_a_pair_that_stands_a_little_elsewhere_is_success(name, index, by_m):
    start, end = solved(name, index, 0)
    own = goal_objects(name, index)[-1]
    end = shifted(shifted(end, own, by_m), PARTNERS[own], by_m)
    found = verdict(name, index, end, start)
    assert found.fulfilled, found.sentence()


OPEN_FORWARD = [("shoe_place", i) for i in (0, 1, 2, 3, 6, 7, 9)] + [("shoe_rack", i) for i in range(10)]


@pytest.mark.parametrize(("name", "index"), OPEN_FORWARD)
@pytest.mark.parametrize("forward_m", [0.035, -0.035])
def test_forward_and_back_within_the_rack_is_free_where_nothing_is_said_of_it(name, index, forward_m):
    start, end = solved(name, index, 0)
    for own in goal_objects(name, index):
        end = shifted(end, own, [forward_m, 0, 0])
    found = verdict(name, index, end, start)
    assert found.fulfilled, found.sentence()


# Judges "Clear the rack, then put the pair of shoes on it", as a person would say it.
CLEARED = """
moved(shoe_box, by_m=0.08) and upright(shoe_box) and (on(shoe_box, rack, overhang_m=0.06) or on(shoe_box, table))
and on(left_shoe, rack, overhang_m=0.06) and upright(left_shoe) and clear_of(left_shoe, shoe_box)
and on(right_shoe, rack, overhang_m=0.06) and upright(right_shoe) and clear_of(right_shoe, shoe_box)
and beside(left_shoe, right_shoe, own_side=left) and parallel(left_shoe, right_shoe)
"""


def test_an_open_instruction_is_fulfilled_in_several_ways_and_a_precise_one_in_its_own():
    start, end = solved("shoe_rack", 0, 0)
    criterion = parse(" ".join(CLEARED.split()), [obj.name for obj in start.objects])
    other = end
    for own, left_m in (("shoe_box", -0.2), ("left_shoe", 0.18), ("right_shoe", 0.04)):
        y = start.object("rack").pose[1] + left_m
        other = shifted(other, own, [0, y - other.object(own).pose[1], 0])
    off = shifted(end, "shoe_box", [-0.35, 0.1, -0.10])
    centred = shifted(end, "shoe_box", [0, -0.2, 0])
    scenes = (end, other, off, centred)
    assert [criterion.judge(scene, start).fulfilled for scene in scenes] == [True, True, True, False]
    assert [verdict("shoe_rack", 0, scene, start).fulfilled for scene in scenes] == [True, False, False, False]


@pytest.mark.parametrize("index", [0, 2, 4, 6, 8])
def test_a_book_is_pulled_over_the_edge_wherever_that_is_and_however_far_it_should_be(index):
    start, end = solved("book_push", index, 0)
    away = np.sign(end.object("book").pose[1] - end.object("other_book").pose[1])
    assert verdict("book_push", index, shifted(end, "book", [0, 0.04 * away, 0]), start).fulfilled
    assert verdict("book_push", index, shifted(end, "book", [0.015, 0, 0]), start).fulfilled
    assert not verdict("book_push", index, shifted(end, "book", [0.05, 0, 0]), start).fulfilled
    assert not verdict("book_push", index, shifted(end, "book", [-0.05, 0, 0]), start).fulfilled


@pytest.mark.parametrize(("name", "index"), [("too_wide", 0), *(("book_push", i) for i in (0, 1, 3, 4, 5, 6, 7, 9))])
def test_covers_look_alike_so_that_either_may_be_seen(name, index):
    start, end = solved(name, index, 0)
    found = verdict(name, index, own_turn(end, "book", (0, 0, 1), 180), start)
    assert found.fulfilled, found.sentence()


# What is wrong with an arrangement, as a change of the annotated one to the object that was moved last.
WRONG: dict[str, Callable[[Scene, str], Scene]] = {
    "12 cm too far left": lambda end, own: shifted(end, own, [0, 0.12, 0]),
    "12 cm too far right": lambda end, own: shifted(end, own, [0, -0.12, 0]),
    "off the edge": lambda end, own: shifted(end, own, [-0.30, 0, 0]),
    "in the air": lambda end, own: shifted(end, own, [0, 0, 0.05]),
    "through what is under it": lambda end, own: shifted(end, own, [0, 0, -0.05]),
    "upside down": lambda end, own: own_turn(end, own, (1, 0, 0), 180),
    "on its side": on_its_side,
    "back to front": lambda end, own: turned(end, own, (0, 0, 1), 180),
    "turned by 60 degrees": lambda end, own: turned(end, own, (0, 0, 1), 60),
}
PULLED = {("book_push", index) for index in (0, 2, 4, 6, 8)}
# Not wrong after all: the instruction leaves it open.
OPEN = {
    "12 cm too far left": PULLED,
    "12 cm too far right": PULLED,
    "upside down": {("book_push", 2), ("book_push", 8)},  # lie on the other cover, spine to the robot
    "back to front": {("too_wide", 0)},  # shows the other cover
}


@pytest.mark.parametrize(
    ("name", "index", "fault"), [(*case, fault) for fault in WRONG for case in CASES if case not in OPEN.get(fault, ())]
)
def test_what_is_wrong_is_no_success_and_a_clause_says_what(name, index, fault):
    start, end = solved(name, index, 0)
    found = verdict(name, index, WRONG[fault](end, goal_objects(name, index)[-1]), start)
    assert not found.fulfilled
    assert found.sentence()


@pytest.mark.parametrize(("name", "index"), [case for case in CASES if case not in PULLED])
def test_the_other_side_of_what_it_should_stand_at_is_no_success(name, index):
    start, end = solved(name, index, 0)
    goal = TASKS[name].configuration(index).stages[-1].goal
    offset = end.object(goal.object).pose[1] - end.object(goal.relative_to).pose[1]
    found = verdict(name, index, shifted(end, goal.object, [0, -2 * offset, 0]), start)
    assert found.fulfilled == (abs(offset) < SLIGHTLY_M), "what is on the middle has no other side"


@every_configuration
def test_only_some_of_the_objects_in_place_is_no_success(name, index):
    start, end = solved(name, index, 0)
    for missing in goal_objects(name, index):
        without = end.with_poses({missing: start.object(missing).pose})
        assert not verdict(name, index, without, start).fulfilled, missing


@every_configuration
def test_the_wrong_object_moved_is_no_success(name, index):
    start, end = solved(name, index, 0)
    names = goal_objects(name, index)
    others = [obj.name for obj in start.objects if obj.movable and obj.name not in names]
    for other in others:
        swapped = end.with_poses({other: end.object(names[-1]).pose, names[-1]: start.object(names[-1]).pose})
        assert not verdict(name, index, swapped, start).fulfilled
        assert not verdict(name, index, shifted(end, other, [0.0, 0.0, -0.06]), start).fulfilled


@every_configuration
def test_one_object_inside_another_is_no_success(name, index):
    start, end = solved(name, index, 0)
    last = goal_objects(name, index)[-1]
    for other in (obj.name for obj in start.objects if obj.movable and obj.name != last):
        pose = np.array(end.object(other).pose)
        pose[1] += 0.01
        pose[3:] = end.object(last).pose[3:]
        assert not verdict(name, index, end.with_poses({last: pose}), start).fulfilled, other
