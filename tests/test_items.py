"""Items: every file of the package and whatever is added to it is held to the same; conditions judge solutions and
wrongs as the files name them, and what is wrong with a file is told."""

from __future__ import annotations

import copy
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import yaml
from item_names import expected_answers

from iker_agent.authoring.check import check_configuration
from iker_agent.experiments.items import EXPECTS, SKILLS, TIERS, Item, load_items, read_items
from iker_agent.program import run_program
from iker_agent.program.signatures import CONTRACTS
from iker_agent.vlm.annotated import AnnotatedVLM
from iker_envs.physics.transfer import settle
from iker_envs.task import load_task

EXPECTED = expected_answers(Path(str(files("iker_cfg").joinpath("items"))))
MOVING = [name for name, expects in EXPECTED.items() if expects == "goal"]

FILE = """
objects:
  tray: {model: tray_grey, position_m: [0.60, 0.0, 0.0], movable: false}
  mug: {model: mug_red, position_m: [0.36, 0.2, 0.0], yaw_deg: 90}
items:
  - name: one
    tier: natural
    skills: [grounding]
    instruction: Put the mug on the tray
    success: on(mug, tray)
    solutions: [{mug: {on: tray, at_m: [0.6, 0.0]}}]
    wrongs: {untidy: {mug: {at_m: [0.4, 0.1]}}}
"""
# What the words leave open: both shoes may be moved to make a pair, and the lower brick of a tower.
FREE = {"make_a_pair": ("left_shoe", "right_shoe"), "tower_red_on_blue": ("blue_brick",)}


@cache
def own() -> dict[str, Item]:
    """The items that are written out, by name."""
    return {item.name: item for tier in ("natural", "hard") for item in load_items(tier)}


def verdict(item: Item, ends):
    start = item.scene()
    return item.task.judge(start.with_poses(ends), start, item.configuration)


def test_there_are_as_many_as_the_benchmark_promises():
    precise, natural, hard = (load_items(tier) for tier in TIERS)
    assert len(precise) == 60 and len(natural) >= 36 and len(hard) >= 55
    assert {name: item.expects for name, item in own().items()} == EXPECTED, "every one of them is tried below"
    for expects in EXPECTS[1:]:
        assert sum(item.expects == expects for item in hard) >= 6, expects
    assert {skill for item in (*precise, *own().values()) for skill in item.skills} == set(SKILLS)
    for tier in (natural, hard):
        thorough = [i for i in tier if i.expects == "goal" and len(i.solutions) >= 2 and len(i.wrongs) >= 4]
        assert len(thorough) >= 10, "two good solutions and, with the untouched start, five wrong ones"


@pytest.mark.parametrize("name", EXPECTED)
def test_solutions_are_right_and_wrongs_and_the_untouched_start_are_not(name):
    item = own()[name]
    assert verdict(item, {}).fulfilled == (item.expects != "goal"), "where nothing is to be moved the start is right"
    for number, ends in enumerate(item.solutions):
        found = verdict(item, ends)
        assert found.fulfilled, (number, found.sentence())
    assert item.wrongs, "a condition that nothing fails says nothing"
    for kind, ends in item.wrongs.items():
        found = verdict(item, ends)
        assert not found.fulfilled and found.sentence(), kind


@pytest.mark.parametrize("name", MOVING)
def test_what_every_instruction_rules_out_is_wrong(name):
    """Something held up or left out of a right end, and something else moved with it."""
    item = own()[name]
    up, aside = np.array([0, 0, 0.2, 0, 0, 0, 0]), np.array([-0.06, 0, 0, 0, 0, 0, 0])
    starts = {obj.name: obj.pose for obj in item.scene().objects if obj.movable}
    for number, ends in enumerate(item.solutions):
        cases = {f"{n} is held up": {**ends, n: ends.get(n, starts[n]) + up} for n in starts}
        cases |= {f"{n} is left": {m: ends[m] for m in ends if m != n} for n in ends}
        others = [n for n in starts if n not in (*ends, *FREE.get(name, ()))]
        cases |= {f"{n} is moved": {**ends, n: starts[n] + aside} for n in others}
        assert [what for what, case in cases.items() if verdict(item, case).fulfilled] == [], number


