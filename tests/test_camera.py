"""The camera: where points land, how far they are, whose they are, and that pictures say so consistently."""

import mujoco
import numpy as np
import pytest

from iker_envs.geometry import pose_apply, rotation_matrix
from iker_envs.objects.looks import visual_geoms
from iker_envs.optics import default_cameras, look_at, project
from iker_envs.physics.mujoco_model import build_model
from iker_envs.pictures.camera import render
from iker_envs.scene import ObjectModel, Scene, SceneObject, upright_pose

WORKSPACE = np.array([[0.2, -0.45, 0.02], [0.75, 0.45, 0.45]])
CUBE = ObjectModel("cube", "box", np.array([0.1, 0.1, 0.1]))  # no mass: a plain block
OVERHEAD = look_at("overhead", (0.5, 0.0, 1.0), (0.5, 0.0, 0.0), 64, 48)


def _model(name: str, shape: str, size: tuple, mass: float = 0.3, **more) -> ObjectModel:
    return ObjectModel(name, shape, np.array(size), mass, **more)


def _scene(*objects: SceneObject) -> Scene:
    return Scene(objects, default_cameras(), WORKSPACE)


def _take(scene: Scene, camera, gripper_at=(0.3, 0.0, 0.4), visuals=True, **options):
    model = build_model(scene, visuals=visuals)
    data = mujoco.MjData(model)
    for name, value in zip("xyz", gripper_at, strict=True):
        data.qpos[model.joint(name).qposadr[0]] = value
    mujoco.mj_kinematics(model, data)
    return render(model, data, scene, camera, **options)


@pytest.fixture(scope="module")
def shoes() -> Scene:
    rack = SceneObject(_model("rack", "rack", (0.28, 0.64, 0.10), 0.0), upright_pose([0.66, 0, 0.05]), False)
    box = SceneObject(_model("carton", "box", (0.28, 0.20, 0.11)), upright_pose([0.66, 0, 0.155]))
    left = SceneObject(_model("left", "shoe", (0.28, 0.10, 0.09), side="left"), upright_pose([0.34, 0.16, 0.045]))
    right = SceneObject(_model("right", "shoe", (0.28, 0.10, 0.09), side="right"), upright_pose([0.34, -0.16, 0.045]))
    return _scene(rack, box, left, right)


@pytest.fixture(scope="module")
def shoe_image(shoes):
    return _take(shoes, default_cameras()[0], gripper=False)


def test_projection_by_hand():
    # straight down from 1 m, up is +x: a point 10 cm forward and 20 cm left is seen up and left
    K = np.array([[500.0, 0, 320], [0, 500.0, 240], [0, 0, 1]])
    camera = look_at("c", (0.5, 0.0, 1.0), (0.5, 0.0, 0.0))
    pixels, depth = project(np.array([[0.5, 0, 0], [0.6, 0.2, 0.0], [0.6, 0.2, 0.5]]), K, camera.pose_world)
    np.testing.assert_allclose(pixels, [[320, 240], [220, 190], [120, 140]], atol=1e-6)
    np.testing.assert_allclose(depth, [1.0, 1.0, 0.5], atol=1e-9)


def test_points_behind_the_camera_have_no_pixel():
    pixels, depth = project(np.array([[0.5, 0.1, 2.0]]), OVERHEAD.intrinsics(), OVERHEAD.pose_world)
    assert depth[0] < 0 and np.isnan(pixels).all()


def test_look_at_puts_forward_up_and_left_left():
    right, down, ahead = rotation_matrix(look_at("c", (0.1, 0.0, 0.9), (0.5, 0.0, 0.0)).pose_world[3:]).T
    assert -down[0] > 0.9 and right[1] == pytest.approx(-1.0)
    np.testing.assert_allclose(ahead, np.array([0.4, 0, -0.9]) / np.hypot(0.4, 0.9), atol=1e-9)
    with pytest.raises(ValueError, match="along its own up"):
        look_at("c", (0, 0, 0.5), (1, 0, 0.5))


def test_front_camera_sees_the_table_and_what_stands_on_it():
    front, side = default_cameras()
    assert (front.name, side.name) == ("front", "side")
    table = [(x, y, z) for x in (0.15, 0.85) for y in (-0.45, 0.45) for z in (0.0,)]
    rack = [(x, y, 0.21) for x in (0.52, 0.80) for y in (-0.32, 0.32)]
    pixels, _ = project(np.array(table + rack), front.intrinsics(), front.pose_world)
    assert (pixels > 4).all() and (pixels < np.array([front.width, front.height]) - 4).all()


def test_depth_is_along_the_optical_axis():
    image = _take(_scene(SceneObject(CUBE, upright_pose([0.5, 0, 0.05]), False)), OVERHEAD, gripper=False)
    np.testing.assert_allclose(image.depth_m[image.segmentation == -1], 1.0, atol=1e-9)
    top = image.depth_m[22:26, 30:34]
    np.testing.assert_allclose(top, 0.9, atol=1e-9)
    assert (image.segmentation[22:26, 30:34] == 0).all()


def test_segmentation_has_the_size_that_optics_says():
    # the 10 cm top, 0.9 m away, covers f / 9 pixels a side
    camera = look_at("overhead", (0.5, 0.0, 1.0), (0.5, 0.0, 0.0))
    image = _take(_scene(SceneObject(CUBE, upright_pose([0.5, 0, 0.05]), False)), camera, gripper=False)
    side = camera.intrinsics()[0, 0] * 0.1 / 0.9
    assert np.sum(image.segmentation == 0) == pytest.approx(side**2, rel=0.03)


