"""Is a task without a criterion of its own done? Nearness to the annotated targets judges.

target poses, scene now  ->  near_targets  ->  Verdict
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from iker_envs.judging.expression import Verdict
from iker_envs.measure import measure
from iker_envs.scene import Scene


def near_targets(targets: Mapping[str, np.ndarray], now: Scene) -> Verdict:
    """Is every object strictly (3 cm, 15 degrees) at its target pose (7,), in the base frame?"""
    far = tuple(
        f"{name} is not within 3 cm and 15 degrees of where the task's annotation wants it"
        for name, target in targets.items()
        if not _is_near(now, name, target)
    )
    return Verdict(not far, far)


def _is_near(now: Scene, name: str, target: np.ndarray) -> bool:
    obj = now.object(name)
    poses = obj.pose[None, None]
    errors = measure(poses, np.zeros(1, dtype=int), poses, target[None], obj.model.control_keypoints_m())
    return bool(errors.strict[0])
