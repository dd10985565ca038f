"""A user's mesh file becomes a closed surface wound outwards, or one sentence that says why it cannot be used.

    path (.obj, .stl)  ->  read_mesh  ->  vertices (V, 3) in the file's unit, faces (F, 3)

What is cheap to tell is told first: the kind of file, its size in bytes, how many faces it has. Harmless faults are
mended: vertices at one place, faces without area or doubled, mixed winding, surfaces inside out. Materials, colours and
textures are not read. Needs trimesh (extra `mesh`).
"""

from __future__ import annotations

import logging
import os
import stat
from importlib.util import find_spec
from io import BytesIO, StringIO
from typing import Any

import numpy as np

from iker_envs.objects.mesh_repair import edge_counts, is_closed, merged, without_useless_faces, wound_outwards
from iker_envs.objects.triangles import Mesh

MAX_FACES = 200_000  # finer than the pixels that an object has in a picture; a million take a gigabyte of memory
MAX_BYTES = 64_000_000  # 200 000 faces as text, with normals and texture coordinates
PIP = "python -m pip install 'iker[mesh]'"
_SUFFIXES = (".obj", ".stl")
_STL_HEADER_BYTES = 84  # of binary STL, which ends in the number of faces
_STL_FACE_BYTES = 50
_NO_VOLUME = 1e-6  # of its bounding box

_log = logging.getLogger(__name__)


def file_stamp(path: str) -> tuple[int, ...]:
    """What changes when a file is written or exchanged; ValueError if there is no such file."""
    try:
        found = os.stat(path)
    except (OSError, ValueError) as error:  # a path with a null byte is a ValueError
        if isinstance(error, FileNotFoundError):
            raise ValueError(f"there is no mesh file {path!r}") from None
        raise ValueError(f"the mesh {path!r} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if not stat.S_ISREG(found.st_mode):
        kind = "a folder" if stat.S_ISDIR(found.st_mode) else "no ordinary file"
        raise ValueError(f"the mesh {path!r} is {kind}; name an .obj or .stl file")
    return found.st_mtime_ns, found.st_size, found.st_ino


def read_mesh(path: str) -> Mesh:
    """Read a file and mend what can be mended; ValueError says in one sentence what is wrong with it."""
    content = _content(path)
    try:
        _check_count(_count_faces(path, content))
        return _closed(_parsed(path, content))
    except ValueError as error:
        raise ValueError(f"the mesh {path!r} {error}") from None


def _content(path: str) -> bytes:
    if find_spec("trimesh") is None:
        raise ValueError(f"the mesh {path!r} cannot be read without trimesh; {PIP}")
    _, size, _ = file_stamp(path)
    if not path.lower().endswith(_SUFFIXES):
        raise ValueError(f"the mesh {path!r} is neither an .obj nor an .stl file; export it as one")
    if size > MAX_BYTES:
        raise ValueError(
            f"the mesh {path!r} is a file of {size / 1e6:.0f} MB, of at most {MAX_BYTES / 1e6:.0f}; decimate it to "
            f"{MAX_FACES} faces or fewer"
        )
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES)
    except OSError as error:
        raise ValueError(f"the mesh {path!r} cannot be read: {error.strerror}") from None
    if not content.strip():
        raise ValueError(f"the mesh {path!r} is an empty file")
    return content


def _count_faces(path: str, content: bytes) -> int:
    """How many faces there are at least, without parsing them."""
    if path.lower().endswith(".obj"):
        return content.count(b"\nf ") + content.count(b"\nf\t")
    if _is_binary_stl(content):
        return (len(content) - _STL_HEADER_BYTES) // _STL_FACE_BYTES
    return content.lower().count(b"endfacet")


def _is_binary_stl(content: bytes) -> bool:
    if len(content) < _STL_HEADER_BYTES:
        return False
    count = int.from_bytes(content[_STL_HEADER_BYTES - 4 : _STL_HEADER_BYTES], "little")
    return len(content) == _STL_HEADER_BYTES + count * _STL_FACE_BYTES


