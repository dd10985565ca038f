"""Scanning: pictures on the marker board become a mesh at true scale, and an object that tasks accept."""

import json
import shutil
from dataclasses import replace
from functools import cache

import gymnasium as gym
import numpy as np
import pytest
import trimesh
from mug import mug
from scan_pictures import take
from scipy.ndimage import uniform_filter
from scipy.spatial import cKDTree
from typer.testing import CliRunner

import iker_envs.objects.own_mesh
from iker_agent.authoring.scanned import check_object, make_object, save
from iker_agent.commands.app import app
from iker_agent.execute import execute
from iker_agent.learning.waypoint import WaypointLearner
from iker_envs.geometry import fit_rigid, pose_apply, rotation_angle
from iker_envs.objects.coloured import Coloured, write_coloured
from iker_envs.objects.library import object_library
from iker_envs.objects.looks import visual_geoms
from iker_envs.objects.mesh_repair import is_closed
from iker_envs.objects.own_mesh import mesh_size_m
from iker_envs.optics import look_at, stationary_cameras
from iker_envs.perception.rgbd import RgbdEstimator
from iker_envs.perception.scan import scan_object
from iker_envs.perception.scan_folder import load_scan
from iker_envs.perception.surfaces import surface_model
from iker_envs.physics.transfer import scene_from_poses
from iker_envs.pictures.sensor_noise import NoisyCameras, SensorNoise
from iker_envs.pictures.still import still_view
from iker_envs.planning.grasps import propose_grasps
from iker_envs.scene import ObjectModel, Scene, SceneObject, upright_pose
from iker_envs.task import load_task

NAMES = ("sneaker_left", "book_red", "mug")
CHAMFER_M = 0.003
SCALE = 0.02


@pytest.fixture(scope="module")
def taken(tmp_path_factory):
    """Name -> the true model and a folder of 12 pictures of it, taken once."""
    root = tmp_path_factory.mktemp("scans")
    made = {}

    def give(name: str):
        if name not in made:
            model = object_library().get(name)
            if name == "mug":
                path = root / "mug.stl"
                trimesh.Trimesh(*mug(), process=False).export(path)
                size = np.array(mesh_size_m(str(path), 1.0))
                blue = np.array([0.2, 0.4, 0.7, 1.0])
                model = ObjectModel("mug", "mesh", size, 0.3, mesh=str(path), rgba=blue)
            with pytest.MonkeyPatch.context() as patch:  # a picture needs no convex parts, which take a while
                patch.setattr(iker_envs.objects.own_mesh, "is_available", lambda: False)
                take(root / name, model, 12)
            iker_envs.objects.own_mesh._parts.cache_clear()
            made[name] = model, root / name
        return made[name]

    return give


@pytest.fixture(scope="module")
def scanned(taken):
    """Name -> its scan, made once."""
    return cache(lambda name: scan_object(load_scan(taken(name)[1])))


def outer_points(model: ObjectModel) -> np.ndarray:
    """Points of the true surface: every one of the look, or what can be seen of it from outside."""
    if model.shape == "mesh":
        (look,) = visual_geoms(model)
        mesh = trimesh.Trimesh(look.vertices_m + np.array(look.position_m), look.faces, process=False)
        return np.asarray(trimesh.sample.sample_surface(mesh, 60_000, seed=1)[0])
    geoms = [trimesh.Trimesh(g.vertices_m, g.faces) for g in visual_geoms(model) if g.vertices_m is not None]
    moved = [
        m.apply_translation(g.position_m)
        for m, g in zip(geoms, (g for g in visual_geoms(model) if g.vertices_m is not None), strict=True)
    ]
    boxes = [
        trimesh.creation.box(2 * np.array(g.half_size_m)).apply_translation(g.position_m)
        for g in visual_geoms(model)
        if g.kind == "box"
    ]
    every = trimesh.util.concatenate([*moved, *boxes])
    return np.asarray(trimesh.sample.sample_surface(every, 120_000, seed=1)[0])


