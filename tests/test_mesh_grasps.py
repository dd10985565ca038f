"""Grasps of meshes and of clouds: where they hold, what they leave room for, whether a hand lifts by them."""

import gymnasium as gym
import numpy as np
import pytest
import trimesh

from iker_envs.geometry import body_axis, pose_apply, pose_inverse
from iker_envs.objects.own_mesh import mesh_size_m
from iker_envs.optics import default_cameras
from iker_envs.perception.grasp_cloud import propose_cloud_grasps
from iker_envs.planning.grasps import MAX_WIDTH_M, GraspProposals, propose_grasps
from iker_envs.scene import Goal, ObjectModel, Scene, SceneObject, upright_pose

WORKSPACE = np.array([[0.2, -0.45, 0.015], [0.75, 0.45, 0.45]])
TURN = trimesh.transformations.rotation_matrix(0.5, [0, 0, 1])
SHAPES = {
    "a can": trimesh.creation.cylinder(0.034, 0.10, sections=40),
    "a ball": trimesh.creation.icosphere(2, 0.036),
    "a block that lies askew in its file": trimesh.creation.box((0.12, 0.05, 0.09)).apply_transform(TURN),
    "a cup, by its wall": trimesh.creation.annulus(r_min=0.04, r_max=0.047, height=0.09, sections=24),
}


@pytest.fixture
def standing(tmp_path):
    """Mesh, and what else stands there -> a scene with the mesh as `thing` on the table."""

    def make(mesh: trimesh.Trimesh, yaw_rad: float = 0.3, *others: SceneObject, xy=(0.45, 0.05)) -> Scene:
        path = tmp_path / "thing.stl"
        mesh.export(path)
        size = np.array(mesh_size_m(str(path), 1.0))
        model = ObjectModel("thing", "mesh", size, 0.2, mesh=str(path))
        thing = SceneObject(model, upright_pose([*xy, size[2] / 2], yaw_rad))
        return Scene((thing, *others), default_cameras(), WORKSPACE)

    return make


def lifted(scene: Scene, grasp) -> bool:
    """Does a hand in physics lift the thing by this grasp?"""
    target = upright_pose([0.45, -0.15, scene.object("thing").pose[2]], 0.3)
    env = gym.make("IKER-Stage-v0", scene=scene, goal=Goal("thing", target), randomisation="off").unwrapped
    env.reset(seed=0)
    env.reset(options={"world": "keep", "goal": Goal("thing", target, grasp=True), "grasp": grasp})
    held = bool(env.worlds.grasped[0])
    env.close()
    return held


@pytest.mark.parametrize("mesh", SHAPES.values(), ids=SHAPES)
def test_the_best_grasp_of_a_mesh_lifts_it(standing, mesh):
    scene = standing(mesh)
    found = propose_grasps(scene, "thing")
    assert found.grasps and found.reason == ""
    scores = [g.score for g in found.grasps]
    assert scores == sorted(scores, reverse=True) and 0 < scores[-1] <= scores[0] <= 1
    assert all(g.width_m <= MAX_WIDTH_M for g in found.grasps)
    assert lifted(scene, found.grasps[0])


def test_a_hand_that_closes_beside_the_mesh_lifts_nothing(standing):
    scene = standing(SHAPES["a can"])
    grasp = propose_grasps(scene, "thing").grasps[0]
    aside = np.array(grasp.tcp_pose)
    aside[:3] += 0.08 * body_axis(aside[3:], 0)
    assert not lifted(scene, type(grasp)(aside, grasp.width_m))


@pytest.mark.parametrize("yaw", np.deg2rad([0, 40, -100]))
def test_a_block_is_held_across_its_narrow_sides_wherever_it_is_turned(standing, yaw):
    scene = standing(SHAPES["a block that lies askew in its file"], yaw)
    found = propose_grasps(scene, "thing")
    across = body_axis(scene.object("thing").pose[3:], 1) * np.cos(0.5)
    across = across - np.sin(0.5) * body_axis(scene.object("thing").pose[3:], 0)
    for grasp in found.grasps:
        assert abs(body_axis(grasp.tcp_pose[3:], 1) @ across) > 0.98
        assert grasp.width_m == pytest.approx(0.05, abs=0.002)
        assert body_axis(grasp.tcp_pose[3:], 2) @ scene.approach_axis > np.cos(scene.approach_cone_rad) - 1e-9


def test_the_same_mesh_gives_the_same_grasps_in_its_own_frame(standing):
    here = standing(SHAPES["a can"], 0.0)
    again = propose_grasps(here, "thing").grasps
    for one, other in zip(propose_grasps(here, "thing").grasps, again, strict=True):
        np.testing.assert_array_equal(one.tcp_pose, other.tcp_pose)


TOO_MUCH = {
    "wide": (trimesh.creation.box((0.12, 0.15, 0.09)), "its narrowest side is 120 mm, the fingers hold 80 mm"),
    "flat between far sides": (trimesh.creation.box((0.12, 0.15, 0.05)), "the fingers close across it"),
    "low": (trimesh.creation.box((0.12, 0.05, 0.02)), "it is only 20 mm deep, the fingers need 37 mm"),
    "three-sided": (
        trimesh.creation.cylinder(0.035, 0.10, sections=3),
        "no two of its sides face away from each other",
    ),
}


