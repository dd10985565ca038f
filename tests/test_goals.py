"""Which goals are believed: rigid, reachable, supported, free; everything else is refused in one sentence."""

import re

import numpy as np
import pytest

from iker_agent.asking.goals import Refusal, check_goal
from iker_agent.program import ProgramResult, run_program
from iker_agent.seeing.keypoints import Keypoints, marked_points, select_keypoints
from iker_envs.geometry import pose_apply, pose_compose, quaternion_from_rotvec
from iker_envs.scene import Goal, Scene, upright_pose

LEFT = "left_shoe"
RIGHT = "right_shoe"
BOX = "shoe_box"
RACK = "rack"
ON_RACK = upright_pose([0.65, -0.20, 0.145])
BESIDE_RIGHT = upright_pose([0.335, -0.05, 0.045])


@pytest.fixture(scope="module")
def keypoints(rack_scene, blank_view) -> Keypoints:
    return select_keypoints(rack_scene, blank_view(rack_scene))


@pytest.fixture
def ask(rack_scene, keypoints):
    """Object, target pose -> what check_goal says to a program that moves its keypoints there."""

    def check(name: str, pose: np.ndarray, *, grasp=False, noise=None, project=True) -> Goal | Refusal:
        labels = keypoints.of_object(name)
        targets = {k: tuple(v) for k, v in keypoints.by_label().items()}
        points = pose_apply(pose, marked_points(rack_scene.object(name).model))
        for k, point in zip(labels, points + (0 if noise is None else noise), strict=True):
            targets[k] = tuple(point)
        result = ProgramResult("ok", object=name, indices=labels, grasp=grasp, targets=targets)
        return check_goal(result, rack_scene, keypoints, "tidy up", project=project)

    return check


@pytest.fixture
def moved(rack_scene, keypoints):
    """Shifts of labels, listed labels -> what check_goal says."""

    def check(shifts: dict[str, tuple], listed: tuple[str, ...], grasp: bool = False) -> Goal | Refusal:
        targets = {k: tuple(v + np.array(shifts.get(k, (0, 0, 0)))) for k, v in keypoints.by_label().items()}
        result = ProgramResult("ok", object="anything", indices=listed, grasp=grasp, targets=targets)
        return check_goal(result, rack_scene, keypoints)

    return check


def assert_refused(answer: Goal | Refusal, *words: str) -> None:
    """A refusal in one sentence that names the problem."""
    assert isinstance(answer, Refusal), f"accepted: {answer}"
    for word in words:
        assert re.search(word, answer.reason), answer.reason
    assert "\n" not in answer.reason and not answer.reason.endswith(".") and 15 < len(answer.reason) < 340
    assert "Error" not in answer.reason and "array(" not in answer.reason


def shifted(pose: np.ndarray, shift=(0.0, 0, 0), rotvec=(0.0, 0, 0)) -> np.ndarray:
    offset = np.concatenate([np.array(shift, dtype=float), quaternion_from_rotvec(np.array(rotvec, dtype=float))])
    return pose_compose(pose, offset)


# -- accepted ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "pose", "grasp"),
    [
        (LEFT, ON_RACK, True),
        (LEFT, BESIDE_RIGHT, False),
        (LEFT, upright_pose([0.40, 0.10, 0.045], 0.8), False),
        (BOX, upright_pose([0.65, 0.20, 0.155], 0.2), False),
        (RIGHT, upright_pose([0.64, -0.22, 0.145], -0.3), True),
    ],
)
def test_a_rigid_motion_is_accepted_and_reproduced(ask, rack_scene, name, pose, grasp):
    goal = ask(name, pose, grasp=grasp)
    assert isinstance(goal, Goal), goal
    np.testing.assert_allclose(goal.target_pose, pose, atol=1e-6)
    assert (goal.object, goal.grasp, goal.instruction) == (name, grasp, "tidy up")
    wanted = pose_apply(pose, marked_points(rack_scene.object(name).model))
    np.testing.assert_allclose(np.array(list(goal.raw_targets_m.values())), wanted, atol=1e-9)


def test_other_places_give_other_goals(ask):
    first = ask(LEFT, BESIDE_RIGHT)
    second = ask(LEFT, shifted(BESIDE_RIGHT, (0.05, 0.02, 0)))
    np.testing.assert_allclose(second.target_pose[:3] - first.target_pose[:3], [0.05, 0.02, 0], atol=1e-9)