def chamfer_m(vertices, faces, model: ObjectModel) -> tuple[float, float]:
    """Mean distances from scan to truth and, of what cameras can see, from truth to scan, after alignment."""
    mesh = trimesh.Trimesh(vertices, faces, process=False)
    points = np.asarray(trimesh.sample.sample_surface(mesh, 40_000, seed=0)[0])
    true = outer_points(model)
    tree = cKDTree(true)
    for _ in range(30):
        some = points[::8]
        distance, nearest = tree.query(some)
        kept = distance < np.percentile(distance, 90)
        points = pose_apply(fit_rigid(some[kept], true[nearest[kept]])[0], points)
    seen = surface_model(model).points
    seen = seen[seen[:, 2] > -model.size_m[2] / 2 + 0.008]  # an underside and the inside of a mug stand in the dark
    return float(tree.query(points)[0].mean()), float(cKDTree(points).query(seen)[0].mean())


@pytest.mark.parametrize("name", NAMES)
def test_a_scan_is_closed_and_true_to_scale(taken, scanned, name):
    model, _ = taken(name)
    scan = scanned(name)
    assert is_closed(scan.faces) and scan.left_out == {}
    assert max(chamfer_m(scan.vertices, scan.faces, model)) < CHAMFER_M
    size = np.ptp(scan.vertices, axis=0)
    assert np.linalg.norm(size) == pytest.approx(np.linalg.norm(model.size_m), rel=SCALE)
    assert np.abs(size - model.size_m).max() < 0.004
    assert 0.98 < scan.depth_scale < 1.02
    np.testing.assert_allclose(scan.vertices.min(axis=0), -scan.vertices.max(axis=0), atol=1e-9)


def test_a_mug_keeps_its_floor_and_its_hollow(scanned):
    scan = scanned("mug")
    cup = np.array([-0.0125, 0.0])  # beside the middle of the box, for the handle's sake
    within = scan.vertices[np.linalg.norm(scan.vertices[:, :2] - cup, axis=1) < 0.02]
    assert len(within) > 50 and within[:, 2].max() < -0.005, "a floor, and above it only what no camera saw into"


@pytest.mark.parametrize(("name", "shape"), [("sneaker_left", "mesh"), ("book_red", "box")])
def test_a_scan_becomes_an_entry_that_tasks_read(scanned, tmp_path, name, shape):
    made = make_object(scanned(name), "thing", 0.4)
    (tmp_path / "objects.yaml").write_text("# mine\nother:\n  shape: box\n  size_m: [0.1, 0.1, 0.1]\n  mass_kg: 0.1\n")
    model = save(made, tmp_path)
    assert model.shape == shape and model.mass_kg == 0.4 and "scanned from 12 pictures" in model.source
    assert set(object_library([tmp_path])) >= {"thing", "other"}
    assert (tmp_path / "objects.yaml").read_text().startswith("# mine")
    assert model.rgba[0] > 1.5 * model.rgba[2], "red is red"
    before = (tmp_path / "objects.yaml").read_text()
    with pytest.raises(ValueError, match="has an object 'thing'; choose another name, or pass --replace"):
        save(made, tmp_path)
    assert (tmp_path / "objects.yaml").read_text() == before
    save(made, tmp_path, replace=True)
    assert set(object_library([tmp_path])) >= {"thing", "other"}


