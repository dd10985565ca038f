"""A user's mesh: harmless faults are mended, what cannot be used is told in one sentence, nothing runs without end."""

import logging
import os

import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis.extra.numpy import arrays
from mesh_files import BOX, TUBE, VOLUME, compiled, enclosed, model_of, obj, refusal

from iker_envs.objects import decomposition, mesh_file, own_mesh
from iker_envs.objects.library import object_library
from iker_envs.objects.mesh_file import MAX_FACES, read_mesh
from iker_envs.objects.mesh_repair import edge_counts, wound_outwards
from iker_envs.objects.own_mesh import mesh_look, mesh_parts, mesh_size_m
from iker_envs.objects.shapes import parts

MISSING = "the extra mesh is missing: pip install 'iker[mesh]'"


@pytest.fixture
def write(tmp_path):
    """Writes a file and gives its path."""

    def to(content: str | bytes, name: str = "thing.obj") -> str:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return to


# -- winding -----------------------------------------------------------------------------------------------------------


@given(arrays(bool, len(TUBE.faces)))
def test_any_winding_is_mended(turned):
    faces = np.where(turned[:, None], TUBE.faces[:, ::-1], TUBE.faces)
    mended, volumes = wound_outwards((np.asarray(TUBE.vertices), faces))
    np.testing.assert_allclose(volumes, [TUBE.volume])
    same = [set(map(tuple, np.sort(f, axis=1))) for f in (mended, TUBE.faces)]
    assert same[0] == same[1]
    shape = trimesh.Trimesh(TUBE.vertices, mended, process=False)
    assert shape.is_winding_consistent and shape.volume == pytest.approx(TUBE.volume)


def test_a_hollow_mesh_with_mixed_winding_is_cut_into_parts_and_tells_of_it(write, caplog):
    pytest.importorskip("coacd", reason=MISSING)
    faces = np.array(TUBE.faces)
    faces[::3] = faces[::3, ::-1]
    path = write(obj(TUBE.vertices, [*faces, faces[0]]))
    with caplog.at_level(logging.INFO, logger="iker_envs"):
        found = mesh_parts(path, 1.0)
    assert 3 <= len(found.collision) <= decomposition.MAX_PARTS and sum(found.mass_share) == pytest.approx(1.0)
    corners = np.concatenate([g.vertices_m + g.position_m for g in found.collision])
    np.testing.assert_allclose(np.ptp(corners, axis=0), np.ptp(TUBE.vertices, axis=0), rtol=0.05)
    assert "left out 1 faces" in caplog.text
    assert f"cutting the mesh {path!r}, 64 faces, into convex parts" in caplog.text
    assert f"became {len(found.collision)} convex parts" in caplog.text.splitlines()[-1]


def test_a_body_inside_out_is_turned_and_a_cavity_stays(write):
    outer = trimesh.creation.box((0.1, 0.1, 0.1))
    hole = trimesh.creation.box((0.08, 0.08, 0.08))
    beside = trimesh.creation.box((0.02, 0.02, 0.02))
    beside.apply_translation((0.2, 0, 0))
    hole.invert()
    beside.invert()
    for turn in (False, True):
        mesh = trimesh.util.concatenate([outer, hole, beside])
        if turn:
            mesh.invert()
        read = read_mesh(write(obj(mesh.vertices, mesh.faces), f"bodies_{turn}.obj"))
        assert enclosed(read) == pytest.approx(0.1**3 - 0.08**3 + 0.02**3)


def test_a_surface_without_an_outside_is_told(write):
    n = 12
    around, across = np.meshgrid(np.arange(n), np.arange(n), indexing="ij")

    def at(i, j):  # a torus whose seam is glued the wrong way round is a Klein bottle
        return (i % n) * n + np.where(i >= n, -j, j) % n

    corners = [at(around + di, across + dj).ravel() for di, dj in ((0, 0), (1, 0), (1, 1), (0, 1))]
    faces = np.concatenate([np.stack(corners[:3], -1), np.stack([corners[0], corners[2], corners[3]], -1)])
    vertices = np.random.default_rng(0).uniform(0, 0.1, (n * n, 3))
    assert "its surface has no outside" in refusal(write(obj(vertices, faces)))


