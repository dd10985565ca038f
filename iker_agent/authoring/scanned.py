"""A scanned surface becomes an object that every task accepts: a mesh file and an entry in objects.yaml.

    Scanned  ->  make_object  ->  ScannedObject(entry, mesh, look)  ->  save  ->  NAME.obj, NAME.ply, objects.yaml
                                                                   ->  ObjectModel, checked as a task would

What fills most of the box around it becomes that box: a scanned book stands on its box, and falls over on the bumps of
its scanned edge. Anything else becomes a mesh of a few thousand faces, which is cut into convex parts when it is used.
Either is drawn, and looked for in pictures, as the whole scan with its colours: NAME.ply.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.spatial import cKDTree

from iker_agent.atomic import replace_file
from iker_envs.contract import check_name
from iker_envs.documents import read_document, shown
from iker_envs.objects.coloured import SUFFIX, Coloured, write_coloured
from iker_envs.objects.library import OBJECTS_FILE, object_library
from iker_envs.objects.mesh_file import PIP
from iker_envs.objects.mesh_repair import is_closed
from iker_envs.objects.shapes import parts
from iker_envs.perception.scan import Scanned
from iker_envs.scene import ObjectModel

BOX_FILL = 0.84  # of its box that something fills, to become it; what a scan adds at edges is not counted
FACES = (2000, 2500, 3000, 4000, 6000, 8000)  # simplified to the first of these that leaves the surface closed
_TRIM = 0.5  # percent of points beyond each side of the box: bumps at edges
_BOX_DENSITY = 350.0  # kg/m3: between a box of shoes (100) and a book (800)
_DENSITY = 180.0  # of what a surface encloses: shoes and mugs are hollow
_MIN_MASS_KG = 0.02
_UNSEEN_M = 0.011  # so near to the board, cameras see the board's colours


@dataclass(frozen=True, eq=False)
class ScannedObject:
    """The entry of objects.yaml, the simplified surface (V, 3), (F, 3) with colours (V, 3), and what is drawn."""

    name: str
    entry: dict[str, Any]
    vertices: np.ndarray
    faces: np.ndarray
    colours: np.ndarray
    fill: float
    look: Coloured


def make_object(scanned: Scanned, name: str, mass_kg: float | None = None, friction: float = 0.6) -> ScannedObject:
    """Simplify, choose box or mesh, guess the mass where it is not given; ValueError if the surface cannot be used."""
    check_name("the object's name", name)
    points = scanned.vertices
    painted = _with_underside(points, scanned.colours)
    vertices, faces = _simplified(scanned)
    colours = painted[cKDTree(points).query(vertices)[1]]
    low, high = np.percentile(points, [_TRIM, 100 - _TRIM], axis=0)
    volume = enclosed_m3(scanned.vertices, scanned.faces)
    fill = volume / float(np.prod(high - low))
    is_box = fill >= BOX_FILL
    guess = (_BOX_DENSITY * float(np.prod(high - low))) if is_box else _DENSITY * volume
    mass = max(_MIN_MASS_KG, round(guess, 2)) if mass_kg is None else mass_kg
    told = "weighed" if mass_kg is not None else "guessed from its volume"
    rgba = [round(float(c), 3) for c in np.median(colours, axis=0)] + [1.0]
    entry: dict[str, Any] = {"shape": "box" if is_box else "mesh"}
    if is_box:
        entry |= {"size_m": [round(float(s), 4) for s in high - low], "mesh": f"{name}{SUFFIX}"}
        centre = (low + high) / 2
    else:
        entry["mesh"] = f"{name}.obj"
        centre = (vertices.min(axis=0) + vertices.max(axis=0)) / 2
    source = f"scanned from {len(scanned.used)} pictures on the marker board; mass {told}"
    entry |= {"mass_kg": mass, "friction": friction, "rgba": rgba, "source": source}
    look = Coloured(points - centre, scanned.faces, painted)
    return ScannedObject(name, entry, vertices - centre, faces, colours, fill, look)


def _with_underside(points: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """The colours (V, 3) with those of the underside, which no camera saw, taken from the nearest seen points."""
    unseen = points[:, 2] < points[:, 2].min() + _UNSEEN_M
    filled = np.array(colours)
    filled[unseen] = colours[~unseen][cKDTree(points[~unseen]).query(points[unseen])[1]]
    return filled


def enclosed_m3(vertices: np.ndarray, faces: np.ndarray) -> float:
    """Volume of a closed surface."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float(abs(np.einsum("ij,ij->i", a, np.cross(b, c)).sum()) / 6)