@pytest.mark.parametrize("name", ["sneaker_left", "book_red"])
def test_a_scan_is_drawn_in_the_colours_that_the_cameras_saw(taken, scanned, tmp_path, name):
    true, _ = taken(name)
    model = save(make_object(scanned(name), "thing", 0.4), tmp_path)
    assert trimesh.load_mesh(tmp_path / "thing.ply").visual.kind == "vertex"
    for side in (1.0, -1.0):
        looks = [look_from_the_side(replace(m, name="thing"), side) for m in (model, true)]
        (drawn, shown), (exact, there) = ((i.rgb.astype(float), i.segmentation == 0) for i in looks)
        both = shown & there
        assert both.sum() > 0.93 * there.sum()
        inner = uniform_filter(both.astype(float), 5) > 0.99
        seen, expected = (uniform_filter(picture, (5, 5, 0))[inner] for picture in (drawn, exact))
        share = seen.mean(axis=0) / expected.mean(axis=0)
        darkest = 0.6 if side > 0 else 0.3  # the lamp is on its left: the shade in which it stood is in its colours
        assert darkest < share.min() and share.max() < 1.25 and np.ptp(share) < 0.1
        assert np.corrcoef(seen[:, 1], expected[:, 1])[0, 1] > 0.75, "print, laces and sole, not one colour"


def look_from_the_side(model: ObjectModel, side: float):
    thing = SceneObject(model, upright_pose(np.array([0.5, 0.0, model.size_m[2] / 2])))
    camera = look_at("query", (0.45, 0.55 * side, 0.3), (0.5, 0.0, 0.06), up=(0.0, 0.0, 1.0))
    camera = replace(camera, width=320, height=240)
    scene = Scene((thing,), (camera,), np.array([[0.2, -0.45, 0.015], [0.75, 0.45, 0.45]]), query_camera="query")
    return still_view(scene, shadows=False).cameras["query"]


WRONG_LOOKS = {
    "another kind of file": ({"mesh": "thing.obj"}, "is a .ply file with colours"),
    "elsewhere": ({"mesh": "../thing.ply"}, "is a path inside the folder"),
    "missing": ({"mesh": "no.ply"}, "there is no mesh file"),
    "without colours": ({"mesh": "plain.ply"}, "have no colours"),
    "of another size": ({"size_m": [0.3, 0.1, 0.1]}, "the object 30.0 x 10.0 x 10.0 cm"),
    "no mesh at all": ({"mesh": "text.ply"}, "cannot be read"),
}


@pytest.mark.parametrize(("changes", "words"), WRONG_LOOKS.values(), ids=WRONG_LOOKS)
def test_a_look_that_cannot_be_drawn_is_refused_when_the_library_is_read(tmp_path, changes, words):
    box = trimesh.creation.box((0.2, 0.1, 0.05))
    (tmp_path / "plain.ply").write_bytes(box.export(file_type="ply"))
    (tmp_path / "text.ply").write_text("ply, but not really")
    colours = np.full((len(box.vertices), 3), 0.5)
    (tmp_path / "thing.ply").write_bytes(write_coloured(Coloured(box.vertices, box.faces, colours)))
    entry = {"shape": "box", "size_m": [0.2, 0.1, 0.05], "mass_kg": 0.3, "mesh": "thing.ply"}
    (tmp_path / "objects.yaml").write_text(json.dumps({"thing": entry}))
    (look,) = visual_geoms(object_library([tmp_path])["thing"])
    np.testing.assert_allclose(look.colours, 128 / 255, atol=1e-6)
    (tmp_path / "objects.yaml").write_text(json.dumps({"thing": entry | changes}))
    with pytest.raises(ValueError) as caught:
        object_library([tmp_path])
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_the_front_is_where_the_user_says(taken, scanned):
    _, folder = taken("sneaker_left")
    ahead = scanned("sneaker_left").vertices
    turned = scan_object(load_scan(folder), np.pi).vertices
    np.testing.assert_allclose(np.ptp(ahead, axis=0), np.ptp(turned, axis=0), atol=1e-6)
    toe = [v[v[:, 0] > v[:, 0].max() - 0.03][:, 2].max() for v in (ahead, turned)]
    heel = [v[v[:, 0] < v[:, 0].min() + 0.03][:, 2].max() for v in (ahead, turned)]
    assert toe[0] < heel[0] and toe[1] > heel[1], "a shoe is low at its toe"