def _check_count(count: int) -> None:
    if count > MAX_FACES:
        raise ValueError(
            f"has {count} faces, of at most {MAX_FACES}; decimate it (in Blender: the modifier Decimate; in MeshLab: "
            "Quadric Edge Collapse Decimation)"
        )


def _parsed(path: str, content: bytes) -> Mesh:
    """Vertices and faces as they stand in the file."""
    import trimesh

    kind = path.lower()[-3:]
    try:
        loaded: Any = trimesh.load_mesh(_stream(kind, content), file_type=kind, process=False, skip_materials=True)
        vertices = np.array(loaded.vertices, dtype=float).reshape(-1, 3)
        faces = np.array(loaded.faces, dtype=int).reshape(-1, 3)
    except Exception as error:  # whatever a broken file provokes in trimesh's readers
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"cannot be read: {reason[:200]}") from error
    if len(faces) == 0:
        raise ValueError("has no faces")
    _check_count(len(faces))
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise ValueError(f"has a face with vertex {faces.max() + 1}, and only {len(vertices)} vertices")
    if not np.all(np.isfinite(vertices[faces])):
        wrong = faces.flat[np.flatnonzero(~np.isfinite(vertices[faces]).all(axis=-1))[0]]
        raise ValueError(f"has a vertex at {vertices[wrong].tolist()}, which is no place; export it again")
    return vertices, faces


def _stream(kind: str, content: bytes) -> BytesIO | StringIO:
    """What trimesh reads. Only names and comments of text are not ASCII, so that any 8-bit encoding will do."""
    if kind == "stl" and _is_binary_stl(content):
        return BytesIO(content)
    if b"\0" in content:
        what = "text of 8-bit letters" if kind == "obj" else "a whole binary STL file (its length is not what it says)"
        raise ValueError(f"is not {what}; export it again")
    text = content.decode("latin-1")
    return StringIO(text) if kind == "obj" else BytesIO(text.encode("ascii", "replace"))


def _closed(mesh: Mesh) -> Mesh:
    """The mended mesh; ValueError names what cannot be mended."""
    span = float(np.ptp(mesh[0][mesh[1]].reshape(-1, 3), axis=0).max())
    if not 0 < span < np.inf:
        raise ValueError("has all its vertices at one place" if span == 0 else "has vertices without end apart")
    unit = mesh[0] / span, mesh[1]  # of a size that areas and volumes can be taken of
    if not is_closed(unit[1]):  # a file may say of every face anew where its vertices are
        unit = merged(unit)
        unit = unit[0], without_useless_faces(unit)
    vertices, faces = unit
    if left_out := len(mesh[1]) - len(faces):
        _log.info("left out %d faces that are doubled or without area", left_out)
    if not len(faces):
        raise ValueError("has no face with an area")
    _check_edges(span * vertices, faces)
    faces, volumes = wound_outwards((vertices, faces))
    used, corners = np.unique(faces, return_inverse=True)
    vertices = vertices[used]
    if volumes.sum() <= _NO_VOLUME * np.prod(np.ptp(vertices, axis=0)):
        raise ValueError("encloses no volume: it is flat, or folded upon itself; give it a thickness")
    return span * vertices, corners.reshape(-1, 3)


def _check_edges(vertices: np.ndarray, faces: np.ndarray) -> None:
    """ValueError unless every edge belongs to two faces; it says where one does not."""
    edges, counts = edge_counts(faces)
    for wrong, words in (
        (counts == 1, "is not watertight: close its holes ({} edges belong to one face only, the first {})"),
        (
            counts > 2,
            "is not one surface: {} edges belong to more than two faces, the first {}; remove faces inside it, and "
            "leave a gap between bodies that touch, or join them",
        ),
    ):
        if wrong.any():
            place = " and ".join(str([float(f"{x:.4g}") for x in vertices[k]]) for k in edges[wrong][0])
            raise ValueError(words.format(int(wrong.sum()), f"between {place}"))
