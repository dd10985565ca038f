"""A view kept in a file: the cleared scene, to tell objects from what stands there always.

    View  ->  view_bytes  ->  FILE.npz  ->  load_view  ->  View

The file is a message of the door (door.py): arrays and JSON, nothing that is executed. It has no poses.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from iker_envs.documents import shown
from iker_envs.perception.door import MAX_BYTES, Message, packed, unpacked
from iker_envs.scene import Image, View

DEPTH_UNIT_M = 1e-4
_MOST_CAMERAS = 32


def view_message(view: View) -> Message:
    """The cameras of a view: names in the JSON, per camera `rgb_i`, `depth_i` (0.1 mm), `K_i`, `T_i` (7,)."""
    arrays: dict[str, np.ndarray] = {}
    for index, image in enumerate(view.cameras.values()):
        depth = np.clip(np.round(np.asarray(image.depth_m) / DEPTH_UNIT_M), 0, 65535)
        arrays |= {
            f"rgb_{index}": np.asarray(image.rgb, dtype=np.uint8),
            f"depth_{index}": depth.astype(np.uint16),
            f"K_{index}": np.asarray(image.K),
            f"T_{index}": np.asarray(image.T_world_cam),
        }
    return Message({"cameras": list(view.cameras)}, arrays)


def view_bytes(view: View) -> bytes:
    """The content of a file."""
    message = view_message(view)
    return packed(Message({**message.content, "query": view.query}, message.arrays))


def load_view(path: str | Path) -> View:
    """Read a file; ValueError names it and says what is wrong with it."""
    try:
        content = Path(path).read_bytes() if Path(path).stat().st_size <= MAX_BYTES else b""
        message = unpacked(content)
        names = message.content.get("cameras")
        if not isinstance(names, list) or not 0 < len(names) <= _MOST_CAMERAS or {type(n) for n in names} != {str}:
            raise ValueError(f"cameras is a list of 1 to {_MOST_CAMERAS} names")
        images = {name: _image(message, index) for index, name in enumerate(names)}
        query = message.content.get("query", names[0])
        if query not in images:
            raise ValueError(f"query is one of its cameras, not {shown(query)}")
        return View(images, query)
    except (ValueError, OSError) as error:
        told = getattr(error, "strerror", None) or error
        way_out = "`iker look --save-empty` takes one"
        raise ValueError(f"the view {shown(str(path))} cannot be used: {told}; {way_out}") from None


def _image(message: Message, index: int) -> Image:
    rgb = message.array(f"rgb_{index}", (None, None, 3), "u")
    depth_m = message.array(f"depth_{index}", rgb.shape[:2], "u") * np.float32(DEPTH_UNIT_M)
    return Image(rgb, depth_m, message.array(f"K_{index}", (3, 3)), message.array(f"T_{index}", (7,)), 0.0)
