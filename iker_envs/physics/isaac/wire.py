"""How client and worker talk: JSON messages over one socket, arrays in one shared-memory file.

    client: {"do": "step", "num_substeps": 10}  ->  worker: {} or {"refused" | "missing" | "failed": sentence}

Poses in the shared arrays are (x, y, z, qw, qx, qy, qz) in the base frame of their world. Both sides read this file, so
it runs on Python 3.8 and needs numpy alone.
"""

from __future__ import annotations

import json
import mmap
from multiprocessing.connection import Connection

import numpy as np

VERSION = 3
ROOT = 13  # pose (7), linear velocity of the centre of mass (3), angular velocity (3), world axes
MATERIAL = 3  # friction, restitution, compliance as the engine combines them
BODY = 4  # factor on the mass, offset of the centre of mass in body axes (3)


def layout(num_worlds: int, num_objects: int, num_things: int, num_joints: int) -> dict:
    """Name -> (type, shape) of the shared arrays; things are the objects that can be moved, then the furniture.

    The client writes all but `force`, the worker after a step `root`, `joint` and `force`. A `stage_` array marks rows
    that the worker has to take over before it steps, and clears.
    """
    n = num_worlds
    return {
        "target_before": ("f8", (n, num_joints)),
        "target": ("f8", (n, num_joints)),
        "joint": ("f8", (n, num_joints, 2)),
        "root": ("f8", (n, num_things, ROOT)),
        "force": ("f8", (n, 3)),
        "material": ("f8", (n, num_objects, MATERIAL)),
        "body": ("f8", (n, num_objects, BODY)),
        "variant": ("i8", (n,)),
        "stage_joint": ("u1", (n,)),
        "stage_root": ("u1", (n, num_things)),
        "stage_material": ("u1", (n, num_objects)),
        "stage_body": ("u1", (n, num_objects)),
    }


def num_bytes(arrays: dict) -> int:
    """Size of the shared-memory file of a layout, each array on a multiple of 8 bytes, at least one page."""
    return max(mmap.PAGESIZE, sum(_padded(kind, shape) for kind, shape in arrays.values()))


def map_arrays(file_descriptor: int, arrays: dict) -> dict:
    """The arrays of a layout in a shared-memory file; they keep the mapping alive."""
    memory = mmap.mmap(file_descriptor, num_bytes(arrays))
    found = {}
    offset = 0
    for name, (kind, shape) in arrays.items():
        found[name] = np.ndarray(shape, dtype=kind, buffer=memory, offset=offset)
        offset += _padded(kind, shape)
    return found


def _padded(kind: str, shape: tuple) -> int:
    size = int(np.dtype(kind).itemsize * np.prod(shape, dtype=np.int64))
    return -(-size // 8) * 8


def send(connection: Connection, message: dict) -> None:
    """Send one message; BrokenPipeError if the other side is gone."""
    connection.send_bytes(json.dumps(message).encode("utf-8"))


def receive(connection: Connection) -> dict:
    """Wait for one message; EOFError when the other side is gone. Where waiting must end, `poll` first."""
    return json.loads(connection.recv_bytes().decode("utf-8"))
