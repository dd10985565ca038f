"""Grasps: what a parallel gripper can hold, and one clause on why it cannot."""

import numpy as np
import pytest

from iker_envs.geometry import body_axis, pose_apply, pose_compose, pose_inverse, rotation_angle
from iker_envs.optics import default_cameras
from iker_envs.planning.grasps import MAX_WIDTH_M, grasp_in_object, propose_grasps
from iker_envs.reach import reachable
from iker_envs.scene import HOME_GRIPPER_QUATERNION, ObjectModel, Scene, SceneObject, upright_pose

ON_RACK = upright_pose([0.65, -0.20, 0.145])


def alone(scene: Scene, name: str, pose: np.ndarray) -> Scene:
    """One of the scene's objects, by itself at a pose."""
    moved = scene.with_poses({name: pose})
    return Scene((moved.object(name),), scene.cameras, scene.workspace_m)


def block(size, pose) -> Scene:
    thing = SceneObject(ObjectModel("block", "box", np.array(size), 0.2), pose)
    return Scene((thing,), default_cameras(), np.array([[0.2, -0.45, 0.015], [0.75, 0.45, 0.45]]))


def closing_axis(grasp) -> np.ndarray:
    return body_axis(grasp.tcp_pose[3:], 1)


@pytest.mark.parametrize("yaw", np.deg2rad([0, 25, -60, 90, 180]))
def test_a_shoe_is_grasped_across_its_heel(rack_scene, yaw):
    pose = upright_pose([0.45, 0.1, 0.045], yaw)
    found = propose_grasps(alone(rack_scene, "left_shoe", pose), "left_shoe")
    assert found.grasps and found.reason == ""
    for grasp in found.grasps:
        local = pose_apply(pose_inverse(pose), grasp.tcp_pose[None, :3])[0]
        assert -0.14 < local[0] < -0.04 and abs(local[1]) < 1e-9  # the heel block
        assert 0.0 < local[2] < 0.045
        np.testing.assert_allclose(body_axis(grasp.tcp_pose[3:], 2), [0, 0, -1], atol=1e-9)
        across = body_axis(pose[3:], 1)
        assert abs(closing_axis(grasp) @ across) == pytest.approx(1.0)
        assert grasp.width_m == pytest.approx(0.062) and bool(reachable(grasp.tcp_pose))


def test_of_two_symmetric_grasps_the_one_near_home_is_proposed(rack_scene):
    for yaw in np.deg2rad([0, 80, -80, 180]):
        scene = alone(rack_scene, "left_shoe", upright_pose([0.45, 0.1, 0.045], yaw))
        for grasp in propose_grasps(scene, "left_shoe").grasps:
            assert rotation_angle(grasp.tcp_pose[3:], np.array(HOME_GRIPPER_QUATERNION)) <= np.pi / 2 + 1e-9


def test_best_first_with_scores_between_0_and_1(rack_scene):
    scores = [g.score for g in propose_grasps(rack_scene, "left_shoe", ON_RACK).grasps]
    assert scores == sorted(scores, reverse=True) and len(scores) >= 2 and 0 < scores[-1] < scores[0] <= 1


@pytest.mark.parametrize(("narrow", "possible"), [(0.079, True), (0.081, False)])
def test_the_width_that_fingers_hold(narrow, possible):
    found = propose_grasps(block((0.2, narrow, 0.1), upright_pose([0.45, 0, 0.05])), "block")
    assert bool(found.grasps) == possible
    assert all(g.width_m <= MAX_WIDTH_M for g in found.grasps)
    assert (found.reason == "its narrowest side is 81 mm, the fingers hold 80 mm") != possible


def test_a_box_is_too_wide_and_says_how_wide(rack_scene):
    found = propose_grasps(rack_scene, "shoe_box")
    assert found.grasps == () and found.reason == "its narrowest side is 200 mm, the fingers hold 80 mm"


def test_height_is_no_side_to_grasp_from_above():
    lying = propose_grasps(block((0.17, 0.24, 0.03), upright_pose([0.45, 0, 0.015])), "block")
    assert lying.grasps == () and "170 mm" in lying.reason


def test_a_narrow_thing_that_is_low_is_called_low():
    found = propose_grasps(block((0.10, 0.06, 0.03), upright_pose([0.45, 0, 0.015])), "block")
    assert found.grasps == ()
    assert found.reason == "where it is narrow enough it is only 30 mm deep, the fingers need 37 mm"


def test_furniture_is_not_grasped(rack_scene):
    assert propose_grasps(rack_scene, "rack").reason == "it is furniture"


@pytest.mark.parametrize(
    ("position", "target", "words"),
    [
        ((0.95, 0.0, 0.045), None, "does not reach the grasp at the start"),
        ((0.45, 0.1, 0.045), upright_pose([1.0, 0.0, 0.045]), "does not reach the grasp at the target"),
        ((0.45, 0.1, 0.045), upright_pose([0.45, 0.1, -0.05]), "enter the table at the target"),
    ],
)
def test_out_of_reach_is_told_with_the_place(rack_scene, position, target, words):
    scene = alone(rack_scene, "left_shoe", upright_pose(position))
    found = propose_grasps(scene, "left_shoe", target)
    assert found.grasps == () and words in found.reason


@pytest.mark.parametrize(("gap_m", "room"), [(0.001, False), (0.006, True)])
def test_neighbours_leave_room_for_open_fingers_or_are_named(rack_scene, gap_m, room):
    # open fingers take 5.45 cm on either side of the middle, the shoe's sole 5 cm, the box 10 cm
    poses = {"left_shoe": upright_pose([0.335, 0.15, 0.045]), "shoe_box": upright_pose([0.335, -gap_m, 0.055])}
    found = propose_grasps(rack_scene.with_poses(poses), "left_shoe")
    assert bool(found.grasps) == room
    needed = "" if room else "there is no room for the fingers beside shoe_box at the start: they need 0.3 cm there, "
    assert found.reason == (needed and needed + "on the -y side, and have 0.1 cm")


def test_the_target_needs_room_too(rack_scene):
    beside_box = upright_pose([0.65, -0.151, 0.145])  # the box ends at y = -0.10
    found = propose_grasps(rack_scene, "left_shoe", beside_box)
    assert found.grasps == ()
    assert found.reason.startswith("there is no room for the fingers beside shoe_box at the target: they need 0.3 cm")
    assert propose_grasps(rack_scene, "left_shoe", ON_RACK).grasps


def test_a_grasp_in_the_object_s_frame_moves_with_it(rack_scene):
    pose = rack_scene.object("left_shoe").pose
    best = propose_grasps(rack_scene, "left_shoe").grasps[0]
    relative = grasp_in_object(best, pose)
    np.testing.assert_allclose(pose_compose(pose, relative), best.tcp_pose, atol=1e-12)
    turned = upright_pose([0.45, 0.1, 0.045], 0.4)
    again = propose_grasps(alone(rack_scene, "left_shoe", turned), "left_shoe").grasps[0]
    np.testing.assert_allclose(grasp_in_object(again, turned)[:3], relative[:3], atol=1e-9)


def test_an_unknown_object_is_named(rack_scene):
    with pytest.raises(KeyError, match=r"no object 'sock'.*left_shoe"):
        propose_grasps(rack_scene, "sock")
