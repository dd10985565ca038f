"""Which keypoints there are, how they are numbered, and which of them are drawn."""

import json

import mujoco
import numpy as np
import pytest

from iker_agent.seeing.keypoints import Keypoints, furniture_points, marked_points, select_keypoints, thin_out, top_grid
from iker_envs.geometry import pose_apply
from iker_envs.objects.library import object_library
from iker_envs.physics.mujoco_model import VISUAL_GROUP, build_model
from iker_envs.pictures.camera import default_cameras, project, render
from iker_envs.scene import Image, ObjectModel, Scene, SceneObject, View, upright_pose

WORKSPACE = np.array([[0.2, -0.45, 0.02], [0.75, 0.45, 0.45]])
RACK = ObjectModel("rack", "rack", np.array([0.28, 0.64, 0.10]))
CARTON = ObjectModel("carton", "box", np.array([0.28, 0.20, 0.11]), 0.6)
LEFT = ObjectModel("left", "shoe", np.array([0.28, 0.10, 0.09]), 0.3, side="left")
RIGHT = ObjectModel("right", "shoe", np.array([0.28, 0.10, 0.09]), 0.3, side="right")


@pytest.fixture(scope="module")
def view(scene) -> View:
    return _look(scene)


@pytest.fixture(scope="module")
def scene() -> Scene:
    objects = (
        SceneObject(RACK, upright_pose([0.66, 0, 0.05]), False),
        SceneObject(CARTON, upright_pose([0.66, 0.0, 0.155])),
        SceneObject(LEFT, upright_pose([0.34, 0.16, 0.045])),
        SceneObject(RIGHT, upright_pose([0.34, -0.16, 0.045])),
    )
    return Scene(objects, default_cameras(), WORKSPACE)


def _look(scene: Scene, *, segmentation: bool = True) -> View:
    """The front view of a scene; without a segmentation it is what a real camera gives."""
    model = build_model(scene, (), visuals=True)
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    image = render(model, data, scene, default_cameras()[0], gripper=False, shadows=False)
    if not segmentation:
        image = Image(image.rgb, image.depth_m, image.K, image.T_world_cam)
    return View({"front": image}, "front")


def _drawn(keypoints: Keypoints) -> set[str]:
    return {label for label, drawn in zip(keypoints.labels, keypoints.drawn, strict=True) if drawn}


def test_movable_objects_come_first_then_furniture(scene, view):
    keypoints = select_keypoints(scene, view)
    assert keypoints.labels == tuple(str(k) for k in range(1, 19))
    assert keypoints.objects == ("carton",) * 4 + ("left",) * 4 + ("right",) * 4 + ("rack",) * 6
    assert keypoints.of_object("left") == ("5", "6", "7", "8")
    with pytest.raises(KeyError, match="carton, left, right, rack"):
        keypoints.of_object("shelf")


def test_positions_agree_in_all_frames(scene, view):
    keypoints = select_keypoints(scene, view)
    for name in ("left", "rack"):
        rows = [k for k, owner in enumerate(keypoints.objects) if owner == name]
        obj = scene.object(name)
        np.testing.assert_allclose(pose_apply(obj.pose, keypoints.local_m[rows]), keypoints.world_m[rows])
    np.testing.assert_allclose(keypoints.world_m[:4], scene.object("carton").keypoints_world_m())
    pixels, _ = project(keypoints.world_m, view.image.K, view.image.T_world_cam)
    np.testing.assert_allclose(pixels, keypoints.pixels)
    by_label = keypoints.by_label()
    assert list(by_label) == list(keypoints.labels)
    np.testing.assert_allclose(by_label["5"], [0.48, 0.16, 0.0135])


def test_labels_do_not_depend_on_poses(scene, view):
    moved = scene.with_poses({"carton": upright_pose([0.3, 0.0, 0.055], 1.0), "left": upright_pose([0.66, 0.2, 0.145])})
    before = select_keypoints(scene, view)
    after = select_keypoints(moved, _look(moved))
    assert before.labels == after.labels and before.objects == after.objects
    np.testing.assert_allclose(before.local_m, after.local_m)
    assert before.drawn != after.drawn


