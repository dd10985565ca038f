"""Object models by name: ours from cfg/objects.yaml, a user's from the objects.yaml beside their tasks.

    folders  ->  object_library  ->  {model name: ObjectModel};  object_split  ->  {"train": names, "test": names}

An entry is one mapping in YAML. Of a mesh (`shape: mesh`) it names the file, relative to the YAML, and how many metres
one of its units is; its size is read from the mesh.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from iker_envs.contract import check_number
from iker_envs.objects.own_mesh import mesh_size_m
from iker_envs.scene import ObjectModel

OBJECTS_FILE = "objects.yaml"
SPLITS = ("train", "test")


def own_folder() -> Path:
    """The folder of the package's own data."""
    return Path(str(files("iker_cfg")))


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a key that stands twice in one mapping is a fault, not a value that is lost."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode) and key.value != "<<"]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise ValueError(f"{twice[0]!r} stands twice in one mapping, line {node.start_mark.line + 1} on")
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """What a YAML file holds; ValueError names a file that cannot be read."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)
    except yaml.YAMLError as error:
        raise ValueError(f"{str(path)!r} is not YAML: {' '.join(str(error).split())}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{str(path)!r} is not a text file") from None
    except OSError as error:
        raise ValueError(f"{str(path)!r} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{str(path)!r}: {error}") from None


def object_library(folders: Iterable[Path] = ()) -> dict[str, ObjectModel]:
    """All models: the package's own, then those of the folders' objects.yaml; ValueError names a faulty entry."""
    models = {}
    for folder in (own_folder(), *folders):
        models |= {name: _model(name, entry, folder) for name, entry in _entries(folder).items()}
    return models


def object_split() -> dict[str, tuple[str, ...]]:
    """Which of the package's own models to learn with and which to keep for testing: {"train": ..., "test": ...}."""
    entries = _entries(own_folder())
    return {s: tuple(n for n, e in entries.items() if e.get("split", SPLITS[0]) == s) for s in SPLITS}


def _entries(folder: Path) -> dict[str, Any]:
    path = Path(folder) / OBJECTS_FILE
    if not path.exists():
        return {}
    entries = read_yaml(path)
    if not isinstance(entries, Mapping) or not all(isinstance(e, Mapping) for e in entries.values()):
        raise ValueError(f"{str(path)!r} holds a mapping from model names to their fields")
    return dict(entries)


def _model(name: str, entry: Mapping[str, Any], folder: Path) -> ObjectModel:
    entry = dict(entry)
    split = entry.pop("split", SPLITS[0])
    if split not in SPLITS:
        raise ValueError(f"object model {name!r}: split is {' or '.join(SPLITS)}, not {split!r}")
    if entry.get("shape") == "mesh":
        entry = _with_mesh(name, entry, folder)
    try:
        return ObjectModel.from_dict({"name": name, **entry})
    except ValueError as error:
        raise ValueError(f"object model {name!r}: {error}") from None


def _with_mesh(name: str, entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The entry with an absolute mesh path and the mesh's own size."""
    if not isinstance(entry.get("mesh"), str):
        raise ValueError(f"object model {name!r}: shape mesh needs `mesh`, the path of an .obj or .stl file")
    path = Path(folder) / entry["mesh"]
    if not path.exists():
        raise ValueError(f"object model {name!r}: there is no mesh file {str(path)!r}")
    scale = check_number(f"mesh_scale of object model {name!r}", entry.get("mesh_scale", 1.0))
    if scale <= 0:
        raise ValueError(f"mesh_scale of object model {name!r} is above 0, not {scale!r}")
    return {**entry, "mesh": str(path.resolve()), "size_m": mesh_size_m(str(path.resolve()), scale)}
