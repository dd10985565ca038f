"""What objects look like to the camera: an ObjectModel becomes visual geoms (no physics).

Body frame, metres, colours RGBA in [0, 1].
"""

from __future__ import annotations

from iker_envs.scene import ObjectModel
from iker_envs.shapes import Geom, parts


def visual_geoms(model: ObjectModel) -> tuple[Geom, ...]:
    """The geoms that the camera sees."""
    return parts(model).collision
