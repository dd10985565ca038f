"""What programs of value maps may call beside the sandbox's own vocabulary.

It is text that is put behind a model's program and runs with it in the sandbox, under the same limits: maps are
recorded as regions, and only these leave the process. Numbers are metres in the robot base frame.
"""

from __future__ import annotations

PRELUDE = '''
class ValueMap:
    """A value for every voxel, set region by region; a later region wins where two overlap."""

    def __init__(self):
        self.regions = []

    def set_point(self, point, value=1.0):
        return self.add("point", [point], value)

    def set_box(self, lower, upper, value=1.0):
        return self.add("box", [lower, upper], value)

    def set_sphere(self, centre, radius, value=1.0):
        return self.add("sphere", [centre, radius], value)

    def set_all(self, value=1.0):
        return self.add("all", [], value)

    def add(self, shape, numbers, value):
        flat = [float(v) for part in [*numbers, *numbers_of(value)] for v in np.atleast_1d(np.array(part, dtype=float))]
        self.regions.append([shape, *flat])
        return self


def numbers_of(value):
    return list(value) if isinstance(value, (tuple, list)) else [value]


def move(movable, affordance=None, avoidance=None, rotation=None, gripper=None):
    maps = {"affordance": affordance, "avoidance": avoidance, "rotation": rotation, "gripper": gripper}
    return [movable, {name: value.regions for name, value in maps.items() if value is not None}]


def axes_of(box):
    """The unit vectors of a box's front, left and top."""
    cr, cp, cy = np.cos(box[3]), np.cos(box[4]), np.cos(box[5])
    sr, sp, sy = np.sin(box[3]), np.sin(box[4]), np.sin(box[5])
    front = np.array([cy * cp, sy * cp, -sp])
    left = np.array([cy * sp * sr - sy * cr, sy * sp * sr + cy * cr, cp * sr])
    return front, left, np.cross(front, left)
'''


def with_prelude(program: str) -> str:
    """A program and what it may call behind it, so that its lines keep their numbers."""
    return f"{program.rstrip()}\n\nimport numpy as np\n{PRELUDE}"
