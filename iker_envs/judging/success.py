"""Is a task done? Its own criterion judges where it has one, else nearness to the annotated targets.

Criterion or None, target poses, scene now, scene at the start  ->  judge  ->  Verdict
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from iker_envs.judging.expression import Criterion, Verdict
from iker_envs.measure import measure
from iker_envs.scene import Scene


def judge(
    criterion: Criterion | None, targets: Mapping[str, np.ndarray], now: Scene, start: Scene | None = None
) -> Verdict:
    """The criterion's verdict on a scene, else that of `near_targets`. ValueError if the start is needed and None."""
    return near_targets(targets, now) if criterion is None else criterion.judge(now, start)


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