def test_round_trip_through_json(scene, view):
    keypoints = select_keypoints(scene, view)
    again = Keypoints.from_dict(json.loads(json.dumps(keypoints.to_dict())))
    assert again.to_dict() == keypoints.to_dict() and again.drawn == keypoints.drawn


def test_furniture_points_lie_on_its_top_near_row_first_left_to_right():
    grid = top_grid(RACK.size_m)
    expected = [(x, y, 0.05) for x in (-0.11, 0.11) for y in (0.29, 0.0, -0.29)]
    np.testing.assert_allclose(grid, expected, atol=1e-12)
    assert len(top_grid(np.array([0.5, 0.5, 0.02]))) == 9
    assert len(top_grid(np.array([0.02, 0.5, 0.2]))) == 3


@pytest.mark.parametrize("segmentation", [True, False])
def test_points_under_an_object_are_hidden_and_its_own_are_not(scene, segmentation):
    keypoints = select_keypoints(scene, _look(scene, segmentation=segmentation))
    # the carton stands on the rack's middle column; its own points lie inside it
    assert _drawn(keypoints) == set(keypoints.labels) - {"14", "17"}


@pytest.mark.parametrize("segmentation", [True, False])
def test_an_object_in_front_hides_points_of_another(scene, segmentation):
    # the carton is held above the toe
    under = scene.with_poses({"carton": upright_pose([0.52, 0.2, 0.25])})
    drawn = _drawn(select_keypoints(under, _look(under, segmentation=segmentation)))
    assert "5" not in drawn and {"6", "9", "10", "11", "12"} <= drawn


def test_a_thin_book_hides_the_board_when_segmentation_tells(scene):
    book = ObjectModel("book", "box", np.array([0.24, 0.17, 0.015]), 0.4)
    objects = (scene.objects[0], SceneObject(book, upright_pose([0.55, 0.0, 0.1075])))
    lying = Scene(objects, scene.cameras, WORKSPACE)
    keypoints = select_keypoints(lying, _look(lying))
    hidden = set(keypoints.labels) - _drawn(keypoints)
    assert hidden == {"6"}


def test_points_outside_the_image_or_behind_the_camera_are_not_drawn(scene):
    away = scene.with_poses({"left": upright_pose([0.34, 1.5, 0.045]), "right": upright_pose([-3.0, 0, 3.0])})
    keypoints = select_keypoints(away, _look(away))
    assert not _drawn(keypoints) & {"5", "6", "7", "8", "9", "10", "11", "12"}
    np.testing.assert_array_equal(keypoints.pixels[8:12], -1.0)


def _thin(pixels, objects, movable=("a", "b"), visible=None):
    drawn = thin_out(np.array(pixels, float), objects, movable, visible or [True] * len(objects), 10.0)
    return [k + 1 for k, d in enumerate(drawn) if d]


def test_furniture_gives_way_to_objects_whatever_the_numbers():
    assert _thin([(0, 0), (5, 0), (50, 0)], ["rack", "a", "rack"]) == [2, 3]


def test_among_equals_the_lower_number_stays():
    crowd = [(0, 0), (40, 0), (80, 0), (120, 0), (5, 0), (45, 0), (160, 0), (200, 0), (240, 0)]
    assert _thin(crowd, ["a"] * 4 + ["b"] * 5) == [1, 2, 3, 4, 7, 8, 9]
    assert _thin([(0, 0), (5, 0)], ["rack", "rack"]) == [1]


def test_a_removed_point_crowds_nobody_out():
    assert _thin([(0, 0), (8, 0), (16, 0)], ["rack"] * 3) == [1, 3]


def test_crowding_leaves_three_points_of_a_movable_object():
    tight = [(0, 0), (6, 0), (0, 6), (6, 6)]
    assert _thin(tight, ["a"] * 4) == [1, 3, 4]
    # what cannot be seen is never drawn, not even to make three
    assert _thin(tight, ["a"] * 4, visible=[True, True, False, False]) == [1, 2]
    # nor are dots that would merge
    assert _thin([(0, 0), (4, 0), (20, 0)], ["a"] * 3) == [1, 3]


