"""The door of the ids `IKER-...-Real-v0`: it says how to install what is missing before anything else.

gym.make(id, real="robot.yaml")  ->  make_world(task, real, ...)  ->  RealWorld
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from real_env.world import RealWorld

_NEEDED = ("xarm", "mink", "daqp")


def make_world(*arguments: Any, **named: Any) -> RealWorld:
    """A RealWorld of these arguments; ModuleNotFoundError with the pip line if its libraries are not installed."""
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise ModuleNotFoundError(f"a robot needs {', '.join(missing)}; pip install 'iker[real]'", name=missing[0])
    from real_env.world import RealWorld

    return RealWorld(*arguments, **named)
