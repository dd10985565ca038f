"""From robot.yaml to the parts of a world that depend on it, and to a laboratory of one's own.

RealConfig  ->  connect_lab    ->  how to give a laboratory orders, None on metal
            ->  make_operator  ->  who arranges the table         make_poses  ->  who finds the objects
task        ->  start_lab      ->  a laboratory as a child process, and the RealConfig that reaches it
"""

from __future__ import annotations

import numpy as np

from iker_envs.documents import read_value
from iker_envs.perception import Estimator
from real_env.config import RealConfig
from real_env.faults import Kind, RobotFault
from real_env.lab.client import LabError, LabOrders, LabProcess
from real_env.operators import Ask, LabOperator, Operator, Person
from real_env.poses import LabPoses, Look, PoseSource, SeenPoses


def start_lab(task: str, clock: float, seed: int, configuration: int) -> tuple[LabProcess, RealConfig]:
    """An emulated laboratory of a task, given by name or path; ValueError if it does not start."""
    try:
        lab = LabProcess(task, clock=clock, seed=seed, configuration=configuration)
    except LabError as error:
        raise ValueError(str(error)) from None
    try:
        return lab, RealConfig.from_dict(read_value(lab.robot_yaml(), "the laboratory's robot.yaml"))
    except BaseException:
        lab.stop()
        raise


def connect_lab(config: RealConfig) -> LabOrders | None:
    """The control socket of the laboratory that robot.yaml names; RobotFault if it does not answer."""
    if config.lab is None:
        return None
    try:
        return LabOrders(config.lab.host, config.lab.control_port, config.lab.token)
    except LabError as error:
        raise RobotFault(Kind.LINK, str(error)) from None


def make_operator(orders: LabOrders | None, ask: Ask | None) -> Operator:
    """Who arranges the cell; a person who is given comes before a laboratory's own way."""
    return Person(ask) if orders is None or ask is not None else LabOperator(orders)


def make_poses(
    config: RealConfig,
    orders: LabOrders | None,
    look: Look,
    estimator: Estimator | None,
    rng: np.random.Generator,
) -> PoseSource:
    """Who finds the objects; ValueError if cameras are to do it and nobody reads their pictures."""
    if config.poses == "lab":
        assert orders is not None and config.lab is not None  # RealConfig has seen to it
        return LabPoses(orders, config.lab, rng)
    if not config.cameras:
        raise ValueError("poses: estimator of robot.yaml needs cameras; there are none in it")
    if estimator is None:
        raise ValueError(
            "poses: estimator of robot.yaml needs an estimator: give estimator=, such as make_estimator(...)"
        )
    return SeenPoses(look, estimator)