def test_hidden_points_do_not_crowd_out_visible_ones():
    assert _thin([(0, 0), (5, 0)], ["rack", "rack"], visible=[False, True]) == [2]


def test_a_scene_without_objects_has_no_keypoints(scene):
    empty = Scene((), scene.cameras, WORKSPACE)
    assert select_keypoints(empty, _look(empty)).labels == ()


MODELS = object_library()


def air_mm(model: ObjectModel, points: np.ndarray) -> np.ndarray:
    """How far each point (4, 3) of a body is outside of what is seen of it, towards its centre line, in millimetres."""
    scene = Scene((SceneObject(model, upright_pose([0.5, 0.0, 1.0])),), default_cameras(), WORKSPACE)
    visible = build_model(scene, (), visuals=True)
    data = mujoco.MjData(visible)
    mujoco.mj_forward(visible, data)
    groups = np.zeros(6, np.uint8)
    groups[VISUAL_GROUP] = 1
    found = []
    for point, end in zip(points, model.control_keypoints_m(), strict=True):
        outward = end / np.linalg.norm(end)
        start = np.array([0.5, 0.0, 1.0]) + point + 0.2 * outward
        found.append(mujoco.mj_ray(visible, data, start, -outward, groups, 1, -1, np.zeros(1, np.int32)) - 0.2)
    return 1000 * np.array(found)


@pytest.mark.parametrize("name", [name for name, model in MODELS.items() if model.mass_kg > 0])
def test_marks_lie_on_what_is_marked(name):
    """Toe and heel within 2 mm; the sides of a shoe stand beside its waist; pages lie 5 mm within their covers."""
    model = MODELS[name]
    air = air_mm(model, marked_points(model))
    limits = [2, 2, 13, 13] if model.shape == "shoe" else [5.1] * 4
    assert np.all(np.abs(air) <= limits), air
    if model.shape == "shoe":
        assert air_mm(model, model.control_keypoints_m())[0] > 15, "at half its height there is no toe"
    control = model.control_keypoints_m()
    assert np.linalg.norm(np.diff(marked_points(model), axis=0), axis=-1) == pytest.approx(
        np.linalg.norm(np.diff(control, axis=0), axis=-1)
    ), "lengths and widths that a program computes are the same"


@pytest.mark.parametrize("yaw_rad", [-2.4, -0.8, 0.0, 0.3, 0.8, 1.6, 3.1])
def test_the_marks_of_toe_and_heel_are_on_the_shoe_in_the_picture(yaw_rad):
    shoe = ObjectModel("shoe", "shoe", np.array([0.28, 0.10, 0.09]), 0.3, side="left")
    scene = Scene((SceneObject(shoe, upright_pose([0.42, 0.1, 0.045], yaw_rad)),), default_cameras(), WORKSPACE)
    view = _look(scene)
    rows, columns = np.nonzero(view.image.segmentation == 0)
    seen = np.stack([columns, rows], axis=-1) + 0.5
    for pixel in select_keypoints(scene, view).pixels[:2]:
        assert np.linalg.norm(seen - pixel, axis=-1).min() <= 2.0


def test_the_grid_of_furniture_lies_on_its_top_or_floor():
    for model in (model for model in MODELS.values() if model.mass_kg == 0):
        scene = Scene((SceneObject(model, upright_pose([0.5, 0.0, 1.0]), False),), default_cameras(), WORKSPACE)
        visible = build_model(scene, (), visuals=True)
        data = mujoco.MjData(visible)
        mujoco.mj_forward(visible, data)
        for point in furniture_points(model):
            start = np.array([0.5, 0.0, 1.2]) + point
            depth = mujoco.mj_ray(visible, data, start, np.array([0, 0, -1.0]), None, 1, -1, np.zeros(1, np.int32))
            assert depth == pytest.approx(0.2, abs=0.002), (model.name, point)
