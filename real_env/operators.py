"""Who puts objects where an episode begins: a person who is asked in words, or an emulated laboratory that is told.

    Operator.arrange(task, configuration, seed)  ->  Scene as it should stand now      Operator.move(name, pose)

An environment never waits at a keyboard: a person is reached through a callable that the caller gives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from iker_envs.scene import Scene, SceneObject, position_and_angles
from iker_envs.task import Task
from real_env.lab.client import LabError, LabOrders

Ask = Callable[[str], bool]
"""Shows a person one request; True when it is done, False when it will not be."""


class Operator(Protocol):
    """Arranges the cell. ValueError, in one sentence, if that cannot be done."""

    def present(self, task: Task) -> Scene | None:
        """The scene of a task as it stands already; None if nobody can tell."""
        ...

    def arrange(self, task: Task, configuration: int, seed: int) -> Scene:
        """Put the objects of a configuration where it says; the scene as it should stand."""
        ...

    def move(self, model: SceneObject, pose: np.ndarray) -> None:
        """Put one object at a pose (7,)."""
        ...


class Person:
    """A person, asked through a callable; None if nobody is there."""

    def __init__(self, ask: Ask | None) -> None:
        self._ask = ask

    def present(self, task: Task) -> Scene | None:
        """See `Operator`."""
        return None

    def arrange(self, task: Task, configuration: int, seed: int) -> Scene:
        """See `Operator`; the seed draws where things go within their ranges."""
        scene = task.sample(np.random.default_rng(seed), configuration)
        things = "; ".join(described(o) for o in scene.objects)
        self._request(f"arrange the table (x is forward from the robot's base, y to its left): {things}")
        return scene

    def move(self, model: SceneObject, pose: np.ndarray) -> None:
        """See `Operator`."""
        self._request(f"move {described(SceneObject(model.model, pose, model.movable))}")

    def _request(self, text: str) -> None:
        if self._ask is None:
            raise ValueError(
                f"a person is needed to {text}; make the environment with operator=, a callable that shows a request "
                "and returns True when it is done, or use options['world'] = 'keep'"
            )
        if not self._ask(text):
            raise ValueError(f"the operator did not {text.split(' ', 1)[0]}: the request was declined")


class LabOperator:
    """An emulated laboratory, by the orders of its control socket."""

    def __init__(self, orders: LabOrders) -> None:
        self._orders = orders

    def arrange(self, task: Task, configuration: int, seed: int) -> Scene:
        """See `Operator`."""
        here = self._order("scene")["task"]
        if here != task.name:
            raise ValueError(f"the laboratory was started for the task {here!r}, not {task.name!r}; start another one")
        self._order("reset", seed=seed, configuration=configuration)
        return Scene.from_dict(self._order("scene")["scene"])

    def _order(self, do: str, **arguments: Any) -> Any:
        try:
            return self._orders.order(do, **arguments)
        except LabError as error:
            raise ValueError(f"the laboratory did not do {do!r}: {error}") from None

    def present(self, task: Task) -> Scene | None:
        """See `Operator`."""
        told = self._order("scene")
        return Scene.from_dict(told["scene"]) if told["task"] == task.name else None

    def move(self, model: SceneObject, pose: np.ndarray) -> None:
        """See `Operator`."""
        self._order("move", name=model.name, pose=[float(x) for x in pose])


def described(o: SceneObject) -> str:
    """Where an object stands, in centimetres and degrees for a person with a ruler."""
    x, y, z, roll, pitch, yaw = position_and_angles(o.pose)
    place = f"x {100 * x:.0f}, y {100 * y:.0f}, centre {100 * z:.0f} cm high"
    angles = ", ".join(
        f"{name} {np.degrees(angle):.0f} degrees"
        for name, angle in (("roll", roll), ("pitch", pitch), ("heading", yaw))
        if abs(angle) > np.deg2rad(1.0) or name == "heading"
    )
    return f"{o.name} at {place}, {angles}"