def test_depth_unprojects_to_the_surface_that_segmentation_names(shoes, shoe_image):
    height, width = shoe_image.depth_m.shape
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([u, v, np.ones_like(u)], axis=-1).reshape(-1, 3) @ np.linalg.inv(shoe_image.K).T
    points = pose_apply(shoe_image.T_world_cam, rays * shoe_image.depth_m.reshape(-1, 1))
    owner = shoe_image.segmentation.ravel()
    np.testing.assert_allclose(points[owner == -1][:, 2], 0.0, atol=1e-9)
    for k, obj in enumerate(shoes.objects):
        assert (owner == k).sum() > 1000
        inside = np.abs(points[owner == k] - obj.pose[:3]) <= obj.model.size_m / 2 + 1e-6
        assert inside.all(), obj.name
    pixels, depth = project(points, shoe_image.K, shoe_image.T_world_cam)
    np.testing.assert_allclose(pixels, np.stack([u, v], -1).reshape(-1, 2), atol=1e-6)
    np.testing.assert_allclose(depth, shoe_image.depth_m.ravel(), atol=1e-9)


def test_sky_has_no_depth(shoes):
    up = look_at("up", (0.0, 0.0, 0.5), (1.0, 0.0, 0.9), 32, 24, up=(0, 0, 1))
    image = _take(shoes, up, gripper=False)
    assert (image.depth_m[0] == 0).all() and (image.segmentation[0] == -1).all()


def test_the_gripper_is_seen_on_request_and_belongs_to_no_object(shoes):
    camera = look_at("overhead", (0.3, 0.0, 1.2), (0.3, 0.0, 0.0), 64, 48)
    with_hand, without = (_take(shoes, camera, gripper=g) for g in (True, False))
    assert with_hand.depth_m[24, 32] < without.depth_m[24, 32] == pytest.approx(1.2)
    assert with_hand.segmentation[24, 32] == -1


def test_shadows_darken_and_leave_geometry_alone(shoes, shoe_image):
    plain = _take(shoes, default_cameras()[0], gripper=False, shadows=False)
    np.testing.assert_array_equal(plain.depth_m, shoe_image.depth_m)
    darker = plain.rgb.astype(int).sum(-1) - shoe_image.rgb.astype(int).sum(-1)
    assert (darker >= 0).all() and 0.01 < (darker > 60).mean() < 0.3


def test_pictures_are_reproducible(shoes, shoe_image):
    again = _take(shoes, default_cameras()[0], gripper=False)
    np.testing.assert_array_equal(again.rgb, shoe_image.rgb)
    assert shoe_image.rgb.dtype == np.uint8


def test_a_model_without_visuals_is_refused(shoes):
    with pytest.raises(ValueError, match="visuals=True"):
        _take(shoes, OVERHEAD, visuals=False)


@pytest.mark.parametrize(
    "model",
    [
        _model("left", "shoe", (0.30, 0.11, 0.12), side="left"),
        _model("right", "shoe", (0.24, 0.09, 0.08), side="right"),
        _model("carton", "box", (0.33, 0.20, 0.12)),
        _model("lying", "box", (0.17, 0.24, 0.03)),
        _model("upright", "box", (0.03, 0.17, 0.24)),
        _model("rack", "rack", (0.28, 0.64, 0.10), 0.0),
    ],
    ids=lambda m: m.name,
)
def test_looks_fill_the_bounding_box_and_keep_to_it(model):
    points = np.concatenate([_corners(g) for g in visual_geoms(model)])
    np.testing.assert_allclose(points.max(axis=0), model.size_m / 2, atol=2e-3)
    np.testing.assert_allclose(points.min(axis=0), -model.size_m / 2, atol=2e-3)
    assert (np.abs(points) <= model.size_m / 2 + 1e-9).all()


def _corners(geom) -> np.ndarray:
    if geom.kind == "mesh":
        assert len(geom.vertices_m) < 1000 and geom.faces.max() < len(geom.vertices_m)
        return geom.vertices_m
    half = np.array(geom.half_size_m)
    if geom.kind == "cylinder":
        half = half[[0, 0, 1]]
    signs = np.array(np.meshgrid(*[(-1, 1)] * 3)).reshape(3, -1).T
    return np.array(geom.position_m) + signs * half


def test_left_and_right_shoes_are_mirror_images():
    left, right = (visual_geoms(_model("s", "shoe", (0.28, 0.10, 0.09), side=s)) for s in ("left", "right"))
    for a, b in zip(left, right, strict=True):
        np.testing.assert_allclose(a.vertices_m * [1, -1, 1], b.vertices_m)
    upper = left[0].vertices_m
    assert upper[np.argmax(upper[:, 0]), 1] < -0.005  # the tip of a left shoe's toe is on its right


# Places among a shoe's geoms.
_OUTSOLE = 2
_COLLAR = 4


def test_mesh_faces_look_outwards():
    for side in ("left", "right"):
        geoms = visual_geoms(_model("s", "shoe", (0.28, 0.10, 0.09), side=side))
        for mesh in geoms[:2]:
            a, b, c = (mesh.vertices_m[mesh.faces[:, k]] for k in range(3))
            normal = np.cross(b - a, c - a)
            outward = a + b + c
            wall = np.abs(normal[:, 2]) < 0.5 * np.linalg.norm(normal, axis=1)
            assert np.mean(np.sum((normal * outward)[wall, :2], axis=1) > 0) > 0.97
        for closed in (geoms[_COLLAR], geoms[_OUTSOLE]):
            a, b, c = (closed.vertices_m[closed.faces[:, k]] for k in range(3))
            assert np.sum(a * np.cross(b, c)) > 0  # six times the volume
