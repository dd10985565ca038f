"""Object models: what is shipped, how it is split, and a user's own mesh through the same door."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import trimesh

from iker_envs.objects.library import object_library, object_split
from iker_envs.objects.looks import visual_geoms
from iker_envs.objects.shapes import parts
from iker_envs.optics import default_cameras
from iker_envs.physics.mujoco_model import build_model
from iker_envs.planning.collision import object_boxes
from iker_envs.scene import Scene, SceneObject, upright_pose

MODELS = object_library()
WORKSPACE = np.array([[0.2, -0.45, 0.0], [0.7, 0.45, 0.4]])


def test_what_is_shipped():
    counts = Counter(model.shape for model in MODELS.values())
    assert counts["shoe"] == 10 and counts["rack"] == 3 and counts["book"] == 9 and "shoe_box" in MODELS
    for model in MODELS.values():
        assert model.source and (model.size_m > 0).all()
    books = [m for m in MODELS.values() if m.shape == "book"]
    assert min(m.size_m[1] for m in books) >= 0.02, "a fingertip rides over a thinner book"
    assert len({tuple(m.rgba) for m in books}) == len({tuple(m.size_m) for m in books}) == 9


@pytest.mark.parametrize("pair", sorted({n.removesuffix("_left") for n in MODELS if n.endswith("_left")}))
def test_a_pair_is_mirrored(pair):
    left, right = (MODELS[f"{pair}_{side}"] for side in ("left", "right"))
    assert (left.side, right.side) == ("left", "right") and left.mass_kg == right.mass_kg
    np.testing.assert_array_equal(left.size_m, right.size_m)
    for a, b in zip(visual_geoms(left), visual_geoms(right), strict=True):
        np.testing.assert_allclose(a.vertices_m * [1, -1, 1], b.vertices_m)


@pytest.mark.parametrize("shape", ["shoe", "rack", "book"])
def test_a_family_has_equally_many_collision_parts(shape):
    assert len({len(parts(m).collision) for m in MODELS.values() if m.shape == shape}) == 1


@pytest.mark.parametrize("name", MODELS)
def test_parts_and_looks_fill_the_bounding_box(name):
    model = MODELS[name]
    corners = np.concatenate([b.corners() for b in object_boxes(model, upright_pose([0, 0, 0]))])
    np.testing.assert_allclose(corners.max(axis=0) - corners.min(axis=0), model.size_m, atol=1e-6)
    assert sum(parts(model).mass_share) == pytest.approx(1.0)
    assert visual_geoms(model)


def test_the_split_holds_every_object_once_and_both_kinds():
    split = object_split()
    assert sorted(split["train"] + split["test"]) == sorted(MODELS)
    for shape in ("shoe", "rack", "book"):
        assert all(any(MODELS[n].shape == shape for n in names) for names in split.values())


def _library(tmp_path, mesh: trimesh.Trimesh, **fields):
    mesh.export(tmp_path / "thing.obj")
    lines = {"shape": "mesh", "mesh": "thing.obj", "mass_kg": 0.2, **fields}
    (tmp_path / "objects.yaml").write_text("thing:\n" + "".join(f"  {k}: {v}\n" for k, v in lines.items()))
    return object_library([tmp_path])


def test_a_mesh_is_centred_and_scaled(tmp_path):
    mesh = trimesh.creation.box((60, 40, 50))
    mesh.apply_translation((500, 0, 0))
    model = _library(tmp_path, mesh, mesh_scale=0.001)["thing"]
    np.testing.assert_allclose(model.size_m, [0.06, 0.04, 0.05], atol=1e-9)
    (part,) = parts(model).collision
    np.testing.assert_allclose(part.position_m, 0, atol=1e-9)
    scene = Scene((SceneObject(model, upright_pose([0.4, 0, 0.025])),), default_cameras(), WORKSPACE)
    assert build_model(scene, visuals=True).body("thing").mass[0] == pytest.approx(0.2)


def test_a_size_that_is_not_the_mesh_s_is_refused(tmp_path):
    model = _library(tmp_path, trimesh.creation.box((0.06, 0.04, 0.05)))["thing"]
    parts(replace(model, size_m=model.size_m + 0.0009))
    words = r"size_m of 'thing' is that of its mesh, \[0.06, 0.04, 0.05\], not \[0.04, 0.06, 0.05\]"
    with pytest.raises(ValueError, match=words):
        parts(replace(model, size_m=model.size_m[[1, 0, 2]]))


def test_a_hollow_mesh_is_cut_into_convex_parts(tmp_path):
    pytest.importorskip("coacd", reason="the extra mesh is missing: pip install 'iker[mesh]'")
    tube = trimesh.creation.annulus(r_min=0.04, r_max=0.05, height=0.08, sections=24)
    model = _library(tmp_path, tube)["thing"]
    shares = parts(model).mass_share
    assert 3 <= len(shares) <= 8 and sum(shares) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update_faces(np.arange(len(m.faces)) > 0), "not watertight: close its holes"),
        (lambda m: m.apply_scale(1000), "would be 6e.*cm large; mesh_scale is how many metres"),
    ],
)
def test_a_bad_mesh_is_one_sentence(tmp_path, change, words):
    mesh = trimesh.creation.box((0.06, 0.04, 0.05))
    change(mesh)
    with pytest.raises(ValueError, match=words) as caught:
        _library(tmp_path, mesh)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("thing: {shape: mesh}", "'thing': shape mesh needs `mesh`"),
        ("thing: {shape: mesh, mesh: none.obj}", "there is no mesh file"),
        ("thing: {shape: box, size_m: [1, 1]}", "'thing': ObjectModel.size_m"),
        ("thing: {shape: box, size_m: [1, 1, 1], split: later}", "split is train or test, not 'later'"),
        ("- thing", "holds a mapping from model names"),
        ("thing: [", "is not YAML"),
    ],
)
def test_a_faulty_entry_is_one_sentence(tmp_path, text, words):
    (tmp_path / "objects.yaml").write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        object_library([tmp_path])
    assert "\n" not in str(caught.value)