def _simplified(scanned: Scanned) -> tuple[np.ndarray, np.ndarray]:
    """A closed surface of a few thousand faces."""
    if find_spec("fast_simplification") is None:
        raise ValueError(f"a scan is simplified by fast-simplification; {PIP}")
    import fast_simplification  # type: ignore[import-untyped]

    for count in FACES:
        if count >= len(scanned.faces):
            break
        share = 1 - count / len(scanned.faces)
        vertices, faces = fast_simplification.simplify(
            scanned.vertices.astype(np.float32), scanned.faces.astype(np.int32), target_reduction=share
        )
        if is_closed(faces):
            return np.asarray(vertices, dtype=float), np.asarray(faces, dtype=int)
    return scanned.vertices, scanned.faces


def save(made: ScannedObject, folder: Path, *, replace: bool = False) -> ObjectModel:
    """Write mesh and entry into a folder, and read the object back as a task does.

    ValueError if the folder's objects.yaml has such an object and `replace` is false; then nothing is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / OBJECTS_FILE
    entries = read_document(library) if library.exists() else {}
    if not isinstance(entries, dict):
        raise ValueError(f"{shown(str(library))} holds a mapping from model names to their fields")
    if made.name in entries and not replace:
        raise ValueError(f"{shown(str(library))} has an object {made.name!r}; choose another name, or pass --replace")
    replace_file(folder / f"{made.name}{SUFFIX}", lambda path: path.write_bytes(write_coloured(made.look)))
    if made.entry["shape"] == "mesh":
        replace_file(folder / f"{made.name}.obj", lambda path: path.write_text(_obj(made), encoding="ascii"))
    text = yaml.safe_dump({made.name: made.entry}, sort_keys=False, allow_unicode=True)
    if made.name in entries:
        rest = {name: entry for name, entry in entries.items() if name != made.name}
        text = (yaml.safe_dump(rest, sort_keys=False, allow_unicode=True) if rest else "") + text
    elif library.exists():
        text = library.read_text(encoding="utf-8").rstrip() + "\n\n" + text  # comments stay
    replace_file(library, lambda path: path.write_text(text, encoding="utf-8"))
    return object_library([folder])[made.name]


def _obj(made: ScannedObject) -> str:
    """Text of an .obj whose vertices carry their colour, which many readers know and the others skip."""
    lines = [f"# {made.name}, metres, x to the front, z up"]
    rows = np.column_stack([made.vertices, made.colours])
    lines += [f"v {x:.5f} {y:.5f} {z:.5f} {r:.3f} {g:.3f} {b:.3f}" for x, y, z, r, g, b in rows]
    lines += [f"f {a} {b} {c}" for a, b, c in made.faces + 1]
    return "\n".join(lines) + "\n"


def check_object(model: ObjectModel, progress: Callable[[str], None]) -> tuple[str, ...]:
    """Cut it into convex parts and let it stand on the table; sentences on what a task would stumble over."""
    from iker_envs.optics import default_cameras
    from iker_envs.physics.transfer import SceneNotAtRest, settle
    from iker_envs.planning.grasps import propose_grasps
    from iker_envs.scene import Scene, SceneObject, upright_pose

    progress("cutting it into convex parts" if model.shape == "mesh" else "it is a box")
    count = len(parts(model).collision)
    pose = upright_pose(np.array([0.45, 0.0, float(model.size_m[2]) / 2 + 0.001]))
    workspace = np.array([[0.2, -0.45, 0.015], [0.75, 0.45, 0.45]])
    scene = Scene((SceneObject(model, pose),), default_cameras(), workspace)
    notes = [f"it collides as {count} convex part{'s' if count > 1 else ''}"]
    try:
        settle(scene)
    except SceneNotAtRest:
        notes.append("it does not stand by itself as it was scanned: it falls over within half a second")
    found = propose_grasps(scene, model.name)
    notes.append(f"{len(found.grasps)} grasps from above" if found.grasps else f"it cannot be grasped: {found.reason}")
    return tuple(notes)
