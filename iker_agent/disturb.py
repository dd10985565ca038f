"""Scripted disturbances: what people do to a world while a robot works in it (paper, Section IV-D and Appendix C).

    load_disturbance("snatch")  ->  Disturbance (cfg/disturbances/NAME.yaml: data, no Python)
    Perturbation(disturbance, world)  ->  begin, tick, released, look: called by the run; strikes once, at its moment

The agent is not told who did what and why: it has to see it at its next look. Where an object was moved while or after
the hand worked on it, the outcome of the stage says so. The report tells all of it to people.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files

import numpy as np

from iker_envs.contract import Contract
from iker_envs.documents import read_document
from iker_envs.scene import Goal, upright_pose
from iker_envs.task import Task, load_task, parse_task
from iker_envs.world import World

MOMENTS = ("carry", "release", "look", "scene")
_MIDWAY = 0.5  # share of the first keypoint error at which a carried object is taken
_GAP_M = 0.002  # above the table, so that an object which is laid down does not overlap it


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
    data = read_document(str(files("iker_cfg").joinpath(f"disturbances/{name}.yaml")))
    task = data.pop("task")
    disturbance = Disturbance.from_dict(data)
    if disturbance.at not in MOMENTS:
        raise ValueError(f"the moment {disturbance.at!r} of {name!r} is unknown; known: {', '.join(MOMENTS)}")
    return disturbance, parse_task(task) if isinstance(task, Mapping) else load_task(task)


class Perturbation:
    """Carries a disturbance out in a world, once; `events` keeps what was done since it was last taken."""

    def __init__(self, disturbance: Disturbance | None, world: World) -> None:
        self.world = world
        self.events: list[str] = []
        self._first_error_m = 0.0  # keypoint error at the stage's first tick
        is_scripted = disturbance is not None and disturbance.at != "scene"
        self._pending = disturbance if is_scripted else None  # until it has struck
        self._due: Disturbance | None = None  # what is to strike in the present stage

    def begin(self, goal: Goal) -> None:
        """A stage begins."""
        d = self._pending
        self._first_error_m = 0.0
        is_due = d is not None and goal.object == d.object and (goal.grasp or d.at == "release")
        self._due = d if is_due else None

    def tick(self, error_m: float) -> None:
        """A tick of the policy has passed; the keypoints are this far from their targets."""
        d = self._due
        self._first_error_m = self._first_error_m or error_m
        if d is not None and d.at == "carry" and error_m < _MIDWAY * self._first_error_m:
            height_m = float(self.world.template.object(d.object).model.size_m[2])
            position_m = np.array([*d.position_m, height_m / 2 + _GAP_M])
            self._move(d, upright_pose(position_m, float(np.deg2rad(d.yaw_deg))))

    def released(self) -> bool:
        """The hand has let go and everything is still; True if the world is now touched."""
        d = self._due
        if d is None or d.at != "release":
            return False
        pose = np.array(self.world.scene.object(d.object).pose)
        pose[:3] += d.shift_m
        self._move(d, pose)
        return True

    def look(self, stages: int) -> int | None:
        """The configuration whose instruction holds from now on, after so many stages; None to go on as before."""
        d = self._pending
        if d is None or d.at != "look" or stages < d.after_stages:
            return None
        self._strike(d)
        return d.configuration

    def take_events(self) -> list[str]:
        """What was done since the last call."""
        events = self.events
        self.events = []
        return events

    def _move(self, disturbance: Disturbance, pose: np.ndarray) -> None:
        self.world.move(disturbance.object, pose)
        self._strike(disturbance)
        self._due = None

    def _strike(self, disturbance: Disturbance) -> None:
        self._pending = None
        self.events.append(disturbance.text)