def test_a_small_residual_is_projected_onto_a_rigid_motion(ask, rack_scene, rng):
    noise = rng.uniform(-0.01, 0.01, (4, 3)) * [1, 1, 0]
    goal = ask(LEFT, BESIDE_RIGHT, noise=noise)
    assert isinstance(goal, Goal)
    np.testing.assert_allclose(goal.target_pose[:3], BESIDE_RIGHT[:3], atol=0.01)
    raw = np.array(list(goal.raw_targets_m.values()))
    projected = pose_apply(goal.target_pose, marked_points(rack_scene.object(LEFT).model))
    assert 0 < np.linalg.norm(projected - raw, axis=-1).mean() < np.linalg.norm(noise, axis=-1).mean()


STRETCHED = np.array([[0.2, 0, 0], [-0.2, 0, 0], [0, 0, 0], [0, 0, 0]])  # 40 cm longer than the shoe is


def test_a_large_residual_is_refused(ask):
    assert_refused(ask(LEFT, BESIDE_RIGHT, noise=STRETCHED), "not a rigid motion", "14.1 cm", "5, 6, 7, 8")


def test_without_projection_a_large_residual_is_taken_as_it_is(ask):
    goal = ask(LEFT, upright_pose([0.42, 0.05, 0.045]), noise=STRETCHED, project=False)
    assert isinstance(goal, Goal) and goal.raw_targets_m["5"][0] == pytest.approx(0.42 + 0.14 + 0.2)


def test_fewer_than_three_keypoints_are_a_translation(moved):
    shift = (0.05, -0.03, 0.0)
    for listed in (("5",), ("5", "6")):
        goal = moved(dict.fromkeys(listed, shift), listed)
        np.testing.assert_allclose(goal.target_pose, [0.385, 0.14, 0.045, 1, 0, 0, 0], atol=1e-9)


def test_keypoints_that_stay_may_be_listed_or_not_but_not_moved_in_silence(moved):
    all_four = dict.fromkeys("5678", (0.05, 0, 0))
    assert isinstance(moved(all_four, ("5", "6", "7", "8")), Goal)
    assert_refused(moved(all_four, ("5", "6", "7")), "keypoint 8 moves but is not among")
    assert_refused(moved({"5": (0.05, 0, 0), "1": (0.05, 0, 0)}, ("5",)), "keypoint 1 moves but is not among")


# -- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "pose", "grasp", "words"),
    [
        (LEFT, upright_pose([0.335, 0.0, 1.0]), False, (LEFT, r"\d+ cm above", "push")),
        (LEFT, upright_pose([0.335, 0.0, 0.545]), True, (LEFT, "50 cm above", "hold")),
        (LEFT, upright_pose([0.335, 0.0, -0.06]), True, (LEFT, "below the table")),
        (LEFT, upright_pose([0.90, 0.0, 0.045]), True, (LEFT, "outside the workspace", r"0\.90", r"0\.20 to 0\.75")),
        (LEFT, upright_pose([0.74, 0.40, 0.045]), False, (LEFT, "does not reach")),
        (LEFT, upright_pose([0.40, 2.0, 0.045]), True, (LEFT, "1.83 m")),
        (LEFT, upright_pose([0.335, -0.16, 0.045]), False, (LEFT, "inside right_shoe")),
        (LEFT, upright_pose([0.65, 0.0, 0.145]), True, (LEFT, "inside shoe_box|beside shoe_box")),
        (LEFT, upright_pose([0.60, 0.20, 0.045]), True, (LEFT, "inside rack|rack")),
        (LEFT, shifted(BESIDE_RIGHT, rotvec=(0.6, 0, 0)), False, (LEFT, "tilt", "34 degrees")),
        (LEFT, shifted(BESIDE_RIGHT, rotvec=(np.pi, 0, 0)), True, (LEFT, "turned over")),
        (LEFT, upright_pose([0.335, 0.172, 0.045]), False, (LEFT, "stay where it is", "None")),
        (BOX, upright_pose([0.65, 0.20, 0.155]), True, (BOX, "cannot be grasped", "200 mm", "80 mm")),
        (BOX, upright_pose([0.65, 0.60, 0.155]), False, (BOX, "outside the workspace")),
    ],
    ids=[
        "1 m above, pushed", "in the air, grasped", "below the table", "outside the workspace", "out of reach",
        "far away", "inside a shoe", "inside the box", "inside the rack", "tilted, pushed", "upside down",
        "stays", "too wide to grasp", "off the rack",
    ],
)  # fmt: skip
def test_impossible_targets_are_refused(ask, name, pose, grasp, words):
    assert_refused(ask(name, pose, grasp=grasp), *words)


