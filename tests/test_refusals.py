"""Refusals that teach: who follows one to the letter, with no knowledge of the scene, is accepted.

An annotated target is spoilt in one way after another; the numbers are read out of the sentence and put in.
"""

from __future__ import annotations

import re

import numpy as np
import pytest

import iker_envs
from iker_agent.asking.goals import Refusal, check_goal
from iker_agent.asking.placing import Placement
from iker_agent.program import ProgramResult
from iker_agent.seeing.keypoints import Keypoints, select_keypoints
from iker_envs.geometry import pose_apply, quaternion_from_rotvec, quaternion_multiply
from iker_envs.optics import default_cameras
from iker_envs.scene import Goal, ObjectModel, Scene, SceneObject, upright_pose
from iker_envs.task import load_task

NUMBER = r"([+-]?\d+\.\d+)"
PLACE = rf"x {NUMBER}, y {NUMBER}, z {NUMBER}"


def shifted(pose: np.ndarray, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    return np.concatenate([pose[:3] + np.array([x, y, z]), pose[3:]])


def turned(pose: np.ndarray, *rotvec: float) -> np.ndarray:
    return np.concatenate([pose[:3], quaternion_multiply(quaternion_from_rotvec(np.array(rotvec)), pose[3:])])


class Question:
    """A program's answer about one object, as keypoint targets; `follow` reads a refusal and answers again."""

    def __init__(self, scene: Scene, keypoints: Keypoints, name: str, pose: np.ndarray, grasp: bool) -> None:
        self.scene = scene
        self.keypoints = keypoints
        self.object = scene.object(name)
        self.pose = np.asarray(pose, dtype=float)
        self.labels = keypoints.of_object(name)
        self.local = keypoints.local_m[[owner == name for owner in keypoints.objects]]
        points = pose_apply(self.pose, self.local)
        self.targets = {k: tuple(v) for k, v in keypoints.by_label().items()}
        self.targets |= {k: tuple(p) for k, p in zip(self.labels, points, strict=True)}
        self.listed = self.labels
        self.grasp = grasp

    def answer(self) -> Goal | Refusal:
        told = ProgramResult("ok", object=self.object.name, indices=self.listed, grasp=self.grasp, targets=self.targets)
        return check_goal(told, self.scene, self.keypoints)

    def kind(self) -> str:
        fault = Placement(self.scene, self.object, self.grasp).fault(self.pose)
        return fault.kind if fault else ""

    def at(self, pose: np.ndarray, grasp: bool | None = None) -> Question:
        return Question(self.scene, self.keypoints, self.object.name, pose, self.grasp if grasp is None else grasp)

    def with_middle(self, middle, orientation: np.ndarray) -> Question:
        """The object turned so, and moved until the middle of its keypoints is there."""
        turned_there = np.concatenate([np.zeros(3), orientation])
        offset = pose_apply(turned_there, self.local).mean(axis=0)
        return self.at(np.concatenate([np.array(middle, dtype=float) - offset, orientation]))

    def follow(self, reason: str) -> Question | None:
        """The answer that a sentence leads to; None if it names nothing that would be accepted."""
        if found := re.search(rf"moves it by {PLACE}, without a turn", reason):
            return self.at(shifted(self.object.pose, *map(float, found.groups())))
        if found := re.search(
            rf"turns it (\d+) degrees to the (left|right) about z, middle of its keypoints {PLACE}", reason
        ):
            degrees = float(found[1]) * (1 if found[2] == "left" else -1)
            orientation = turned(self.object.pose, 0.0, 0.0, np.deg2rad(degrees))[3:]
            return self.with_middle([found[3], found[4], found[5]], orientation)
        if found := re.search(rf"the nearest accepted middle of its keypoints is {PLACE} \((.*)\)$", reason):
            by_middle = self.with_middle(found.groups()[:3], self.pose[3:])
            assert isinstance(by_middle.answer(), Goal), f"the place in {reason!r} is not accepted"
            return self.at(shifted(self.pose, *_directions(found[4])))
        if found := re.search(r"grasp_mode (True|False)\) to the same target is accepted", reason):
            return self.at(self.pose, grasp=found[1] == "True")
        return None


def _directions(words: str) -> list[float]:
    shift = dict.fromkeys("xyz", 0.0)
    for length, sign, axis in re.findall(r"(\d+\.\d) cm towards ([+-])([xyz])", words):
        shift[axis] = float(f"{sign}{length}") / 100
    return list(shift.values())


def scene_of(task: str, configuration: int, stage: int) -> tuple[Scene, Goal]:
    """A scene of a task before one of its stages, the earlier ones done, and the goal of this stage."""
    found = load_task(task)
    scene = found.sample(np.random.default_rng(configuration), configuration)
    for number in range(stage):
        goal = found.goal(number, scene, configuration)
        scene = scene.with_poses({goal.object: goal.target_pose})
    return scene, found.goal(stage, scene, configuration)


def spoilt(scene: Scene, goal: Goal) -> dict[str, np.ndarray]:
    """The annotated target, wrong in many ways."""
    pose = goal.target_pose
    wrong = {
        "beyond the far border": shifted(pose, x=0.3),
        "beyond the right border": shifted(pose, y=-0.6),
        "in the far left corner": np.concatenate([[0.69, 0.42], pose[2:]]),
        "behind the wall": shifted(pose, y=1.6),
        "in the air": shifted(pose, z=0.3),
        "in the ground": shifted(pose, z=-0.25),
        "tilted": turned(pose, 0.6, 0.3, 0.2),
        "at the robot's foot": np.concatenate([[0.205, 0.0], pose[2:]]),
    }
    for other in scene.objects:
        if other.movable and other.name != goal.object:
            wrong[f"in {other.name}"] = np.concatenate([other.pose[:2], pose[2:]])
            side = 1.0 if pose[1] > other.pose[1] else -1.0
            wrong[f"close beside {other.name}"] = np.concatenate([[pose[0], other.pose[1] + 0.065 * side], pose[2:]])
    return wrong


def check_sentences(task: str, configuration: int, stage: int, view) -> set[str]:
    """Follows every refusal of spoilt targets; the kinds of faults that were met and led to an accepted answer."""
    scene, goal = scene_of(task, configuration, stage)
    keypoints = select_keypoints(scene, view(scene))
    mended = set()
    for name, pose in spoilt(scene, goal).items():
        for grasp in (goal.grasp, not goal.grasp):
            question = Question(scene, keypoints, goal.object, pose, grasp)
            refusal = question.answer()
            if isinstance(refusal, Goal):
                continue
            assert "\n" not in refusal.reason and len(refusal.reason) < 400, refusal.reason
            assert re.search(r"\d", refusal.reason), "no number in it"
            better = question.follow(refusal.reason)
            if better is not None:
                after = better.answer()
                assert isinstance(after, Goal), f"{name}: {refusal.reason!r} leads to {after}"
                mended.add(question.kind())
            else:
                assert "accepted" not in refusal.reason, f"{refusal.reason!r} cannot be followed"
    return mended


@pytest.mark.parametrize(
    ("task", "stage", "kinds"),
    [
        ("shoe_rack", 0, {"workspace", "support", "below", "travel", "tilt"}),
        ("shoe_rack", 2, {"workspace", "support", "travel", "step", "overlap"}),
        ("shoe_push", 0, {"workspace", "support", "below", "travel", "tilt", "reach"}),
        ("book_push", 0, {"workspace", "support", "travel"}),
        ("book_reorient", 0, {"workspace", "support", "travel"}),
        ("book_stow", 1, {"workspace", "support", "travel", "overlap", "grasp"}),
    ],
)
def test_who_follows_a_refusal_is_accepted(task, stage, kinds, blank_view):
    assert kinds <= check_sentences(task, 0, stage, blank_view)


@pytest.mark.slow
@pytest.mark.parametrize("configuration", range(10))
@pytest.mark.parametrize("task", iker_envs.TASKS.values())
def test_who_follows_a_refusal_is_accepted_in_every_configuration(task, configuration, blank_view):
    for stage in range(len(load_task(task).configuration(configuration).stages)):
        assert check_sentences(task, configuration, stage, blank_view)


# -- sentences about the hand -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shelf(blank_view) -> tuple[Scene, Keypoints]:
    """Two standing books, 3 cm thick, 12 cm apart, and a box that is too wide for the hand."""
    book, neighbour = (ObjectModel(name, "box", np.array([0.17, 0.03, 0.24]), 0.5) for name in ("book", "neighbour"))
    crate = ObjectModel("crate", "box", np.array([0.2, 0.2, 0.1]), 0.5)
    objects = (
        SceneObject(book, upright_pose(np.array([0.45, 0.10, 0.12]))),
        SceneObject(neighbour, upright_pose(np.array([0.45, -0.10, 0.12]))),
        SceneObject(crate, upright_pose(np.array([0.45, 0.33, 0.05]))),
    )
    scene = Scene(objects, default_cameras(), np.array([[0.20, -0.45, 0.015], [0.70, 0.45, 0.45]]))
    return scene, select_keypoints(scene, blank_view(scene))


def test_room_for_the_fingers_is_told_with_side_need_and_gap(shelf):
    """Open fingers take 8.5 / 2 + 1.2 cm from the middle, the book 1.5 cm of it: 3.95 cm less 2 mm of tolerance."""
    question = Question(*shelf, "book", upright_pose([0.45, -0.045, 0.12]), grasp=True)  # 2.5 cm between the books
    reason = question.answer().reason
    assert "no room for the fingers beside neighbour at the target" in reason
    assert "they need 3.8 cm there, on the -y side, and have 2.5 cm" in reason
    assert "(1.3 cm towards +y)" in reason
    assert "a push (grasp_mode False) to the same target is accepted" in reason
    assert isinstance(question.follow(reason).answer(), Goal)


def test_room_that_is_missing_now_is_told_without_another_target(shelf):
    scene, keypoints = shelf
    tight = scene.with_poses({"neighbour": upright_pose([0.45, 0.06, 0.12])})
    reason = Question(tight, keypoints, "book", upright_pose([0.45, 0.2, 0.12]), grasp=True).answer().reason
    assert "beside neighbour at the start: they need 3.8 cm there, on the -y side, and have 1.0 cm" in reason
    assert "after a push of 4.0 cm towards +y it could be grasped" in reason
    apart = tight.with_poses({"book": upright_pose([0.45, 0.14, 0.12])})
    assert isinstance(Question(apart, keypoints, "book", upright_pose([0.40, 0.14, 0.12]), grasp=True).answer(), Goal)


def test_a_push_over_an_edge_is_refused_with_the_place_on_the_surface(rack_scene, blank_view):
    keypoints = select_keypoints(rack_scene, blank_view(rack_scene))
    question = Question(rack_scene, keypoints, "shoe_box", upright_pose([0.45, -0.42, 0.055]), grasp=False)
    reason = question.answer().reason
    assert "cannot let it down 10 cm: z of its bottom is 0.100 and would be 0.000" in reason
    better = question.follow(reason)
    assert isinstance(better.answer(), Goal) and better.pose[2] == pytest.approx(0.155, abs=1e-3)


def test_what_is_too_wide_may_be_pushed_to_the_same_place(shelf):
    question = Question(*shelf, "crate", upright_pose([0.38, 0.33, 0.05]), grasp=True)
    reason = question.answer().reason
    assert "200 mm, the fingers hold 80 mm; a push (grasp_mode False) to the same target is accepted" in reason
    assert isinstance(question.follow(reason).answer(), Goal)


# -- sentences about the motion ---------------------------------------------------------------------------------------


def test_a_push_does_not_level_what_leans(shelf, blank_view):
    scene, _ = shelf
    leaning = turned(upright_pose([0.45, 0.10, 0.13]), 0.5, 0.0, 0.0)
    scene = scene.with_poses({"book": leaning})
    keypoints = select_keypoints(scene, blank_view(scene))
    question = Question(scene, keypoints, "book", upright_pose([0.40, 0.10, 0.12]), grasp=False)
    reason = question.answer().reason
    assert "pushing cannot tilt book by 29 degrees (at most 20); a push keeps its present tilt" in reason
    assert "it leans by 29 degrees now, and no push levels it" in reason


@pytest.mark.parametrize("axis", [0, 1])
def test_ends_that_change_places_are_mended_by_the_exchange_that_the_sentence_names(shelf, axis):
    scene, keypoints = shelf
    flip = np.pi * np.eye(3)[axis]
    question = Question(scene, keypoints, "crate", turned(upright_pose([0.38, 0.33, 0.05]), *flip), grasp=False)
    found = re.search(r"targets of keypoints (\d+) and (\d+) exchanged", question.answer().reason)
    first, second = found.groups()
    question.targets[first], question.targets[second] = question.targets[second], question.targets[first]
    assert isinstance(question.answer(), Goal)


@pytest.mark.parametrize("stretch_m", [0.06, 0.2])
def test_what_is_not_rigid_names_the_length_and_the_nearest_rigid_targets(shelf, stretch_m):
    question = Question(*shelf, "crate", upright_pose([0.38, 0.33, 0.05]), grasp=False)
    far = question.labels[0]
    question.targets[far] = tuple(np.add(question.targets[far], [stretch_m, 0, 0]))
    reason = question.answer().reason
    assert f"{far} and {question.labels[1]} are 20.0 cm apart, then {20 + 100 * stretch_m:.1f}" in reason
    for label, x, y, z in re.findall(rf"(\d+) \({NUMBER}, {NUMBER}, {NUMBER}\)", reason.rpartition("are ")[2]):
        question.targets[label] = (float(x), float(y), float(z))
    assert isinstance(question.answer(), Goal)


def test_lists_of_keypoints_are_mended_by_the_numbers_in_the_sentence(shelf):
    question = Question(*shelf, "crate", upright_pose([0.38, 0.33, 0.05]), grasp=False)
    question.listed = (*question.labels, "1")
    found = re.search(r"crate has keypoints (\d+) to (\d+)", question.answer().reason)
    question.listed = tuple(str(k) for k in range(int(found[1]), int(found[2]) + 1))
    assert isinstance(question.answer(), Goal)


# -- what lies, and what is sunk into its support ----------------------------------------------------------------------


@pytest.mark.parametrize("degrees", [40.0, 90.0, -130.0, 180.0])
def test_to_turn_what_lies_about_the_vertical_is_no_tilt(shelf, degrees):
    scene, _ = shelf
    lying = turned(upright_pose([0.45, 0.20, 0.015]), np.pi / 2, 0.0, 0.0)
    scene = scene.with_poses({"book": lying, "crate": upright_pose([0.45, -0.33, 0.05])})
    pose = turned(lying, 0, 0, np.deg2rad(degrees))
    faults = [Placement(scene, scene.object("book"), grasp).fault(pose) for grasp in (False, True)]
    assert not {fault.kind for fault in faults if fault} & {"tilt", "flip"}


def test_a_lying_book_that_should_stand_is_not_advised_to_stand_on_its_head(blank_view):
    scene, goal = scene_of("book_stow", 0, 0)
    keypoints = select_keypoints(scene, blank_view(scene))
    for axis in np.eye(3)[:2]:
        for degrees in (-25, 25):
            pose = turned(goal.target_pose, *(np.deg2rad(degrees) * axis))
            answer = Question(scene, keypoints, "book", pose, grasp=True).answer()
            assert isinstance(answer, Goal) or "exchanged" not in answer.reason, answer.reason


def test_what_is_sunk_into_its_support_is_not_said_to_hang_in_the_air(blank_view):
    scene, goal = scene_of("shoe_rack", 0, 1)
    keypoints = select_keypoints(scene, blank_view(scene))
    reason = Question(scene, keypoints, goal.object, shifted(goal.target_pose, z=-0.06), grasp=True).answer().reason
    assert "inside rack (at most 1.0): z of its bottom is 0.040, the top of rack there at 0.100" in reason
    assert "(6.0 cm towards +z)" in reason


@pytest.mark.parametrize("name, depth_m", [("shoe_rack", 0.10), ("book_stow", 0.10), ("book_stow", 0.097)])
def test_what_forgets_the_height_of_its_support_is_told_to_go_up_not_aside(blank_view, name, depth_m):
    scene, goal = scene_of(name, 0, 0)
    keypoints = select_keypoints(scene, blank_view(scene))
    grasped = goal.object if goal.grasp else "left_shoe"  # a push comes first on the rack
    place = goal.target_pose if goal.grasp else upright_pose([0.65, -0.20, 0.145])
    reason = Question(scene, keypoints, grasped, shifted(place, z=-depth_m), grasp=True).answer().reason
    assert "leave room" not in reason and "towards +z)" in reason, reason


def test_a_hand_that_would_point_wrongly_is_told_in_directions(blank_view):
    scene, goal = scene_of("book_stow", 0, 0)
    keypoints = select_keypoints(scene, blank_view(scene))
    reason = Question(scene, keypoints, "book", turned(goal.target_pose, np.pi, 0, 0), grasp=True).answer().reason
    assert "away from forward and down at the target, at most 60; turn it less" in reason, reason
