"""What the benchmark shows: scenes that are known before anything is answered, looked at once for both contracts.

    tasks, items, samples  ->  stills  ->  Still(scene, start, looks by contract), one after another

Pictures take as long as programs, and need nothing of them: the next one is drawn while an answer is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from iker_agent.prompt_kinds import PromptSettings
from iker_agent.seeing.look import Look, see
from iker_envs.pictures.still import still_view
from iker_envs.scene import Scene
from iker_envs.task import Task

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Still:
    """A scene at a stage counted from 1 of a drawn sample, the scene in which it began, and the looks by contract."""

    sample: int
    stage: int
    start: Scene
    looks: dict[str, Look]


def looks_at(scene: Scene, contracts: Sequence[str], shown: PromptSettings) -> dict[str, Look]:
    """One view of a scene, marked for each contract."""
    view = still_view(scene, scene.cameras if shown.side else None, size=shown.size_px)
    return {contract: see(scene, view, contract, side=shown.side) for contract in contracts}


def start_of(task: Task, configuration: int, seed: int, sample: int) -> Scene:
    """The scene of a sample of an arrangement."""
    return task.sample(np.random.default_rng([seed, sample]), configuration)


def stages_of(task: Task, configuration: int, start: Scene) -> Iterator[Scene]:
    """The scenes of all stages, each as if those before had gone perfectly, and the finished one."""
    scene = start
    yield scene
    for number in range(len(task.configuration(configuration).stages)):
        goal = task.goal(number, scene, configuration)
        scene = scene.with_poses({goal.object: goal.target_pose})
        yield scene


def ahead(calls: Iterable[Callable[[], T]]) -> Iterator[T]:
    """The results of calls in order, the next one under way while the one before is used."""
    with ThreadPoolExecutor(1) as pool:
        before: Future[T] | None = None
        for call in calls:
            coming = pool.submit(call)
            if before is not None:
                yield before.result()
            before = coming
        if before is not None:
            yield before.result()
