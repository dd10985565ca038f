"""Scripted disturbances: what people do to a world while a robot works in it (paper, Section IV-D and Appendix C).

    load_disturbance("snatch")  ->  Disturbance (cfg/disturbances/NAME.yaml: data, no Python)
    Meddler(disturbance, env)   ->  tick, release, look: called by the run, strikes once when its moment has come

The agent is not told: it has to see what happened at its next look. The report tells it to people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files

import gymnasium as gym
import numpy as np
import yaml

from iker_agent.config import RunConfig
from iker_envs.contract import Contract
from iker_envs.scene import Goal, upright_pose
from iker_envs.task import Task, load_task, parse_task

MOMENTS = ("carry", "release", "look", "scene")
_MIDWAY = 0.5  # of the way that a carried object has to go


@dataclass(frozen=True, eq=False)
class Disturbance(Contract):
    """What happens and when. `at` is the moment:

    carry: `object` is taken out of the hand midway and laid on the table at `position_m` (2,), turned by `yaw_deg`;
    release: `object` slips by `shift_m` (3,) when the hand lets go of it;
    look: after `after_stages` stages the instruction becomes that of the task's configuration number `configuration`;
    scene: nothing happens later, the scene itself is the difficulty.
    """

    at: str
    text: str  # one sentence for the report
    object: str = ""
    position_m: np.ndarray = field(default_factory=lambda: np.zeros(2))
    yaw_deg: float = 0.0
    shift_m: np.ndarray = field(default_factory=lambda: np.zeros(3))
    after_stages: int = 1
    configuration: int = 0


def disturbances() -> list[str]:
    """Names of the disturbances there are."""
    folder = files("iker_cfg").joinpath("disturbances")
    return sorted(p.name.removesuffix(".yaml") for p in folder.iterdir() if p.name.endswith(".yaml"))


def load_disturbance(name: str) -> tuple[Disturbance, Task]:
    """A disturbance and the task that it plays in; ValueError names the known ones."""
    if name not in disturbances():
        raise ValueError(f"disturbance {name!r} does not exist; known: {', '.join(disturbances())}")
    data = yaml.safe_load(files("iker_cfg").joinpath(f"disturbances/{name}.yaml").read_text(encoding="utf-8"))
    task = data.pop("task")
    disturbance = Disturbance.from_dict(data)
    if disturbance.at not in MOMENTS:
        raise ValueError(f"the moment {disturbance.at!r} of {name!r} is unknown; known: {', '.join(MOMENTS)}")
    return disturbance, parse_task(task) if isinstance(task, Mapping) else load_task(task)


def chosen_task(config: RunConfig) -> Task:
    """The task of a run: its disturbance's, if it has one; ValueError if another is asked for beside that."""
    if not config.disturb:
        return load_task(config.task)
    _, task = load_disturbance(config.disturb)
    if config.task not in (RunConfig.task, task.name):
        raise ValueError(f"the disturbance {config.disturb} plays in the task {task.name}; leave out --task")
    return task


class Meddler:
    """Carries a disturbance out, once; `events` keeps what was done since it was last taken."""

    def __init__(self, disturbance: Disturbance | None, env: gym.Env) -> None:
        self.disturbance = disturbance
        self.env = env.unwrapped
        self.events: list[str] = []
        self._first_error_m = 0.0  # keypoint error at the stage's first tick
        self._pending = disturbance is not None and disturbance.at != "scene"
        self._mine = False  # the present stage is the one that is disturbed

    def begin(self, goal: Goal) -> None:
        """A stage begins."""
        d = self.disturbance
        self._first_error_m = 0.0
        self._mine = self._pending and goal.object == d.object and (goal.grasp or d.at == "release")

    def tick(self, error_m: float) -> None:
        """A tick of the policy has passed; the keypoints are this far from their targets."""
        d = self.disturbance
        self._first_error_m = self._first_error_m or error_m
        if self._mine and d.at == "carry" and error_m < _MIDWAY * self._first_error_m:
            height = float(self.env.scene.object(d.object).model.size_m[2])
            self._move(upright_pose([*d.position_m, height / 2 + 0.002], float(np.deg2rad(d.yaw_deg))))

    def released(self) -> bool:
        """The hand has let go and everything is still; True if the world is now touched."""
        d = self.disturbance
        if not self._mine or d.at != "release":
            return False
        pose = np.array(self.env.scene.object(d.object).pose)
        pose[:3] += d.shift_m
        self._move(pose)
        return True

    def look(self, stages: int) -> int | None:
        """The configuration whose instruction holds from now on, after so many stages; None to go on as before."""
        if not self._pending or self.disturbance.at != "look" or stages < self.disturbance.after_stages:
            return None
        self._strike()
        return self.disturbance.configuration

    def _move(self, pose: np.ndarray) -> None:
        """Put the object elsewhere (7,); hand and other objects stay where they are."""
        self.env.move(self.disturbance.object, pose)
        self._strike()
        self._mine = False

    def _strike(self) -> None:
        self._pending = False
        self.events.append(self.disturbance.text)

    def take_events(self) -> list[str]:
        """What was done since the last call."""
        events = self.events
        self.events = []
        return events