# -- useless faces -----------------------------------------------------------------------------------------------------

V = np.asarray(BOX.vertices)
F = np.asarray(BOX.faces)
EDGE = F[0, :2]
MIDDLE = V[EDGE].mean(axis=0)
USELESS = {
    "a point": (V, [*F, [0, 0, 0]]),
    "two corners": (V, [*F, [0, 0, 1]]),
    "no area": (np.vstack([V, MIDDLE]), [*F, [EDGE[0], len(V), EDGE[1]]]),
    "doubled": (V, [*F, F[3]]),
    "doubled and turned": (V, [*F, F[3][[2, 1, 0]]]),
    "doubled and begun elsewhere": (V, [*F, F[5][[1, 2, 0]]]),
    "three times": (V, [*F, F[3], F[3]]),
    "a fin": (np.vstack([V, [0.01, 0.01, 0.01]]), [*F, [*EDGE, len(V)], [*EDGE[::-1], len(V)]]),
    "vertices twice": (np.vstack([V, V]), [*F[:6], *(F[6:] + len(V))]),
    "vertices nearly twice": (np.vstack([V, V + 1e-9]), [*F[:6], *(F[6:] + len(V))]),
    "an unused vertex far away": (np.vstack([V, [9.0, 9, 9]]), F),
}


@pytest.mark.parametrize(("vertices", "faces"), USELESS.values(), ids=USELESS)
def test_faces_that_enclose_nothing_are_left_out(write, vertices, faces):
    path = write(obj(vertices, faces))
    read = read_mesh(path)
    assert enclosed(read) == pytest.approx(VOLUME) and len(read[1]) == len(F)
    assert mesh_size_m(path, 1.0) == pytest.approx([0.06, 0.04, 0.05])
    assert compiled(path).body("thing").mass[0] == pytest.approx(0.2)


def test_a_face_without_area_that_closes_the_surface_stays(write):
    """A point on an edge belongs to one neighbour only: the face between is needed, flat as it is."""
    a, b, _ = F[0]
    other = next(k for k in range(1, len(F)) if {a, b} <= set(F[k]))
    apex = next(c for c in F[other] if c not in (a, b))
    m = len(V)
    split = [k for k in range(len(F)) if k != other]
    faces = [*F[split], [b, a, m], [m, a, apex], [b, m, apex]]
    path = write(obj(np.vstack([V, MIDDLE]), faces))
    assert enclosed(read_mesh(path)) == pytest.approx(VOLUME)
    assert compiled(path).ngeom


# -- faults, named rightly ---------------------------------------------------------------------------------------------