def test_the_command_leaves_mesh_entry_and_contact_sheet(taken, tmp_path):
    from PIL import Image

    _, folder = taken("book_red")
    done = CliRunner().invoke(app, ["scan", str(folder), "--name", "novel", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "is a guess from its volume; weigh it" in done.output and "grasps from above" in done.output
    assert {p.name for p in tmp_path.iterdir()} == {"novel.ply", "novel.jpg", "objects.yaml"}
    assert min(Image.open(tmp_path / "novel.jpg").size) > 800


# -- refusals ----------------------------------------------------------------------------------------------------------


def keep(content: dict, *frames: int) -> None:
    content["frames"] = [content["frames"][i] for i in frames]


SPOILT = {
    "few": (lambda c: keep(c, 0, 3, 6), "3 of 3 pictures can be used, 8 are needed"),
    "one side": (lambda c: keep(c, 0, 1, 2, 3, 4, 0, 1, 2), "degrees around only"),
    "another board": (lambda c: c["board"].update(columns=5, rows=4), "pictures can be used, 8 are needed"),
    "a wrong square": (lambda c: c["board"].update(square_m=0.037), "too far away"),
    "another unit of depth": (lambda c: c.update(depth_unit_m=0.001), "too far away"),
    "no K": (lambda c: c.pop("K"), "K is missing"),
    "outside": (lambda c: c["frames"][0].update(depth="../d.png"), "the name of a file in the folder"),
    "missing": (lambda c: c["frames"][0].update(picture="no.png"), "cannot be read"),
    "colour for depth": (lambda c: c["frames"][0].update(depth="000.png"), "align depth to colour"),
}


@pytest.mark.parametrize(("spoil", "words"), SPOILT.values(), ids=SPOILT)
def test_what_cannot_be_scanned_is_told_in_a_sentence(taken, tmp_path, spoil, words):
    _, folder = taken("book_red")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    content = json.loads((copy / "scan.yaml").read_text())
    spoil(content)
    (copy / "scan.yaml").write_text(json.dumps(content))
    with pytest.raises(ValueError) as caught:
        scan_object(load_scan(copy))
    assert words in str(caught.value) and "\n" not in str(caught.value)


# -- use ---------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "name"), [("shoe_place", "sneaker_left"), ("shoe_push", "sneaker_left"), ("book_push", "book_red")]
)
def test_what_was_only_ever_scanned_goes_through_a_stage(scanned, tmp_path, task, name):
    """Found in pictures of the true object by its scan, learnt on the scan, carried out with the true object."""
    made = make_object(scanned(name), "scanned", 0.3)
    model = save(made, tmp_path)
    assert any("grasps from above" in note for note in check_object(model, lambda sentence: None))
    scene = load_task(task).sample(np.random.default_rng(1), 0)
    goal = load_task(task).goal(0, scene, 0)
    objects = [replace(o, model=replace(model, name=o.name)) if o.name == goal.object else o for o in scene.objects]
    known = replace(scene, objects=tuple(objects))
    view = NoisyCameras(SensorNoise(), 3).photograph(still_view(scene, cameras=stationary_cameras()))
    found = {name: estimate.pose for name, estimate in RgbdEstimator().estimate(view, known).items()}
    for obj in scene.objects:
        if obj.movable:
            assert np.linalg.norm(found[obj.name][:3] - obj.pose[:3]) < 0.01, obj.name
            assert float(rotation_angle(found[obj.name][3:], obj.pose[3:])) < np.deg2rad(4), obj.name
    known = scene_from_poses(known, found)
    keypoints = known.object(goal.object).keypoints_world_m()
    assert np.linalg.norm(keypoints - scene.object(goal.object).keypoints_world_m(), axis=1).max() < 0.02
    grasp = propose_grasps(known, goal.object, goal.target_pose).grasps[0] if goal.grasp else None
    env = gym.make("IKER-Stage-v0", scene=scene, goal=replace(goal, grasp=False), randomisation="off").unwrapped
    env.reset(seed=0)
    outcome = execute(env, WaypointLearner().learn(known, goal).policy, goal, grasp).outcome
    env.close()
    assert outcome.success_strict, outcome.reason
