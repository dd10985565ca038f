"""Items that were written from their documentation alone: all conditions, worlds and ways to be wrong are judged as a
person would, and what has only the words wrong is refused when it is loaded."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import yaml
from item_names import expected_answers

from iker_agent.experiments.annotated_items import AnnotatedItem
from iker_agent.experiments.carrying_out import carry_out
from iker_agent.experiments.items import Item, load_items, read_items
from iker_agent.vlm.types import Message, Part, Request
from iker_envs.geometry import IDENTITY_QUATERNION
from iker_envs.judging.relations import CONDITIONS
from iker_envs.scene import Goal, position_and_angles

FOLDER = Path(__file__).parent / "data" / "outside_items"
EXPECTED = expected_answers(FOLDER)
GOALS = [name for name, expects in EXPECTED.items() if expects == "goal"]
UP = np.array([0, 0, 1.0, 0, 0, 0, 0])


@cache
def outside() -> dict[str, Item]:
    """The items by name."""
    return {item.name: item for path in sorted(FOLDER.glob("*.yaml")) for item in read_items(path)}


def fulfilled(item: Item, ends) -> bool:
    start = item.scene()
    return item.task.judge(start.with_poses(ends), start, item.configuration).fulfilled


def test_they_try_every_condition_and_every_answer():
    """Reading them has tried their solutions, wrongs and starts."""
    items = outside()
    assert {name: item.expects for name, item in items.items()} == EXPECTED
    text = " ".join(item.task.configuration(0).success for item in items.values())
    assert [name for name in CONDITIONS if f"{name}(" not in text] == ["overhangs"]
    assert {item.expects for item in items.values()} == {"goal", "done", "impossible"} and len(items) >= 36
    assert sum(len(item.wrongs) for item in items.values()) >= 170


@pytest.mark.parametrize("name", GOALS)
def test_nothing_may_hang_in_the_air_be_left_out_or_be_in_something_else(name):
    item = outside()[name]
    starts = {obj.name: obj.pose for obj in item.scene().objects if obj.movable}
    solid = [obj for obj in item.scene().objects if not obj.movable and obj.model.shape == "box"]
    for number, ends in enumerate(item.solutions):
        cases = {
            f"{n} {100 * up:.0f} cm up": {**ends, n: ends.get(n, starts[n]) + up * UP}
            for n in starts
            for up in (0.02, 0.2)
        }
        cases |= {f"{n} is left": {m: ends[m] for m in ends if m != n} for n in ends}
        for other in (n for n in starts if n not in ends):
            inside = starts[other] + 0.015 * UP
            cases |= {f"{n} in {other}": {**ends, n: np.array([*inside[:3], *ends[n][3:]])} for n in ends}
        cases |= {f"{n} in {f.name}": {**ends, n: np.array([*f.pose[:3], *ends[n][3:]])} for n in ends for f in solid}
        assert [what for what, case in cases.items() if fulfilled(item, case)] == [], number


@pytest.mark.slow
@pytest.mark.parametrize("name", GOALS)
def test_solutions_are_right_after_physics_too(name):
    item = outside()[name]
    start = item.scene()
    for ends in item.solutions:
        scene = start
        for moved, pose in ends.items():
            scene = carry_out(scene, Goal(moved, pose, True)).scene
        found = item.task.judge(scene, start, item.configuration)
        assert found.fulfilled, found.sentence()


# ------------------------------------------------------------------------------- an object that is moved more than once


def test_where_two_change_places_the_annotation_moves_one_of_them_twice(warm_programs):
    item = next(item for item in load_items("hard") if item.name == "change_places")
    stages = item.task.configuration(0).stages
    assert [stage.goal.object for stage in stages] == ["red_brick", "blue_brick", "red_brick"]
    vlm, scene = AnnotatedItem(item, "poses"), item.scene()
    for number, stage in enumerate(stages):
        poses = {obj.name: position_and_angles(obj.pose) for obj in scene.objects}
        text = vlm.complete(Request((Message("user", (Part("now"),)),), {"poses": poses})).text
        assert stage.programs["poses"].strip() in text, number
        goal = item.task.goal(number, scene, 0)
        scene = scene.with_poses({goal.object: goal.target_pose})
    poses = {obj.name: position_and_angles(obj.pose) for obj in scene.objects}
    assert "where it should be" in vlm.complete(Request((Message("user", (Part("now"),)),), {"poses": poses})).text
    assert item.task.judge(scene, item.scene(), 0).fulfilled


@pytest.mark.parametrize("bad", [[], [3], "mug", [{"mug": {}}, []]])
def test_moves_that_make_no_sense_are_told(bad, tmp_path):
    content = {
        "objects": {
            "tray": {"model": "tray_grey", "position_m": [0.6, 0.0, 0.0], "movable": False},
            "mug": {"model": "mug_red", "position_m": [0.36, 0.2, 0.0]},
        },
        "items": [
            {
                "name": "one",
                "tier": "hard",
                "skills": ["planning"],
                "instruction": "Put the mug on the tray",
                "success": "on(mug, tray)",
                "solutions": [{"mug": {"on": "tray", "at_m": [0.6, 0.0]}}],
                "wrongs": {"odd": bad},
            }
        ],
    }
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.raises(ValueError, match=r"moves nothing|a mapping from objects to places, or a list of such mappings"):
        read_items(path)


def test_a_bridge_is_held_at_both_ends_and_a_beam_over_an_edge_is_not(rack_scene):
    from iker_agent.asking.placing import Placement

    item = next(item for item in load_items("hard") if item.name == "bridge")
    scene = item.scene()
    placement = Placement(scene, scene.object("long_red_brick"), True)
    for ends in item.solutions:
        assert placement.fault(ends["long_red_brick"]) is None
    for y in (0.225 + 0.12, 0.225 - 0.12):  # over one of them alone, its middle beside that
        beam = np.array([0.34, y, 0.075, *IDENTITY_QUATERNION])
        beam[3:] = item.solutions[0]["long_red_brick"][3:]
        fault = placement.fault(beam)
        assert fault is not None and fault.kind == "support", y
