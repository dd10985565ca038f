"""The colours of a scanned surface: a .ply whose vertices carry them, drawn in the place of a plain shape.

    path (.ply)  ->  coloured_mesh  ->  Coloured (vertices, faces, colours)       write_coloured writes such a file

In metres, in the body frame of the object whose look it is. The file of a mesh lies beside it under the same name
(shoe.obj, shoe.ply); another shape names it (`mesh: book.ply`). Needs trimesh (extra `mesh`) to be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from iker_envs.objects.geom import GREY, Geom
from iker_envs.objects.mesh_file import MAX_BYTES, MAX_FACES, PIP, file_stamp

SUFFIX = ".ply"
_KEPT_FILES = 16
_AS_LARGE_M = 0.006  # a scan and what is made of it may differ by this much, and
_AS_LARGE = 0.05  # by this share of a side


@dataclass(frozen=True, eq=False)
class Coloured:
    """Vertices (V, 3), faces (F, 3) and the colours (V, 3) of the vertices in [0, 1]."""

    vertices: np.ndarray
    faces: np.ndarray
    colours: np.ndarray


def beside(path: str) -> str:
    """The .ply of a mesh file; "" if there is none."""
    found = Path(path).with_suffix(SUFFIX)
    return str(found) if path and found.is_file() else ""


def coloured_mesh(path: str) -> Coloured:
    """Read a file; ValueError says in one sentence what is wrong with it."""
    return _read(path, file_stamp(path))


@lru_cache(_KEPT_FILES)
def _read(path: str, stamp: tuple[int, ...]) -> Coloured:
    if find_spec("trimesh") is None:
        raise ValueError(f"the colours {path!r} cannot be read without trimesh; {PIP}")
    if stamp[1] > MAX_BYTES:
        size = f"{stamp[1] / 1e6:.0f} MB, of at most {MAX_BYTES / 1e6:.0f}"
        raise ValueError(f"the colours {path!r} are a file of {size}")
    import trimesh

    try:
        loaded: Any = trimesh.load_mesh(BytesIO(Path(path).read_bytes()), file_type="ply", process=False)
        vertices = np.array(loaded.vertices, dtype=float).reshape(-1, 3)
        faces = np.array(loaded.faces, dtype=int).reshape(-1, 3)
        kind = loaded.visual.kind
        colours = np.array(loaded.visual.vertex_colors, dtype=float).reshape(-1, 4)[:, :3] / 255
    except Exception as error:  # whatever a broken file provokes in trimesh's reader
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"the colours {path!r} cannot be read: {reason[:200]}") from error
    if kind != "vertex" or len(colours) != len(vertices):
        raise ValueError(f"the vertices of {path!r} have no colours (red, green, blue)")
    if not 0 < len(faces) <= MAX_FACES or faces.min() < 0 or faces.max() >= len(vertices):
        raise ValueError(f"{path!r} has {len(faces)} faces, of 1 to {MAX_FACES}, or one of a vertex that it lacks")
    if not np.isfinite(vertices).all():
        raise ValueError(f"{path!r} has a vertex that is no place")
    return Coloured(vertices, faces, colours)


def check_as_large(path: str, size_m: np.ndarray) -> None:
    """ValueError unless a file is about as large as the object (3,) whose look it is."""
    size = np.ptp(coloured_mesh(path).vertices, axis=0)
    if (np.abs(size - size_m) > _AS_LARGE_M + _AS_LARGE * np.asarray(size_m)).any():
        told = " x ".join(f"{100 * s:.1f}" for s in size)
        wanted = " x ".join(f"{100 * s:.1f}" for s in size_m)
        raise ValueError(f"{path!r} is {told} cm large, the object {wanted} cm; the look of an object is in metres")


def coloured_look(path: str) -> tuple[Geom, ...]:
    """The surface as one geom that carries its colours; renderers that know one colour a geom show their mean."""
    found = coloured_mesh(path)
    low = found.vertices.min(axis=0)
    high = found.vertices.max(axis=0)
    centre = (low + high) / 2
    mean = found.colours.mean(axis=0)
    return (
        Geom(
            "mesh",
            tuple(float(h) for h in (high - low) / 2),
            tuple(float(c) for c in centre),
            rgba=(float(mean[0]), float(mean[1]), float(mean[2]), GREY[3]),
            vertices_m=found.vertices - centre,
            faces=found.faces,
            colours=found.colours,
        ),
    )


def write_coloured(mesh: Coloured) -> bytes:
    """The content of a binary .ply."""
    vertices = np.empty(len(mesh.vertices), dtype=[("p", "<f4", 3), ("c", "u1", 3)])
    vertices["p"] = mesh.vertices
    vertices["c"] = np.round(255 * np.clip(mesh.colours, 0, 1))
    faces = np.empty(len(mesh.faces), dtype=[("n", "u1"), ("v", "<i4", 3)])
    faces["n"] = 3
    faces["v"] = mesh.faces
    head = [
        *("ply", "format binary_little_endian 1.0", "comment metres, x to the front, z up"),
        *(f"element vertex {len(vertices)}", *(f"property float {axis}" for axis in "xyz")),
        *(f"property uchar {colour}" for colour in ("red", "green", "blue")),
        *(f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header\n"),
    ]
    return "\n".join(head).encode("ascii") + vertices.tobytes() + faces.tobytes()