TWO_BOXES = (np.vstack([V, V + np.array([0.06, 0.04, 0.0])]), np.vstack([F, F + len(V)]))  # they share an upright edge
FLAT = (V * [1, 1, 0], F)
FAULTS = {
    "a hole": (obj(V, F[1:]), "not watertight: close its holes (3 edges belong to one face only, the first between ["),
    "a sheet": (obj(V[:3] * 1.0, [[0, 1, 2]]), "not watertight: close its holes"),
    "a wall inside": (
        obj(np.vstack([V, [0, 0, 0]]), [*F, [*EDGE, len(V)], [EDGE[0], len(V), 7], [7, len(V), EDGE[1]]]),
        "is not one surface: 3 edges belong to more than two faces, the first between",
    ),
    "flat": (obj(V * [1, 1, 0.0], F), "encloses no volume: it is flat"),
    "only points": (obj(V, []), "has no faces"),
    "only lines": (obj(V, []) + "l 1 2\n", "has no faces"),
    "only useless faces": (obj(V, [[0, 0, 1], [1, 1, 1]]), "has no face with an area"),
    "nan": (obj([[np.nan, 0, 0], *V[1:]], F), "has a vertex at [nan, 0.0, 0.0], which is no place"),
    "inf": (obj([[0, np.inf, 0], *V[1:]], F), "has a vertex at [0.0, inf, 0.0], which is no place"),
    "no such vertex": (obj(V, [*F, [0, 1, 99]]), ""),
    "words": (obj(V, F).replace("v", "v one two three #", 1), "cannot be read: "),
    "empty": ("", "is an empty file"),
    "blank": (" \n\n", "is an empty file"),
    "binary": (b"v\0 \0" + b"\xff" * 40, "is not text of 8-bit letters"),
    "utf-16": (obj(V, F).encode("utf-16"), "is not text of 8-bit letters"),
    "one place": (obj(V * 0 + 0.1, F), "has all its vertices at one place"),
    "endless": (obj(V * 5e309, F), "which is no place"),
    "huge": (obj(V * 1e300, F), "cm large; mesh_scale is how many metres its unit is"),
    "tiny": (obj(V * 1e-6, F), "cm large; mesh_scale is how many metres its unit is"),
    "millimetres": (
        obj(V * 1000, F),
        "would be 6e+03 x 4e+03 x 5e+03 cm large; mesh_scale is how many metres its unit ",
    ),
}


