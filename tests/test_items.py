"""Items: every file of the package and whatever is added to it is held to the same; conditions judge solutions and
wrongs as the files name them, and what is wrong with a file is told."""

from __future__ import annotations

import numpy as np
import pytest

from iker_agent.authoring.check import check_configuration
from iker_agent.experiments.items import EXPECTS, SKILLS, Item, load_items, read_items
from iker_agent.program import run_program
from iker_agent.program.signatures import CONTRACTS
from iker_agent.vlm.annotated import AnnotatedVLM
from iker_envs.physics.transfer import settle

PRECISE = load_items("precise")
NATURAL = load_items("natural")
HARD = load_items("hard")
OWN = {item.name: item for item in (*NATURAL, *HARD)}

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
"""


def verdict(item: Item, ends):
    start = item.scene()
    return item.task.judge(start.with_poses(ends), start, item.configuration)


def test_there_are_as_many_as_the_benchmark_promises():
    assert len(PRECISE) == 60 and len(NATURAL) >= 30 and len(HARD) >= 40
    for expects in EXPECTS[1:]:
        assert sum(item.expects == expects for item in HARD) >= 6, expects
    assert {skill for item in (*PRECISE, *OWN.values()) for skill in item.skills} == set(SKILLS)
    for tier in (NATURAL, HARD):
        thorough = [i for i in tier if i.expects == "goal" and len(i.solutions) >= 2 and len(i.wrongs) >= 4]
        assert len(thorough) >= 10, "two good solutions and, with the untouched start, five wrong ones"


@pytest.mark.parametrize("name", OWN)
def test_solutions_are_right_and_wrongs_and_the_untouched_start_are_not(name):
    item = OWN[name]
    assert verdict(item, {}).fulfilled == (item.expects != "goal"), "where nothing is to be moved the start is right"
    for number, ends in enumerate(item.solutions):
        found = verdict(item, ends)
        assert found.fulfilled, (number, found.sentence())
    assert item.wrongs, "a condition that nothing fails says nothing"
    for kind, ends in item.wrongs.items():
        found = verdict(item, ends)
        assert not found.fulfilled and found.sentence(), kind


@pytest.mark.parametrize("name", OWN)
def test_an_answer_for_its_contract_is_at_hand(name):
    item = OWN[name]
    assert item.task.configuration(0).instruction == item.instruction
    for contract in CONTRACTS:
        programs = AnnotatedVLM.of_task(item.task, item.configuration, contract).programs
        assert len(programs) == len(item.solutions[0])


def test_no_two_ends_of_a_solution_are_the_same():
    for item in OWN.values():
        for one, other in zip(item.solutions, item.solutions[1:], strict=False):
            same = one.keys() == other.keys() and all(np.allclose(one[k], other[k], atol=1e-3) for k in one)
            assert not same, item.name


@pytest.mark.parametrize("name", [n for n, i in OWN.items() if i.expects != "goal"])
def test_scenes_in_which_nothing_is_to_be_moved_are_at_rest(name):
    settle(OWN[name].scene())


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n, i in OWN.items() if i.expects == "goal"])
def test_scenes_are_sound_and_goals_pass_the_checks_of_a_model_s_program(name):
    """At rest, visible, graspable, reachable, accepted, and programs of both contracts reproduce the goals."""
    assert check_configuration(OWN[name].task, OWN[name].configuration) == []


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


def test_names_and_tiers_are_checked(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="there is no tier 'soft'; known: precise, natural, hard"):
        load_items("soft")
    (tmp_path / "a.yaml").write_text(FILE)
    (tmp_path / "b.yaml").write_text(FILE)
    monkeypatch.setenv("IKER_ITEMS", str(tmp_path))
    with pytest.raises(ValueError, match="two items are called 'one'"):
        load_items("natural")
