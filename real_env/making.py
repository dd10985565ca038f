"""From robot.yaml to the parts of a world that depend on it, and to a laboratory of one's own.

RealConfig  ->  connect_lab    ->  how to give a laboratory orders, None on metal
            ->  make_operator  ->  who arranges the table         make_poses  ->  who finds the objects
task        ->  start_lab      ->  a laboratory as a child process, and the RealConfig that reaches it
"""

from __future__ import annotations

import tempfile
import weakref
from pathlib import Path

import numpy as np

from iker_envs.documents import read_value
from iker_envs.perception import Estimator, make_estimator
from iker_envs.task import Task
from real_env.calibration import Calibration
from real_env.config import RealConfig
from real_env.faults import Kind, RobotFault
from real_env.lab.client import LabError, LabOrders, LabProcess, calibration, robot_yaml
from real_env.operators import Ask, LabOperator, Operator, Person
from real_env.poses import Glance, LabPoses, Look, PoseSource, SeenPoses


def start_lab(task: str | Path | Task, clock: float, seed: int) -> tuple[LabProcess, RealConfig]:
    """An emulated laboratory of a task, given by name or path; ValueError if it does not start."""
    if isinstance(task, Task):
        raise ValueError("real='lab' needs the task by name or path: another process reads it")
    try:
        lab = LabProcess(str(task), clock=clock, seed=seed)
    except LabError as error:
        raise ValueError(str(error)) from None
    try:
        return lab, _config_of(lab)
    except BaseException:
        lab.stop()
        raise


def _config_of(lab: LabProcess) -> RealConfig:
    """The RealConfig that reaches a laboratory; its calibration lies in a folder that goes with the laboratory."""
    path = ""
    if lab.card.get("cameras"):
        folder = tempfile.TemporaryDirectory(prefix="iker-lab-")
        weakref.finalize(lab, folder.cleanup)
        path = str(Path(folder.name) / "calibration.json")
        Calibration.from_dict(calibration(lab.card)).save(path)
    return RealConfig.from_dict(read_value(robot_yaml(lab.card, path), "the laboratory's robot.yaml"))


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
    glance: Glance,
    estimator: Estimator | None,
    rng: np.random.Generator,
) -> PoseSource:
    """Who finds the objects, by default the estimator "rgbd"; ValueError if cameras are to do it and there are none."""
    if config.poses == "lab":
        assert orders is not None and config.lab is not None  # RealConfig has seen to it
        return LabPoses(orders, config.lab, rng)
    if not config.cameras:
        raise ValueError("poses: estimator of robot.yaml needs cameras; there are none in it")
    return SeenPoses(look, glance, estimator or make_estimator("rgbd"), config.max_blind_s)
