"""What happened in a stage is named rightly: every kind is produced on purpose in the simulated world, and only it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
from scripted_world import ScriptedWorld

from iker_envs.events import By, EventKind, Phase
from iker_envs.scene import Grasp, upright_pose

K = EventKind


@dataclass(frozen=True)
class Case:
    """What is done, the kinds that are named for it in their order, and what the first one and the sentence say."""

    act: Callable[[ScriptedWorld], None]
    kinds: tuple[EventKind, ...]
    says: tuple[str, ...] = ()  # parts of the sentence
    first: dict = field(default_factory=dict)  # fields of the first event


# -- pushes ----------------------------------------------------------------------------------------------------------


def push_left(world: ScriptedWorld, shift_m: float, to_y: float) -> None:
    """The left shoe should go so far to the right; the hand pushes its outer side until it is at `to_y`."""
    world.keep(world.goal("left", (0, shift_m, 0)))
    world.lead((0.33, 0.32, 0.12), (0.33, 0.32, 0.05), (0.33, to_y, 0.05))


def push_and_reach(world):
    push_left(world, -0.10, 0.165)


def push_too_short(world):
    push_left(world, -0.10, 0.21)


def push_the_air(world):
    world.keep(world.goal("left", (0, -0.10, 0)))
    world.lead((0.33, 0.32, 0.3), (0.33, 0.05, 0.3))


def press_on_the_box(world):
    world.env.move("box", upright_pose([0.33, 0.35, 0.055]))
    world.keep(world.goal("left", (0, -0.10, 0)))
    world.lead((0.33, 0.35, 0.2), (0.33, 0.35, 0.10))


def push_against_the_other_shoe(world):
    world.env.move("right", upright_pose([0.33, 0.02, 0.045]))
    push_left(world, -0.14, 0.175)


def push_against_the_rack(world):
    world.env.move("left", upright_pose([0.33, 0.35, 0.045]))
    world.env.move("right", upright_pose([0.33, -0.25, 0.045]))
    world.env.move("box", upright_pose([0.36, 0.03, 0.055], np.pi / 2))
    world.keep(world.goal("box", (0.15, 0, 0)))
    world.lead((0.22, 0.03, 0.2), (0.22, 0.03, 0.06), (0.30, 0.03, 0.06))


def push_and_shove_the_other_shoe(world):
    world.env.move("right", upright_pose([0.33, 0.05, 0.045]))
    push_left(world, -0.10, 0.165)


def push_and_knock_the_book_over(world):
    world.env.move("book", upright_pose([0.33, 0.10, 0.105]))
    push_left(world, -0.10, 0.165)


def push_off_the_right_end(world):
    world.keep(world.goal("box", (0, -0.15, 0)))
    world.lead((0.62, 0.15, 0.3), (0.62, 0.15, 0.125), (0.62, -0.40, 0.125))


def push_a_standing_book_over(world):
    world.env.move("book", upright_pose([0.35, 0.05, 0.105]))
    world.keep(world.goal("book", (0, -0.10, 0)))
    world.lead((0.35, 0.12, 0.3), (0.35, 0.12, 0.20), (0.35, -0.02, 0.20))


def push_until_time_is_out(world):
    world.keep(world.goal("left", (0, -0.20, 0)))
    world.lead((0.33, 0.32, 0.12))
    world.wait(80 - world.ticks - 8)
    world.lead((0.33, 0.30, 0.05), (0.33, 0.10, 0.05))


# -- carries ---------------------------------------------------------------------------------------------------------


def carry(world: ScriptedWorld, shift_m=(0.28, -0.15, 0.10), *, above_m: float = 0.0, off_m=(0.0, 0.0)):
    """Lift the left shoe and hold it over its target, or so far off it."""
    goal = world.goal("left", shift_m, grasp=True)
    world.keep(goal, world.grasp("left"))
    above = world.hand + np.array([0, 0, 0.12])
    place = goal.target_pose[:3] + (world.hand - world.pose("left")[:3]) + np.array([*off_m, above_m])
    world.lead(above, [*place[:2], above[2]], place)
    world.wait(2)


def carry_and_reach(world):
    world.env.move("box", upright_pose([0.62, -0.18, 0.155]))
    carry(world)


def grasp_the_air(world):
    goal = world.goal("left", (0.2, -0.1, 0.1), grasp=True)
    grasp = world.grasp("left")
    world.keep(goal, Grasp(grasp.tcp_pose + np.array([0, 0, 0.1, 0, 0, 0, 0]), grasp.width_m))
    world.wait(2)


def grasp_beside(world):
    world.env.move("book", upright_pose([0.36, 0.0, 0.105]))
    goal = world.goal("book", (0.2, -0.1, 0.1), grasp=True)
    grasp = world.grasp("book")
    world.keep(goal, Grasp(grasp.tcp_pose + np.array([0, 0.045, 0, 0, 0, 0, 0]), grasp.width_m))
    world.wait(2)


def grasp_what_is_too_wide(world):
    world.keep(world.goal("box", (0, 0.1, 0.1), grasp=True))


def let_go_in_the_air(world):
    carry(world, (0.0, -0.10, 0.15))


def drag_along_the_rack(world):
    world.env.move("box", upright_pose([0.62, 0.2, 0.155]))
    world.env.move("book", upright_pose([0.38, -0.02, 0.105]))
    world.keep(world.goal("book", (0.2, 0, 0.1), grasp=True), world.grasp("book"))
    low = world.hand - [0, 0, 0.06]
    world.lead(low, low + np.array([0.25, 0, 0]))


def take_it_out_of_the_hand(world):
    world.keep(world.goal("left", (0.28, -0.15, 0.10), grasp=True), world.grasp("left"))
    world.lead(world.hand + np.array([0, -0.02, 0.12]))
    world.env.move("left", upright_pose([0.33, 0.32, 0.045], 0.7))
    world.wait(2)


def push_it_away_afterwards(world):
    push_and_reach(world)
    world.finish()
    world.env.move("left", upright_pose([0.33, 0.25, 0.045]))


def release_at_the_edge(world):
    world.env.move("box", upright_pose([0.62, -0.18, 0.155]))
    carry(world, (0.12, -0.05, 0.10))


CARRIES = {
    "carry_and_reach": Case(carry_and_reach, ()),
    "grasp_the_air": Case(
        grasp_the_air, (K.GRASP_MISSED, K.OFF_TARGET), ("the fingers closed on nothing: left was not lifted",)
    ),
    "grasp_beside": Case(
        grasp_beside, (K.GRASP_MISSED, K.TIPPED_OVER, K.OFF_TARGET), ("did not hold book: it tipped over",)
    ),
    "grasp_what_is_too_wide": Case(
        grasp_what_is_too_wide, (K.NOT_GRASPABLE, K.OFF_TARGET), ("box cannot be grasped:",)
    ),
    "let_go_in_the_air": Case(let_go_in_the_air, (K.DROPPED, K.OFF_TARGET), ("let go in the air and fell 1",)),
    "drag_along_the_rack": Case(
        drag_along_the_rack,
        (K.SLIPPED, K.DROPPED, K.OFF_TARGET),
        ("book slipped out of the fingers", "held back by rack"),
    ),
    "take_it_out_of_the_hand": Case(take_it_out_of_the_hand, (K.TAKEN_AWAY, K.OFF_TARGET), ("somebody moved left by",)),
    "push_it_away_afterwards": Case(
        push_it_away_afterwards,
        (K.MOVED_AFTERWARDS, K.OFF_TARGET),
        ("somebody moved left by", "to the left"),
        {"by": By.SOMEBODY},
    ),
    "release_at_the_edge": Case(
        release_at_the_edge, (K.PUSHED_OFF, K.LEANING, K.OFF_TARGET), ("left fell off rack after the hand", "near edge")
    ),
}

CASES = {
    "push_and_reach": Case(push_and_reach, ()),
    "push_too_short": Case(push_too_short, (K.OFF_TARGET,), ("left ended", "too far left")),
    "push_the_air": Case(push_the_air, (K.NOT_TOUCHED, K.OFF_TARGET), ("did not touch left",)),
    "press_on_the_box": Case(press_on_the_box, (K.NOT_TOUCHED, K.OFF_TARGET), ("pressed on box",), {"other": "box"}),
    "push_against_the_other_shoe": Case(
        push_against_the_other_shoe, (K.BLOCKED, K.OFF_TARGET), ("stopped by right",), {"other": "right"}
    ),
    "push_against_the_rack": Case(
        push_against_the_rack, (K.BLOCKED, K.OFF_TARGET), ("stopped by rack",), {"other": "rack"}
    ),
    "push_and_shove_the_other_shoe": Case(
        push_and_shove_the_other_shoe,
        (K.MOVED_OTHER,),
        ("reached its target, but right was moved by",),
        {"other": "right"},
    ),
    "push_and_knock_the_book_over": Case(
        push_and_knock_the_book_over, (K.TIPPED_OVER,), ("book was tipped over",), {"object": "book"}
    ),
    "push_off_the_right_end": Case(
        push_off_the_right_end,
        (K.PUSHED_OFF, K.OFF_TARGET),
        ("box was pushed off rack", "right end"),
        {"other": "rack", "direction": "right end", "phase": Phase.ACTING},
    ),
    "push_a_standing_book_over": Case(
        push_a_standing_book_over, (K.TIPPED_OVER, K.OFF_TARGET), ("book tipped over to the right",)
    ),
    "push_until_time_is_out": Case(push_until_time_is_out, (K.OUT_OF_TIME, K.OFF_TARGET), ("time ran out",)),
    **CARRIES,
}


@pytest.fixture(scope="module")
def world() -> ScriptedWorld:
    return ScriptedWorld()


@pytest.mark.parametrize("name", CASES)
def test_what_happened_is_named_and_nothing_else(name, world):
    case = CASES[name]
    world.begin()
    case.act(world)
    outcome = world.finish()
    assert tuple(e.kind for e in outcome.happened) == case.kinds, outcome.reason
    for part in case.says:
        assert part in outcome.reason
    for key, value in case.first.items():
        assert getattr(outcome.happened[0], key) == value