def test_a_shoe_on_its_side_is_refused_for_a_grasp_too(ask):
    on_side = np.concatenate([[0.335, -0.05, 0.05], quaternion_from_rotvec(np.array([np.pi / 2, 0, 0]))])
    assert_refused(ask(LEFT, on_side, grasp=True), LEFT)


def test_ends_that_change_places_without_the_sides_are_refused(moved):
    swapped = {"5": (-0.28, 0, 0), "6": (0.28, 0, 0)}
    answer = moved({**swapped, "7": (0, 0, 0), "8": (0, 0, 0)}, ("5", "6", "7", "8"), grasp=True)
    assert_refused(answer, LEFT, "turned over")


def test_a_mirror_image_is_refused(ask):
    mirrored = np.array([[0, 0, 0], [0, 0, 0], [0, -0.1, 0], [0, 0.1, 0]])  # left and right side change places
    assert_refused(ask(LEFT, BESIDE_RIGHT, noise=mirrored), LEFT, "turned over|tilt")


def test_furniture_stays(moved, keypoints):
    labels = keypoints.of_object(RACK)
    answer = moved(dict.fromkeys(labels, (0.05, 0, 0)), labels)
    assert_refused(answer, "rack is furniture", r"left_shoe \(keypoints 5 to 8\)")


def test_one_object_per_stage(moved):
    shift = (0.05, 0, 0)
    assert_refused(moved({"5": shift, "9": shift}, ("5", "9")), "several objects", "left_shoe, right_shoe")
    assert_refused(moved({"5": shift}, ("5", "9")), "several objects")


def test_nothing_moves(moved):
    assert_refused(moved({}, ("5", "6", "7", "8")), "no keypoint moves", "return None")


# -- the pose contract ------------------------------------------------------------------------------------------------


def ask_poses(scene: Scene, keypoints: Keypoints, name: str, six: tuple, grasp: bool = False) -> Goal | Refusal:
    targets = {o.name: (*(float(v) for v in o.pose[:3]), 0.0, 0.0, 0.0) for o in scene.objects} | {name: six}
    return check_goal(ProgramResult("ok", object=name, grasp=grasp, targets=targets), scene, keypoints)


def test_a_pose_program_gives_its_pose(rack_scene, keypoints):
    goal = ask_poses(rack_scene, keypoints, LEFT, (0.40, 0.05, 0.045, 0.0, 0.0, 0.5))
    np.testing.assert_allclose(goal.target_pose, upright_pose([0.40, 0.05, 0.045], 0.5), atol=1e-9)


@pytest.mark.parametrize(
    ("name", "six", "words"),
    [
        (RACK, (0.6, 0, 0.05, 0, 0, 0), ("rack", "left_shoe, right_shoe")),
        ("sock", (0.4, 0, 0.05, 0, 0, 0), ("sock", "left_shoe")),
        (LEFT, (0.335, 0.17, 0.045, 0, 0, 0), (LEFT, "stay")),
        (LEFT, (0.335, 0.0, 1.0, 0, 0, 0), (LEFT, "above")),
    ],
)
def test_a_pose_program_is_checked_alike(rack_scene, keypoints, name, six, words):
    assert_refused(ask_poses(rack_scene, keypoints, name, six), *words)


# -- from a program's text --------------------------------------------------------------------------------------------

PROGRAM = """
import numpy as np

def get_interaction_data(keypoint_coordinates):
    for label in ("5", "6", "7", "8"):
        keypoint_coordinates[label] = keypoint_coordinates[label] + np.array([{x}, {y}, {z}])
    return "left shoe", ["5", "6", "7", "8"], {grasp}, keypoint_coordinates
"""


@pytest.mark.parametrize(("x", "y"), [(0.05, -0.1), (0.08, 0.0)])
def test_the_text_of_a_program_decides_where_the_goal_lies(rack_scene, keypoints, x, y):
    result = run_program(PROGRAM.format(x=x, y=y, z=0, grasp=False), keypoints.by_label())
    goal = check_goal(result, rack_scene, keypoints)
    np.testing.assert_allclose(goal.target_pose[:3], [0.335 + x, 0.17 + y, 0.045], atol=1e-9)


def test_the_text_of_a_program_that_asks_for_the_sky_is_refused(rack_scene, keypoints):
    result = run_program(PROGRAM.format(x=0, y=0, z=0.5, grasp=False), keypoints.by_label())
    assert_refused(check_goal(result, rack_scene, keypoints), LEFT, "50 cm above")


def test_a_grasp_with_no_room_says_beside_what(rack_scene, keypoints, ask):
    assert_refused(ask(LEFT, upright_pose([0.65, -0.151, 0.145]), grasp=True), LEFT, "no room.*beside shoe_box")