@pytest.mark.parametrize("name", EXPECTED)
def test_an_answer_for_its_contract_is_at_hand(name):
    item = own()[name]
    assert item.task.configuration(0).instruction == item.instruction
    for contract in CONTRACTS:
        programs = AnnotatedVLM.of_task(item.task, item.configuration, contract).programs
        assert len(programs) >= len(item.solutions[0]), "one of them may be moved twice"


def test_no_two_ends_of_a_solution_are_the_same():
    for item in own().values():
        for one, other in zip(item.solutions, item.solutions[1:], strict=False):
            same = one.keys() == other.keys() and all(np.allclose(one[k], other[k], atol=1e-3) for k in one)
            assert not same, item.name


@pytest.mark.parametrize("name", [name for name in EXPECTED if name not in MOVING])
def test_scenes_in_which_nothing_is_to_be_moved_are_at_rest(name):
    settle(own()[name].scene())


@pytest.mark.slow
@pytest.mark.parametrize("name", MOVING)
def test_scenes_are_sound_and_goals_pass_the_checks_of_a_model_s_program(name):
    """At rest, visible, graspable, reachable, accepted, and programs of both contracts reproduce the goals."""
    assert check_configuration(own()[name].task, own()[name].configuration) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", MOVING)
def test_solutions_are_right_when_they_have_come_to_rest_too(name):
    item = own()[name]
    start = item.scene()
    for ends in item.solutions:
        rested = settle(start.with_poses(ends))
        assert item.task.judge(rested, start, item.configuration).fulfilled, ends


def test_an_item_from_outside_is_found(tmp_path, monkeypatch):
    (tmp_path / "mine.yaml").write_text(FILE)
    monkeypatch.setenv("IKER_ITEMS", str(tmp_path))
    (item,) = [item for item in load_items("natural") if item.name == "one"]
    assert verdict(item, item.solutions[0]).fulfilled and not verdict(item, {}).fulfilled
    code = item.task.configuration(0).stages[0].programs["poses"]
    result = run_program(code, {"mug": (0.36, 0.2, 0.036, 0.0, 0.0, 1.57), "tray": (0.6, 0.0, 0.015, 0, 0, 0)}, "poses")
    assert result.object == "mug" and result.grasp


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("wrongs: {untidy: {mug: {at_m: [0.4, 0.1]}}}", "wrongs: [mug]", "wrongs is a mapping"),
        ("untidy: {mug: {at_m: [0.4, 0.1]}}", "untidy: {}", "'untidy' moves nothing"),
        ("at_m: [0.4, 0.1]", "on: tray, at_m: [0.6, 0.1]", "the wrong 'untidy' is judged fulfilled"),
        (
            "{on: tray, at_m: [0.6, 0.0]}",
            "{at_m: [0.45, 0.3]}",
            "solution 1 is not judged fulfilled: mug is not on tray",
        ),
        ("{on: tray, at_m: [0.6, 0.0]}", "{at_m: [0.45, 1.3]}", "solution 1 puts mug out of the workspace"),
        ("success: on(mug", "success: not on(mug", "the untouched start is judged fulfilled"),
        ("solutions: [{mug: {on: tray, at_m: [0.6, 0.0]}}]", "expects: done", "the untouched start is not judged"),
        ("success: on(mug, tray)", "success: [on(mug, tray)]", r"'on\(mug' lacks a bracket; in a \[list\], quote"),
        ("success: on(mug, tray)", "success: [on(mug], upright(mug)]", "mine.yaml"),
        ("success: on(mug, tray)", "success: on(mug, tray) and on(mug, table)", "solution 1 is not judged fulfilled"),
        ("success: on(mug, tray)", "success: not between(mug, tray, tray)", "about three objects, not 'tray' twice"),
        ("success: on(mug, tray)", "success: near(mug, tray, within_m=2)", "between 0 and 0.5; 2 cm are 0.02"),
        ("on: tray, at_m: [0.6, 0.0]", "on: tray, at_m: [0.6, 0.0], up_m: 0.05", "mug is not on tray"),
        ("success: on(mug, tray)", "success: over(mug, tray)", "there is no condition 'over'"),
        ("instruction: Put the mug on the tray", "instruction: ' '", "instruction is what is asked"),
        ("on: tray, at_m: [0.6, 0.0]", "on: tray, at_m: [0.6, 0.0], grasp: push", "grasp of mug is true"),
        ("on: tray, at_m: [0.6, 0.0]", "on: '', at_m: [0.6, 0.0]", "cannot be on ''"),
        ("skills: [grounding]", "skills: [grounding]\n    without: mug", "without is a list, not 'mug'"),
        ("\nobjects:", "\ntask: no_such_task\nobjects:", "no_such_task"),
        ("\nobjects:", "\ntask: shoe_rack\nconfiguration: 99\nobjects:", "99"),
        ("tier: natural", "tier: easy", "tier is one of natural, hard, not 'easy'"),
        ("[grounding]", "[guessing]", "skills is a list of"),
        ("name: one", "name: ''", "name"),
        ("    success: on(mug, tray)\n", "", "needs success"),
        ("on(mug, tray)", "on(cup, tray)", "is 'cup'"),
        ("mug: {on: tray, at_m: [0.6, 0.0]}", "cup: {on: tray}", "what can be moved is: mug"),
        ("at_m: [0.6, 0.0]", "at_m: [0.6]", r"at_m of mug is \[x, y\]"),
        ("at_m: [0.6, 0.0]", "at_m: [0.2, 0.0]", "is not above tray"),
        ("{on: tray, at", "{on: sofa, at", "cannot be on 'sofa'"),
        ("mug_red", "mug_pink", "no object model 'mug_pink'"),
        ("    solutions: [{mug: {on: tray, at_m: [0.6, 0.0]}}]\n", "", "needs at least one solution"),
        ("    skills", "    expects: impossible\n    skills", "has no solutions"),
        ("    skills", "    without: [cup]\n    skills", "without names 'cup'"),
        ("    skills", "    colour: red\n    skills", "colour"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path, old, new, told):
    path = tmp_path / "mine.yaml"
    assert old in FILE
    path.write_text(FILE.replace(old, new, 1))
    with pytest.raises(ValueError, match=told) as caught:
        read_items(path)
    assert "mine.yaml" in str(caught.value)


