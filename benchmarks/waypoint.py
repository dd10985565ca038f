"""How often does the waypoint rule do what it is asked? Strict success in copies of many scenes, row by row.

    python benchmarks/waypoint.py                                   # everything, some minutes on a quiet core
    python benchmarks/waypoint.py --suites cans,books --copies 16 --out waypoint.json

Suites: `tasks` (every stage of every configuration, earlier stages done), pushes of `cans` and of `tall` boxes,
sideways pushes of standing `books` on a shelf (to a neighbour and away from one, too), pushes that end near the `edges`
of a board, and `regrasps` of a standing book beside a neighbour. A row is printed once it is measured; where something
cannot be done, it says why, as a run would before anything moves. Copies have poses of their own, around an estimate,
and physical parameters of their own.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from iker_agent.atomic import replace_file
from iker_agent.learning.forecast import ForecastSettings, foresee
from iker_agent.learning.sequential import SequentialTest
from iker_agent.learning.waypoint import WaypointLearner
from iker_agent.rehearsal import choose_grasps
from iker_envs.optics import default_cameras
from iker_envs.physics.transfer import settle
from iker_envs.scene import Goal, ObjectModel, Scene, SceneObject, turned_pose
from iker_envs.task import load_task, task_names

WORKSPACE_M = np.array([[0.20, -0.45, 0.015], [0.75, 0.45, 0.45]])
CANS_M = {"can": (0.07, 0.07, 0.10), "tin": (0.08, 0.08, 0.06), "bottle": (0.06, 0.06, 0.14)}
TALL_M = {"carton": (0.12, 0.04, 0.20), "pillar": (0.05, 0.05, 0.15), "folder": (0.03, 0.18, 0.24)}
# x, y, heading before and after: to the right, away from the robot, towards it, slantwise with a turn
WAYS = {
    "right": ((0.45, 0.10, 0.0), (0.45, -0.08, 0.0)),
    "away": ((0.42, 0.05, 0.3), (0.57, 0.05, 0.3)),
    "near": ((0.58, -0.05, 0.0), (0.45, -0.05, 0.0)),
    "slant": ((0.48, 0.12, 0.0), (0.40, -0.02, 0.5)),
}
_NEVER = 1e-30  # error rates at which a test is settled by its last trial only
SHELF_BOOKS = ("book_yellow", "book_green", "book_brown")


@dataclass(frozen=True, eq=False)
class Case:
    """A scene, and what is asked of the rule in it."""

    suite: str
    name: str
    scene: Scene
    goal: Goal


@dataclass(frozen=True)
class Row:
    """How a case ended: `reason` is why it cannot be done, told before anything moves, `failure` what happened most."""

    suite: str
    case: str
    num_success: int
    num_copies: int
    reason: str
    failure: str
    seconds: float


def task_cases() -> Iterator[Case]:
    """Every annotated goal."""
    for name in task_names():
        task = load_task(name)
        for index in range(len(task.configurations)):
            scene = settle(task.sample(np.random.default_rng(index), index))
            for stage in range(len(task.configuration(index).stages)):
                goal = task.goal(stage, scene, index)
                yield Case("tasks", f"{name} {index}, stage {stage + 1}", scene, goal)
                scene = scene.with_poses({goal.object: goal.target_pose})


def box_cases(suite: str, sizes: dict[str, tuple[float, float, float]]) -> Iterator[Case]:
    """A box alone on the table, pushed in four directions."""
    for name, size in sizes.items():
        model = ObjectModel("thing", "box", np.array(size), 0.4)
        for way, (start, end) in WAYS.items():
            scene = Scene((SceneObject(model, standing(model, *start)),), default_cameras(), WORKSPACE_M)
            yield Case(suite, f"{name} {way}", scene, Goal("thing", standing(model, *end), instruction="Push it"))


def shelf(book: str, y_m: float) -> Scene:
    """The shelf of book_stow: a red book stands at y -0.20 and another one at `y_m`, spines to the robot."""
    task = load_task("book_stow")
    scene = task.sample(None)
    red = scene.object("other_book")
    top_m = red.pose[2] - red.model.half_height_m(red.pose[3:])
    model = replace(task.models[book], name="book")
    pose = np.array([*red.pose[:2], top_m + model.half_height_m(red.pose[3:]), *red.pose[3:]])
    pose[1] = y_m
    objects = [SceneObject(model, pose) if o.name == "book" else o for o in scene.objects]
    return replace(scene, objects=tuple(objects))


def book_cases() -> Iterator[Case]:
    """Standing books pushed along the shelf: 5 to 12 cm to either side, and to 1 cm from a neighbour."""
    for book in SHELF_BOOKS:
        for shift_m in (-0.05, -0.08, -0.12, 0.05, 0.08):
            scene = shelf(book, 0.02)
            yield Case("books", f"{book} {100 * shift_m:+.0f} cm", scene, moved(scene, "book", (0.0, shift_m)))
        scene = shelf(book, -0.09)
        beside_m = -0.20 + 0.01 + sum(scene.object(o).model.size_m[1] for o in ("book", "other_book")) / 2
        for gap_m in (0.10, 0.05):
            beside = shelf(book, beside_m + gap_m - 0.01)
            goal = moved(beside, "book", (0.0, 0.06))
            yield Case("books", f"{book} away from its neighbour, gap {100 * gap_m:.0f} cm", beside, goal)
        yield Case("books", f"{book} to its neighbour", scene, moved(scene, "book", (0.0, beside_m + 0.09)))


def edge_cases() -> Iterator[Case]:
    """Things on a board that end with their middle 3 or 5 cm from its front edge or its right end."""
    board = ObjectModel("board", "box", np.array([0.28, 0.64, 0.10]), 5.0)
    pose = turned_pose(np.array([0.50, 0.0, 0.05]), (0.0, 0.0, 0.0))
    for name, size in (("crate", (0.12, 0.09, 0.06)), ("can", CANS_M["can"])):
        model = ObjectModel("thing", "box", np.array(size), 0.4)
        for where, place, inward in (("front", (0.36, 0.0), (1.0, 0.0)), ("end", (0.50, -0.32), (0.0, 1.0))):
            for gap_m in (0.03, 0.05):
                end = np.array(place) + (gap_m + (size[0] if where == "front" else size[1]) / 2) * np.array(inward)
                start = end + 0.10 * np.array(inward)
                thing = SceneObject(model, standing(model, start[0], start[1], 0.0, 0.10))
                scene = Scene((SceneObject(board, pose, False), thing), default_cameras(), WORKSPACE_M)
                goal = moved(scene, "thing", end - start)
                yield Case("edges", f"{name}, {100 * gap_m:.0f} cm to the {where}", scene, goal)


def regrasp_cases() -> Iterator[Case]:
    """A standing book taken from beside a neighbour and set down elsewhere, and the way back."""
    for book in SHELF_BOOKS:
        for gap_m in (0.03, 0.05, 0.08):
            thick_m = sum(m.size_m[1] for m in (load_task("book_stow").models[n] for n in (book, "book_red"))) / 2
            beside_m = -0.20 + gap_m + thick_m
            scene = shelf(book, beside_m)
            away = moved(scene, "book", (0.0, 0.10))
            yield Case("regrasps", f"{book} away, gap {100 * gap_m:.0f} cm", scene, replace(away, grasp=True))
            scene = shelf(book, beside_m + 0.10)
            back = moved(scene, "book", (0.0, -0.10))
            yield Case("regrasps", f"{book} back, gap {100 * gap_m:.0f} cm", scene, replace(back, grasp=True))


SUITES: dict[str, Callable[[], Iterator[Case]]] = {
    "tasks": task_cases,
    "cans": lambda: box_cases("cans", CANS_M),
    "tall": lambda: box_cases("tall", TALL_M),
    "books": book_cases,
    "edges": edge_cases,
    "regrasps": regrasp_cases,
}


def standing(model: ObjectModel, x: float, y: float, heading: float, on_m: float = 0.0) -> np.ndarray:
    """The pose (7,) of a box on something `on_m` high."""
    return turned_pose(np.array([x, y, on_m + model.size_m[2] / 2]), (0.0, 0.0, heading))


def moved(scene: Scene, name: str, shift: Sequence[float] | np.ndarray) -> Goal:
    """A push of an object by a shift (2,) in metres."""
    pose = np.array(scene.object(name).pose)
    pose[:2] += shift
    return Goal(name, pose, instruction="Push it")


def measure(case: Case, num_copies: int, seed: int) -> Row:
    """Carry a case out in copies, as a run would forecast it."""
    began_s = time.monotonic()
    settings = ForecastSettings(max_copies=num_copies)
    everything = SequentialTest(0.5, num_copies, _NEVER, _NEVER)
    try:
        grasps = choose_grasps(case.scene, case.goal, settings, seed) if case.goal.grasp else ()
        learned = WaypointLearner().learn(case.scene, case.goal)
        found = foresee(case.scene, case.goal, learned.policy, settings, grasps[:1], seed, of_policy=everything)
    except ValueError as refused:
        return Row(case.suite, case.name, 0, num_copies, str(refused), "", time.monotonic() - began_s)
    doubt = learned.doubt if found.rate < settings.act_above else ""
    seconds = time.monotonic() - began_s
    return Row(case.suite, case.name, found.num_success, found.num_copies, doubt, found.failure, seconds)


def read_suites(text: str) -> list[str]:
    """Names of suites, separated by commas; ValueError names one that there is not."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in SUITES:
            raise ValueError(f"there is no suite {name!r}; suites are {', '.join(SUITES)}")
    return names


