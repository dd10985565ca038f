"""The object library as data: models by name, from the package's cfg/objects.yaml and the objects.yaml beside tasks.

    folders  ->  object_library  ->  {model name: ObjectModel};  object_split  ->  {"train": names, "test": names}

An entry is one mapping in YAML. Of a mesh (`shape: mesh`) it names the file and how many metres one of its units is;
the size is read from the mesh. Another shape may name a .ply that is drawn in its place (`mesh: book.ply`). The file
lies in the folder of its objects.yaml or below it, so that such a folder can be copied and given away as it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from iker_envs.contract import check_name, check_number
from iker_envs.documents import read_document, shown
from iker_envs.objects.coloured import SUFFIX, beside, check_as_large
from iker_envs.objects.own_mesh import mesh_size_m
from iker_envs.scene import ObjectModel

OBJECTS_FILE = "objects.yaml"
SPLITS = ("train", "test")


def own_folder() -> Path:
    """The folder of the package's own data."""
    return Path(str(files("iker_cfg")))


def object_library(folders: Iterable[Path] = ()) -> dict[str, ObjectModel]:
    """All models: the package's own, then those of the folders' objects.yaml; ValueError names the faulty entry."""
    models: dict[str, ObjectModel] = {}
    for folder in (own_folder(), *folders):
        for name, entry in _entries(folder).items():
            try:
                models[name] = _model(name, entry, folder)
            except ValueError as error:
                raise ValueError(f"{str(folder / OBJECTS_FILE)!r}: object model {shown(name)}: {error}") from None
    return models


def object_split() -> dict[str, tuple[str, ...]]:
    """Which of the package's own models to learn with and which to keep for testing: {"train": ..., "test": ...}."""
    entries = _entries(own_folder())
    return {s: tuple(n for n, e in entries.items() if e.get("split", SPLITS[0]) == s) for s in SPLITS}


def _entries(folder: Path) -> dict[str, Any]:
    path = Path(folder) / OBJECTS_FILE
    if not os.path.exists(path):
        return {}
    found = os.stat(path)
    return dict(_read(path, (found.st_ino, found.st_size, found.st_mtime_ns)))


@lru_cache(maxsize=32)
def _read(path: Path, stamp: tuple[int, ...]) -> dict[str, Any]:
    """The entries of a file as it was at its `stamp`: every task reads the package's own."""
    entries = read_document(path)
    if not isinstance(entries, Mapping) or not all(isinstance(e, Mapping) for e in entries.values()):
        raise ValueError(f"{str(path)!r} holds a mapping from model names to their fields")
    return dict(entries)


def _model(name: str, entry: Mapping[str, Any], folder: Path) -> ObjectModel:
    check_name("its name", name)
    entry = dict(entry)
    split = entry.pop("split", SPLITS[0])
    if split not in SPLITS:
        raise ValueError(f"split is {' or '.join(SPLITS)}, not {shown(split)}")
    if entry.get("shape") == "mesh":
        entry = _with_mesh(entry, folder)
    elif "mesh" in entry:
        entry = _with_look(entry, folder)
    if "name" in entry:
        raise ValueError("the key is its name; leave out the field `name`")
    return ObjectModel.from_dict({"name": name, **entry})


def _with_mesh(entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The entry with an absolute mesh path and the mesh's own size."""
    if not isinstance(entry.get("mesh"), str):
        raise ValueError("shape mesh needs `mesh`, the path of an .obj or .stl file")
    path = _inside(entry["mesh"], folder)
    scale = check_number("mesh_scale", entry.get("mesh_scale", 1.0), above=0)
    size_m = mesh_size_m(path, scale)
    if colours := beside(path):
        check_as_large(colours, np.array(size_m))
    return {**entry, "mesh": path, "size_m": size_m}


def _with_look(entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The entry of another shape with the absolute path of the .ply that is drawn in its place."""
    if not isinstance(entry["mesh"], str) or not entry["mesh"].lower().endswith(SUFFIX):
        raise ValueError(
            f"mesh of shape {shown(entry.get('shape'))} is a {SUFFIX} file with colours, which is drawn in its place, "
            f"not {shown(entry['mesh'])}; for an .obj or .stl the shape is mesh"
        )
    path = _inside(entry["mesh"], folder)
    model = ObjectModel.from_dict({"name": "it", **entry})
    check_as_large(path, model.size_m)
    return {**entry, "mesh": path}


def _inside(name_in_file: str, folder: Path) -> str:
    """The absolute path of a file that an entry names; ValueError unless it lies in the folder or below it."""
    name = Path(name_in_file)
    if name.is_absolute() or ".." in name.parts:
        raise ValueError(
            f"mesh is a path inside the folder of {OBJECTS_FILE}, not {shown(str(name))}; copy the file there"
        )
    path = Path(folder) / name
    if not os.path.isfile(path):
        raise ValueError(f"there is no mesh file {shown(str(path), 500)}")
    return str(path.resolve())
