"""From robot.yaml to the parts of a world that depend on it: who arranges the table, who finds the objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from iker_envs.perception import Estimator
from iker_envs.scene import View
from real_env.config import RealConfig
from real_env.lab_orders import LabOrders
from real_env.operators import Ask, LabOperator, Operator, Person
from real_env.poses import LabPoses, PoseSource, SeenPoses


def make_operator(config: RealConfig, ask: Ask | None) -> tuple[Operator, Callable[..., Any] | None]:
    """Who arranges the cell, and how an emulated laboratory is given orders, None on metal.

    A person who is given comes before the laboratory's own way.
    """
    if config.lab is None:
        return Person(ask), None
    orders = LabOrders(config.lab)
    return (Person(ask) if ask is not None else LabOperator(orders)), orders


def make_poses(
    config: RealConfig,
    ask: Callable[..., Any] | None,
    look: Callable[[], View],
    estimator: Estimator | None,
    rng: np.random.Generator,
) -> PoseSource:
    """Who finds the objects; ValueError if cameras are to do it and nobody reads their pictures."""
    if config.poses == "lab":
        assert ask is not None and config.lab is not None  # RealConfig has seen to it
        return LabPoses(ask, config.lab, rng)
    if estimator is None:
        raise ValueError(
            "poses: estimator of robot.yaml needs an estimator; give estimator=, or poses: lab in a laboratory"
        )
    if not config.cameras:
        raise ValueError("poses: estimator of robot.yaml needs cameras; there are none in it")
    return SeenPoses(look, estimator)