def main() -> None:
    """The rows of the chosen suites, and a mean for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suites", type=read_suites, default=list(SUITES), help="names separated by commas")
    parser.add_argument("--copies", type=int, default=8, help="of each case")
    parser.add_argument("--match", default="", help="only cases whose name contains this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file of all rows")
    options = parser.parse_args()
    rows: list[Row] = []
    for suite in options.suites:
        for case in (case for case in SUITES[suite]() if options.match in case.name):
            rows.append(measure(case, options.copies, options.seed))
            row = rows[-1]
            told = f"  {row.reason or row.failure}" if row.reason or row.failure else ""
            print(f"{row.case:46} {row.num_success:3}/{row.num_copies} {row.seconds:5.1f} s{told}", flush=True)
        of_suite = [row for row in rows if row.suite == suite]
        print(summary(suite, of_suite), flush=True)
    if options.out:
        text = json.dumps([asdict(row) for row in rows], indent=1) + "\n"
        replace_file(options.out, lambda file: file.write_text(text, encoding="utf-8"))


def summary(suite: str, rows: Sequence[Row]) -> str:
    """The mean rate of a suite, and of those of its cases that are not told beforehand to be impossible."""
    if not rows:
        return f"{suite}: no case"
    rate = float(np.mean([row.num_success / row.num_copies for row in rows]))
    tried = [row.num_success / row.num_copies for row in rows if not row.reason]
    rest = f", {np.mean(tried):.3f} of the {len(tried)} that are not told beforehand to be impossible" if tried else ""
    return f"{suite}: mean {rate:.3f} of {len(rows)} cases{rest if len(tried) < len(rows) else ''}"


if __name__ == "__main__":
    main()
