"""What happened in a stage is named rightly: every kind is produced on purpose in the simulated world, and only it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from scripted_world import TASK, ScriptedWorld

from iker_envs.events import By, Event, EventKind, Phase
from iker_envs.judging.happened import happened
from iker_envs.judging.trace import Trace
from iker_envs.scene import Grasp, Outcome, upright_pose
from iker_envs.vector_env import StageVectorEnv

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
    world.lead((0.22, 0.03, 0.2), (0.22, 0.03, 0.06), (0.28, 0.03, 0.06))


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


def press_from_above(world):
    world.keep(world.goal("box", (0.0, 0.10, 0)))
    world.lead((0.62, 0.0, 0.35), (0.62, 0.0, 0.20))
    world.wait(3)


def push_a_book_against_the_box(world):
    world.env.move("box", upright_pose([0.35, -0.12, 0.055]))
    world.env.move("book", upright_pose([0.35, 0.06, 0.105]))
    world.env.move("right", upright_pose([0.33, -0.35, 0.045]))
    world.keep(world.goal("book", (0, -0.07, 0)))
    world.lead((0.35, 0.12, 0.3), (0.35, 0.12, 0.19), (0.35, 0.05, 0.19), (0.35, 0.05, 0.35))


def push_over_the_end(world):
    world.env.move("box", upright_pose([0.62, -0.25, 0.155]))
    world.keep(world.goal("box", (0, -0.06, 0)))
    world.lead((0.62, -0.08, 0.35), (0.62, -0.08, 0.19), (0.62, -0.30, 0.19))


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


def set_it_down_on_its_toe(world):
    world.keep(world.goal("left", (0.0, -0.10, 0.0), grasp=True), world.grasp("left"))
    for _ in range(2):
        world.env.step(np.array([0, 0, 0, 0, 1.0, 0]))
    low = world.hand - np.array([0, 0, 0.07])
    world.lead(low)
    world.wait(3)


def take_it_out_of_the_hand(world):
    world.keep(world.goal("left", (0.28, -0.15, 0.10), grasp=True), world.grasp("left"))
    world.lead(world.hand + np.array([0, -0.02, 0.12]))
    world.env.move("left", upright_pose([0.33, 0.32, 0.045], 0.7))
    world.wait(2)


def push_it_away_afterwards(world):
    push_and_reach(world)
    world.finish()
    world.env.move("left", upright_pose([0.33, 0.25, 0.045]))


def hold_in_the_air_until_time_is_out(world):
    carry(world, (0.0, -0.10, 0.01), above_m=0.10, off_m=(0.0, 0.10))
    world.wait(80 - world.ticks)


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
    "hold_in_the_air_until_time_is_out": Case(
        hold_in_the_air_until_time_is_out,
        (K.DROPPED, K.OUT_OF_TIME, K.OFF_TARGET),
        ("time ran out before left was at its target: it was let go in the air and fell",),
    ),
    "drag_along_the_rack": Case(
        drag_along_the_rack,
        (K.SLIPPED, K.DROPPED, K.OFF_TARGET),
        ("book turned in the fingers", "held back by rack"),
    ),
    "set_it_down_on_its_toe": Case(
        set_it_down_on_its_toe,
        (K.MOVED_AFTERWARDS, K.OFF_TARGET),
        ("left moved by itself by", "down after the hand had let go of it"),
        {"by": By.ITSELF},
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
    "press_from_above": Case(
        press_from_above,
        (K.NOT_MOVED, K.OFF_TARGET),
        ("box did not move although the hand pressed on it; it ended 10 cm",),
    ),
    "push_a_book_against_the_box": Case(
        push_a_book_against_the_box,
        (K.LEANING, K.OFF_TARGET),
        ("book leans to the right against box",),
        {"other": "box"},
    ),
    "push_over_the_end": Case(
        push_over_the_end,
        (K.PUSHED_OFF, K.TIPPED_OVER, K.OFF_TARGET),
        ("box tipped over the right end of rack and fell",),
        {"other": "rack", "direction": "right end"},
    ),
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
    assert "somebody" not in outcome.reason or world.env.worlds.trace(0).moved
    kinds = [event.kind for event in happened(estimated(world.env.worlds.trace(0)))]
    assert kinds == list(case.kinds), "what a robot sees of it, without forces and only where it looked"


def estimated(trace: Trace) -> Trace:
    """The same as a robot sees it: no forces, and objects where it looks: before, when it begins, at the end."""
    rows = len(trace.object_pose)
    moves = [row for row, _ in trace.moved]
    seen = {0, trace.begun, trace.released, rows - 1, *moves, *(row - 1 for row in moves)}
    poses = np.array(trace.object_pose)
    poses[[row for row in range(rows) if row not in seen]] = np.nan
    if trace.held and trace.goal.object == "book":  # a held object is tracked
        poses = np.array(trace.object_pose)
    return replace(trace, object_pose=poses, contact_N=np.full(rows, np.nan))


def test_every_kind_is_produced_here():
    assert {kind for case in CASES.values() for kind in case.kinds} == set(EventKind)


def test_without_the_hands_pose_nothing_is_made_up(world):
    for act in (push_the_air, push_too_short, press_from_above, carry_and_reach):
        world.begin()
        act(world)
        world.finish()
        trace = world.env.worlds.trace(0)
        unknown = replace(trace, hand_pose=np.full_like(trace.hand_pose, np.nan))
        assert {event.kind for event in happened(unknown)} <= {EventKind.OFF_TARGET}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"contact_N": np.zeros(3)}, "as many forces, not"),
        ({"begun": 9, "released": 2}, "0 <= begun <= released"),
        ({"objects": ("box",)}, "a trace of 1 objects holds poses"),
    ],
)
def test_a_trace_that_cannot_be_is_refused(world, change, told):
    world.begin()
    push_the_air(world)
    world.finish()
    with pytest.raises(ValueError, match=told):
        replace(world.env.worlds.trace(0), **change)


def test_an_outcome_with_events_survives_json(world):
    world.begin()
    push_against_the_other_shoe(world)
    outcome = world.finish()
    again = Outcome.from_dict(json.loads(json.dumps(outcome.to_dict())))
    assert [e.to_dict() for e in again.happened] == [e.to_dict() for e in outcome.happened]
    assert again.happened[0].kind is EventKind.BLOCKED
    with pytest.raises(ValueError, match="kind is one of not_graspable, grasp_missed"):
        Event(kind="vanished", object="left")


def test_a_world_that_goes_on_from_a_saved_state_tells_the_same(world):
    world.begin()
    push_left(world, -0.10, 0.21)
    state = world.env.get_state()
    first = world.finish()
    world.begin()
    world.env.set_state(state)
    second = world.finish()
    assert first.reason == second.reason and "too far left" in first.reason


def test_worlds_of_a_batch_are_told_apart():
    env = StageVectorEnv(2, task=TASK, randomisation="off", autoreset_mode="disabled")
    with pytest.raises(ValueError, match="nothing was recorded"):
        env.worlds.trace(0)
    env.worlds.record()
    env.reset(seed=0)
    for _ in range(12):  # the first hand goes up, the second one into the shoe
        state = env.worlds.state
        way = state.object_pose[1, env.worlds.episode.object_index[1], :3] - state.gripper_pose[1, :3]
        way = way / np.abs(way).max()
        env.step(np.array([[0, 0, 1, 0, 0, 0], [*way, 0, 0, 0]]))
    env.finish()
    kinds = [[event.kind for event in happened(env.worlds.trace(w))] for w in range(2)]
    env.close()
    assert kinds[0][0] is EventKind.NOT_TOUCHED and EventKind.NOT_TOUCHED not in kinds[1]
