"""Arrangements that might fool a judge, in every configuration of every task and disturbance: none is success."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from test_task_success import CASES, PULLED, goal_objects, on_its_side, own_turn, shifted, solved, turned, verdict

from iker_envs.judging.bodies import body_of, support_under
from iker_envs.scene import Scene

Arrangements = Callable[[Scene, str], Iterator[Scene]]


def furniture_under(scene: Scene, own: str) -> str:
    """The furniture on which an object rests; empty for the table."""
    body = body_of(scene, own)
    tops = {o.name: support_under(body, body_of(scene, o.name), 0.02) for o in scene.objects if not o.movable}
    return next((n for n, top in tops.items() if top is not None and body.lowest_m - top < 0.02), "")


def neighbours(scene: Scene, own: str) -> list[str]:
    return [o.name for o in scene.objects if o.movable and o.name != own]


def placed(scene: Scene, own: str, **coordinates: float) -> Scene:
    pose = np.array(scene.object(own).pose)
    for axis, value in coordinates.items():
        pose["xyz".index(axis)] = value
    return scene.with_poses({own: pose})


def as_low(scene: Scene, before: Scene, own: str) -> Scene:
    """An object raised until its lowest point is as high as before."""
    return shifted(scene, own, [0, 0, body_of(before, own).lowest_m - body_of(scene, own).lowest_m])


def leaning(axis: tuple[int, int, int], degrees: float) -> Arrangements:
    def arrange(end, own):
        yield as_low(own_turn(end, own, axis, degrees), end, own)

    return arrange


def half_off(axis: str, side: int) -> Arrangements:
    """The centre is just over the border of the furniture."""

    def arrange(end, own):
        if base := furniture_under(end, own):
            edge = body_of(end, base).extent("xy".index(axis))[side]
            yield placed(end, own, **{axis: edge + (0.01 if side == 0 else -0.01)})

    return arrange


def swapped(end, own):
    for other in neighbours(end, own):
        yield end.with_poses({own: end.object(other).pose, other: end.object(own).pose})


def mirrored(end, own):
    base = furniture_under(end, own)
    middle = end.object(base).pose[1] if base else 0.0
    if base and abs(end.object(own).pose[1] - middle) > 0.02:
        for name in [own, *neighbours(end, own)]:
            end = placed(end, name, y=2 * middle - end.object(name).pose[1])
        yield end


def on_top_of_another(end, own):
    for other in neighbours(end, own):
        x, y = end.object(other).pose[:2]
        top = float(body_of(end, other).corners[:, 2].max())
        yield placed(end, own, x=x, y=y, z=end.object(own).pose[2] + top - body_of(end, own).lowest_m)


def half_inside_another(end, own):
    for other in neighbours(end, own):
        x, y = end.object(other).pose[:2]
        yield placed(end, own, x=x + 0.02, y=y + 0.02)


def below_the_furniture(end, own):
    if furniture_under(end, own):
        yield shifted(end, own, [0, 0, -body_of(end, own).lowest_m])


def neighbour_on_its_side(end, own):
    yield from (on_its_side(end, other) for other in neighbours(end, own))


def neighbour_gone(end, own):
    yield from (shifted(end, other, [-0.3, 0.3, 0]) for other in neighbours(end, own))


def neighbour_turned(end, own):
    yield from (turned(end, other, (0, 0, 1), 90) for other in neighbours(end, own))


FOOLING: dict[str, Arrangements] = {
    "swapped with another object": swapped,
    "mirrored": mirrored,
    "on top of another object": on_top_of_another,
    "half inside another object": half_inside_another,
    "below the furniture": below_the_furniture,
    "the neighbour on its side": neighbour_on_its_side,
    "the neighbour gone": neighbour_gone,
    "the neighbour turned": neighbour_turned,
    **{
        f"leaning by {degrees} about {'xy'[axis]}": leaning(((1, 0, 0), (0, 1, 0))[axis], degrees)
        for axis in (0, 1)
        for degrees in (25, -25, 50)
    },
    **{f"half over the {way} border": half_off(*where) for way, where in {
        "near": ("x", 0), "far": ("x", 1), "right": ("y", 0), "left": ("y", 1)}.items()},
    "lying where it should stand": lambda end, own: iter([as_low(own_turn(end, own, (0, 1, 0), 90), end, own)]),
    "turned by 25 degrees": lambda end, own: iter([turned(end, own, (0, 0, 1), 25)]),
    "turned back by 25 degrees": lambda end, own: iter([turned(end, own, (0, 0, 1), -25)]),
}  # fmt: skip
# A book that is pulled over the front edge by half its length is within the 3 cm of what was asked.
OPEN = {"half over the near border": {case for case in PULLED if case[1] in (2, 8)}}


@pytest.mark.parametrize("fault", FOOLING)
def test_no_judge_is_fooled(fault):
    tried = 0
    for name, index in CASES:
        if (name, index) in OPEN.get(fault, ()):
            continue
        start, end = solved(name, index, 0)
        for own in goal_objects(name, index):
            for scene in FOOLING[fault](end, own):
                found = verdict(name, index, scene, start)
                assert not found.fulfilled and found.sentence(), f"{name} {index}: {own}"
                tried += 1
    assert tried > 10
