"""What happened is named rightly where a stage fails in a less common way: each was named wrongly once."""

from __future__ import annotations

import numpy as np
import pytest
from scripted_world import ScriptedWorld
from test_happened import Case, estimated, push_left

from iker_envs.events import By, EventKind
from iker_envs.judging.happened import happened
from iker_envs.scene import upright_pose

K = EventKind


def press_a_tilted_book_down(world):
    world.env.move("left", upright_pose([0.33, 0.12, 0.045]))
    world.env.move("box", upright_pose([0.33, -0.14, 0.055]))
    world.env.move("right", upright_pose([0.33, -0.35, 0.045]))
    world.env.move("book", upright_pose([0.33, 0.02, 0.105]))
    world.keep(world.goal("book", (0, -0.03, 0), grasp=True), world.grasp("book"))
    for _ in range(4):
        world.env.step(np.array([0, 0, 0, -1.0, 0, 0]))
    low = world.env.worlds.episode.commanded_pose[0, :3] - [0, 0.02, 0.1]
    world.hand = world.env.worlds.episode.commanded_pose[0, :3].copy()
    world.lead(low)
    world.wait(2)


def grasp_the_neighbour(world):
    world.env.move("right", upright_pose([0.33, 0.06, 0.045]))
    world.keep(world.goal("left", (0.2, -0.1, 0.1), grasp=True), world.grasp("right"))
    world.wait(2)


def let_a_tilted_book_go(world):
    world.env.move("book", upright_pose([0.33, 0.02, 0.105]))
    world.env.move("right", upright_pose([0.33, -0.3, 0.045]))
    world.keep(world.goal("book", (0, -0.10, 0), grasp=True), world.grasp("book"))
    for _ in range(3):
        world.env.step(np.array([0, 0, 0, 1.0, 0, 0]))
    world.hand = world.env.worlds.episode.commanded_pose[0, :3].copy()
    place = world.hand - np.array([0, 0.08, 0])
    world.lead(place, place - np.array([0, 0, 0.1]))
    world.wait(2)


def carry_until_time_is_out(world):
    world.keep(world.goal("left", (0.28, -0.15, 0.10), grasp=True), world.grasp("left"))
    above = world.hand + np.array([0, 0, 0.12])
    world.lead(above)
    world.wait(80 - world.ticks - 6)
    world.lead(above + np.array([0.28, -0.15, 0.08]))


def push_the_neighbour_off_the_rack(world):
    world.env.move("left", upright_pose([0.62, 0.02, 0.145]))
    world.env.move("box", upright_pose([0.62, -0.20, 0.155]))
    world.keep(world.goal("left", (0, -0.21, 0)))
    world.lead((0.62, 0.22, 0.3), (0.62, 0.16, 0.15), (0.62, -0.14, 0.15))


def push_while_somebody_moves_the_book(world):
    push_left(world, -0.10, 0.165)
    world.env.move("book", upright_pose([0.26, -0.2, 0.105]))


CASES = {
    "press_a_tilted_book_down": Case(
        press_a_tilted_book_down,
        (K.SLIPPED, K.TIPPED_OVER, K.OFF_TARGET),
        ("book slipped out of the fingers", "held back by", "it tipped over to the left"),
    ),
    "grasp_the_neighbour": Case(
        grasp_the_neighbour,
        (K.GRASP_MISSED, K.OFF_TARGET),
        ("the fingers took right in the place of left",),
        {"other": "right"},
    ),
    "let_a_tilted_book_go": Case(
        let_a_tilted_book_go,
        (K.DROPPED, K.TIPPED_OVER, K.OFF_TARGET),
        ("book was let go in the air and fell 3", "it tipped over to the right and ended"),
    ),
    "carry_until_time_is_out": Case(
        carry_until_time_is_out,
        (K.DROPPED, K.OUT_OF_TIME, K.OFF_TARGET),
        ("time ran out before left was at its target: it was let go in the air",),
    ),
    "push_the_neighbour_off_the_rack": Case(
        push_the_neighbour_off_the_rack,
        (K.PUSHED_OFF,),
        ("reached its target, but box was pushed off rack, over its right end, and fell 10 cm",),
        {"object": "box", "other": "rack"},
    ),
    "push_while_somebody_moves_the_book": Case(
        push_while_somebody_moves_the_book,
        (K.MOVED_OTHER,),
        ("reached its target, but somebody moved book by 19 cm to the left",),
        {"by": By.SOMEBODY},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_happened_is_named_and_nothing_else(name):
    case = CASES[name]
    world = ScriptedWorld()
    world.begin()
    case.act(world)
    outcome = world.finish()
    assert tuple(e.kind for e in outcome.happened) == case.kinds, outcome.reason
    for part in case.says:
        assert part in outcome.reason
    for key, value in case.first.items():
        assert getattr(outcome.happened[0], key) == value
    kinds = [event.kind for event in happened(estimated(world.env.worlds.trace(0)))]
    assert kinds == list(case.kinds), "what a robot sees of it, without forces and only where it looked"