def _nodes(value, path=()):
    """The paths of all values of a document."""
    if path:
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from _nodes(inner, (*path, key))


def test_whatever_stands_in_a_file_is_read_or_refused_in_one_sentence(tmp_path):
    path = tmp_path / "mine.yaml"
    right = yaml.safe_load(FILE.replace("{on:", "{'on':") + "    without: []\n    objects: {mug: {yaw_deg: 80}}\n")
    path.write_text(yaml.safe_dump(right))
    assert len(read_items(path)) == 1
    for where in _nodes(right):
        for bad in (None, 5, [1], {"a": [1]}, float("nan")):
            document = copy.deepcopy(right)
            inner = document
            for key in where[:-1]:
                inner = inner[key]
            inner[where[-1]] = bad
            path.write_text(yaml.safe_dump(document))
            try:
                read_items(path)
            except ValueError as error:
                assert "mine.yaml" in str(error) and "\n" not in str(error), (where, bad)


def test_a_task_s_scene_can_be_an_item_s():
    item, task = own()["get_hold_of_it"], load_task("book_push")
    start, origin = item.scene(), task.sample(None, 0)
    assert [(o.name, o.model.name) for o in start.objects] == [(o.name, o.model.name) for o in origin.objects]
    assert all(np.allclose(a.pose, b.pose) for a, b in zip(start.objects, origin.objects, strict=True))
    assert np.array_equal(item.task.workspace_m, task.workspace_m) and item.task.name == "get_hold_of_it"
    first, again = (item.task.sample(np.random.default_rng(seed), 0) for seed in (1, 2))
    assert all(np.allclose(a.pose, b.pose) for a, b in zip(first.objects, again.objects, strict=True)), "no ranges"


def test_names_and_tiers_are_checked(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="there is no tier 'soft'; known: precise, natural, hard"):
        load_items("soft")
    (tmp_path / "a.yaml").write_text(FILE)
    (tmp_path / "b.yaml").write_text(FILE)
    monkeypatch.setenv("IKER_ITEMS", str(tmp_path))
    with pytest.raises(ValueError, match="two items are called 'one'"):
        load_items("natural")