@pytest.mark.parametrize(("content", "words"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_named_rightly(write, content, words):
    assert words in refusal(write(content))


def test_holes_are_named_only_where_there_are_some(write):
    assert "holes" not in refusal(write(obj(*FLAT)))
    soup = np.concatenate([TWO_BOXES[0][f] for f in TWO_BOXES[1]])
    sentence = refusal(write(obj(soup, np.arange(len(soup)).reshape(-1, 3)), "touching.obj"))
    assert "edges belong to more than two faces" in sentence and "leave a gap between bodies" in sentence
    assert "holes" not in sentence


def test_the_unit_that_would_fit_is_told(write):
    path = write(obj(V * 1000, F))
    assert "0.001 for millimetres" in refusal(path)
    assert mesh_size_m(path, 0.001) == pytest.approx([0.06, 0.04, 0.05])


def test_bodies_that_lie_apart_are_one_object(write):
    apart = (np.vstack([V, V + np.array([0.1, 0.0, 0.0])]), np.vstack([F, F + len(V)]))
    path = write(obj(*apart))
    assert enclosed(read_mesh(path)) == pytest.approx(2 * VOLUME)
    assert mesh_size_m(path, 1.0) == pytest.approx([0.16, 0.04, 0.05])


def test_bodies_that_touch_may_have_vertices_of_their_own(write):
    path = write(obj(*TWO_BOXES))
    assert enclosed(read_mesh(path)) == pytest.approx(2 * VOLUME)


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["stl", "stl_ascii"])
def test_both_kinds_of_stl_are_read(write, kind):
    content = BOX.export(file_type=kind)
    path = write(content, "box.STL")
    assert mesh_size_m(path, 1.0) == pytest.approx([0.06, 0.04, 0.05])
    assert len(read_mesh(path)[0]) == 8


@pytest.mark.parametrize("end", [-1, -30, 100])
def test_half_a_binary_stl_is_told(write, end):
    assert "is not a whole binary STL file" in refusal(write(BOX.export(file_type="stl")[:end], "box.stl"))


@pytest.mark.parametrize("head", ["o Würfel", "# caf\xe9 \xa9", "g M\xfcll", "usemtl \xdfchwarz"])
@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_letters_of_names_and_comments_do_not_matter(write, head, encoding):
    path = write(f"{head}\n{obj(V, F)}".encode(encoding))
    assert mesh_size_m(path, 1.0) == pytest.approx([0.06, 0.04, 0.05])
    text = f"solid {head}\n" + BOX.export(file_type="stl_ascii").split("\n", 1)[1]
    assert mesh_size_m(write(text.encode(encoding), "thing.stl"), 1.0) == pytest.approx([0.06, 0.04, 0.05])


def test_materials_and_textures_are_not_asked_for(write):
    corners = "".join("f " + " ".join(f"{v + 1}/{k + 1}/{k + 1}" for k, v in enumerate(f)) + "\n" for f in F)
    seams = "vt 0 0\nvt 1 0\nvt 1 1\nvn 0 0 1\nvn 0 1 0\nvn 1 0 0\n"
    path = write(f"mtllib absent.mtl\n{obj(V, [])}{seams}usemtl red\n{corners}")
    assert mesh_size_m(path, 1.0) == pytest.approx([0.06, 0.04, 0.05]) and enclosed(read_mesh(path)) > 0


def test_what_is_no_file_is_told(write, tmp_path):
    assert "there is no mesh file" in refusal(str(tmp_path / "gone.obj"))
    (tmp_path / "folder.obj").mkdir()
    assert "is a folder; name an .obj or .stl file" in refusal(str(tmp_path / "folder.obj"))
    assert "is no ordinary file" in refusal("/dev/zero")
    os.mkfifo(tmp_path / "pipe.obj")
    assert "is no ordinary file" in refusal(str(tmp_path / "pipe.obj"))
    assert "is neither an .obj nor an .stl file" in refusal(write("ply", "thing.ply"))
    with pytest.raises(ValueError, match="cannot be read: embedded null byte"):
        mesh_size_m("a\0.obj", 1.0)


def test_a_file_that_may_not_be_read_is_told(unreadable):
    assert "cannot be read: Permission denied" in refusal(str(unreadable("thing.obj", obj(V, F))))


# -- limits ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def no_parsing(monkeypatch):
    """A file that is refused for its size is refused before it is parsed."""

    def parsed(*_):
        raise AssertionError("the file was parsed")

    monkeypatch.setattr(mesh_file, "_parsed", parsed)


def test_an_obj_of_a_million_faces_is_refused_before_it_is_parsed(write, no_parsing):
    sentence = refusal(write(obj(V, []) + "f 1 2 3\n" * 1_000_000))
    assert f"has 1000000 faces, of at most {MAX_FACES}; decimate it" in sentence


def test_a_binary_stl_of_a_million_faces_is_refused_before_it_is_parsed(write, no_parsing):
    content = b" " * 80 + (1_000_000).to_bytes(4, "little") + bytes(50) * 1_000_000
    assert "has 1000000 faces" in refusal(write(content, "large.stl"))


def test_an_ascii_stl_of_too_many_faces_is_refused_before_it_is_parsed(write, no_parsing):
    assert "has 200001 faces" in refusal(write("solid a\n" + "facet\nendfacet\n" * 200_001, "large.stl"))


def test_a_file_of_gigabytes_is_refused_unread(write, no_parsing):
    path = write("v 0 0 0\n")
    os.truncate(path, 3_000_000_000)  # sparse
    assert "is a file of 3000 MB, of at most 64; decimate it to 200000 faces or fewer" in refusal(path)


def test_polygons_count_as_their_triangles(write, monkeypatch):
    monkeypatch.setattr(mesh_file, "MAX_FACES", 11)
    square = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    vertices = np.array([[x, y, z] for x in (0, 0.1) for y in (0, 0.1) for z in (0, 0.1)])
    text = obj(vertices, []) + "".join("f " + " ".join(str(v + 1) for v in f) + "\n" for f in square)
    assert "has 12 faces, of at most 11" in refusal(write(text))


def test_the_largest_mesh_is_mended_without_recursion_or_loops(write):
    sphere = trimesh.creation.icosphere(subdivisions=6, radius=0.05)
    faces = np.array(sphere.faces)
    faces[::2] = faces[::2, ::-1]
    mended, volumes = wound_outwards((np.asarray(sphere.vertices), faces))
    np.testing.assert_allclose(volumes, [sphere.volume])
    assert len(mended) == 81920 and (edge_counts(mended)[1] == 2).all()


def test_a_decomposition_out_of_time_is_refused_once(write, monkeypatch):
    pytest.importorskip("coacd", reason=MISSING)
    monkeypatch.setattr(decomposition, "MAX_CPU_S", 1)
    torus = trimesh.creation.torus(0.05, 0.015, major_sections=120, minor_sections=60)
    path = write(obj(torus.vertices, torus.faces))
    words = "into convex parts takes longer than 1 s of CPU time; decimate it"
    with pytest.raises(ValueError, match=words) as caught:
        parts(model_of(path))
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(own_mesh, "convex_parts", lambda *_: pytest.fail("it was tried again"))
    with pytest.raises(ValueError, match=words):
        parts(model_of(path))


def test_a_decomposition_that_fails_says_what_the_process_said(write, monkeypatch, tmp_path):
    child = tmp_path / "child.py"
    child.write_text("raise SystemExit('the cut failed')")
    monkeypatch.setattr(decomposition, "_CHILD", child)
    monkeypatch.setattr(own_mesh, "is_available", lambda: True)
    with pytest.raises(ValueError, match=r"could not be cut into convex parts \(the cut failed\); simplify it"):
        mesh_parts(write(obj(TUBE.vertices, TUBE.faces)), 1.0)


def test_the_process_keeps_to_its_memory(write, monkeypatch):
    pytest.importorskip("coacd", reason=MISSING)
    monkeypatch.setattr(decomposition, "MAX_MEMORY_BYTES", 1 << 20)
    with pytest.raises(ValueError, match="could not be cut into convex parts") as caught:
        mesh_parts(write(obj(TUBE.vertices, TUBE.faces)), 1.0)
    assert "\n" not in str(caught.value)


def test_without_coacd_the_hull_takes_part(write, monkeypatch):
    monkeypatch.setattr(own_mesh, "is_available", lambda: False)
    (hull,) = mesh_parts(write(obj(TUBE.vertices, TUBE.faces)), 1.0).collision
    np.testing.assert_allclose(hull.half_size_m, np.ptp(TUBE.vertices, axis=0) / 2, atol=1e-6)


def test_without_trimesh_the_pip_line_is_told(write, monkeypatch):
    monkeypatch.setattr(mesh_file, "find_spec", lambda name: None)
    assert "cannot be read without trimesh; python -m pip install 'iker[mesh]'" in refusal(write(obj(V, F)))


# -- files that change -------------------------------------------------------------------------------------------------


def test_a_mesh_that_was_edited_is_read_anew(write):
    path = write(obj(V, F))
    first = model_of(path)
    stamp = os.stat(path)
    write(obj(V * [1, 1, 0.8], F).ljust(stamp.st_size))
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    assert mesh_size_m(path, 1.0)[2] == pytest.approx(0.04)
    assert parts(model_of(path)).collision[0].half_size_m[2] == pytest.approx(0.02)
    assert np.ptp(mesh_look(path, 1.0, (1, 1, 1, 1))[0].vertices_m[:, 2]) == pytest.approx(0.04)
    with pytest.raises(ValueError, match="size_m of 'thing' is that of its mesh"):
        parts(first)


def test_a_mesh_that_did_not_change_is_read_once(write, monkeypatch):
    path = write(obj(V, F))
    parts(model_of(path))
    monkeypatch.setattr(own_mesh, "read_mesh", lambda path: pytest.fail("it was read again"))
    assert len(parts(model_of(path)).collision) == 1 and mesh_look(path, 1.0, (1, 1, 1, 1))


def test_a_mended_mesh_goes_through_the_library(write, tmp_path):
    write(obj(np.vstack([V, V]), [*F[:6], *(F[6:] + len(V)), [0, 0, 1]]))
    (tmp_path / "objects.yaml").write_text("thing: {shape: mesh, mesh: thing.obj, mass_kg: 0.2}\n")
    model = object_library([tmp_path])["thing"]
    np.testing.assert_allclose(model.size_m, [0.06, 0.04, 0.05], atol=1e-9)