@pytest.mark.parametrize(("mesh", "words"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_what_cannot_be_held_is_told_with_its_measure(standing, mesh, words):
    found = propose_grasps(standing(mesh, 0.0), "thing")
    assert found.grasps == () and words in found.reason


def wall(y: float, height: float = 0.10) -> SceneObject:
    return SceneObject(
        ObjectModel("wall", "box", np.array([0.3, 0.02, height])), upright_pose([0.45, y, height / 2]), False
    )


def test_neighbours_leave_room_or_are_named(standing):
    near = standing(SHAPES["a can"], 0.0, wall(0.05 + 0.046), SceneObject(
        ObjectModel("post", "box", np.array([0.02, 0.3, 0.1])), upright_pose([0.45 + 0.046, 0.05, 0.05]), False
    ), SceneObject(
        ObjectModel("pole", "box", np.array([0.02, 0.3, 0.1])), upright_pose([0.45 - 0.046, 0.05, 0.05]), False
    ), SceneObject(
        ObjectModel("fence", "box", np.array([0.3, 0.02, 0.1])), upright_pose([0.45, 0.05 - 0.046, 0.05]), False
    ))  # fmt: skip
    found = propose_grasps(near, "thing")
    assert found.grasps == () and "there is no room for the fingers beside" in found.reason
    free = propose_grasps(standing(SHAPES["a can"], 0.0, wall(0.30)), "thing")
    assert free.grasps


def test_the_way_to_a_grasp_is_free(standing):
    """A board over the can leaves the place of the hand free, but not its way there."""
    board = SceneObject(
        ObjectModel("board", "box", np.array([0.4, 0.4, 0.02])), upright_pose([0.45, 0.05, 0.33]), False
    )
    found = propose_grasps(standing(SHAPES["a can"], 0.0, board), "thing")
    assert found.grasps == () and "board is in the hand's way to the grasp" in found.reason


def test_the_target_of_a_mesh_is_looked_at_too(standing):
    scene = standing(SHAPES["a can"])
    far = upright_pose([1.1, 0.0, 0.05])
    found = propose_grasps(scene, "thing", far)
    assert found.grasps == () and "at the target" in found.reason


# -- clouds ------------------------------------------------------------------------------------------------------------


def cloud(mesh: trimesh.Trimesh, scene: Scene, noise_m: float = 0.001, seen=lambda normals: normals[:, 2] > -0.5):
    """Points and normals of the thing as cameras around it would see them."""
    rng = np.random.default_rng(3)
    points, face = trimesh.sample.sample_surface(mesh, 3000, seed=3)
    normals = mesh.face_normals[face]
    keep = seen(normals)
    pose = scene.object("thing").pose
    points = pose_apply(pose, points[keep]) + rng.normal(0, noise_m, (int(keep.sum()), 3))
    return points, pose_apply(pose, normals[keep]) - pose[:3]


def test_a_cloud_of_a_block_is_grasped_and_lifted(standing):
    mesh = trimesh.creation.box((0.12, 0.05, 0.09))
    scene = standing(mesh)
    found = propose_cloud_grasps(*cloud(mesh, scene), np.zeros((0, 3)), scene)
    assert isinstance(found, GraspProposals) and found.grasps
    local = pose_apply(pose_inverse(scene.object("thing").pose), found.grasps[0].tcp_pose[None, :3])[0]
    assert abs(local[1]) < 0.004 and abs(local[0]) < 0.05
    assert lifted(scene, found.grasps[0])


def test_sides_that_no_camera_saw_are_not_held(standing):
    mesh = trimesh.creation.box((0.12, 0.05, 0.09))
    scene = standing(mesh)
    found = propose_cloud_grasps(*cloud(mesh, scene, seen=lambda n: n[:, 1] > -0.5), np.zeros((0, 3)), scene)
    narrow = [g for g in found.grasps if g.width_m < 0.06]
    assert narrow == [] and (found.grasps or "no camera sees" in found.reason)


def test_points_around_a_cloud_forbid_grasps(standing):
    mesh = trimesh.creation.box((0.12, 0.05, 0.09))
    scene = standing(mesh, 0.0)
    x, z = np.meshgrid(np.linspace(0.35, 0.55, 60), np.linspace(0, 0.09, 30))
    sides = [np.column_stack([x.ravel(), np.full(x.size, 0.05 + s * 0.045), z.ravel()]) for s in (1, -1)]
    found = propose_cloud_grasps(*cloud(mesh, scene), np.concatenate(sides), scene)
    assert found.grasps == () and "beside what stands around it" in found.reason


@pytest.mark.parametrize(
    ("move", "words"), [(upright_pose([0.8, 0, 0]), "does not reach"), (upright_pose([0, 0, -0.06]), "enter the table")]
)
def test_the_target_of_a_cloud_is_looked_at_too(standing, move, words):
    mesh = trimesh.creation.box((0.12, 0.05, 0.09))
    scene = standing(mesh)
    found = propose_cloud_grasps(*cloud(mesh, scene), np.zeros((0, 3)), scene, move)
    assert found.grasps == () and words in found.reason and found.reason.endswith("at the target")


def test_a_few_points_are_nothing(standing):
    scene = standing(SHAPES["a can"])
    found = propose_cloud_grasps(np.zeros((5, 3)), np.zeros((5, 3)), np.zeros((0, 3)), scene)
    assert found.reason == "only 5 points of it were seen, 60 are needed"
