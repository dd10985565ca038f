"""How often poses from pictures are wrong, how far off, and how long they take, by task: the estimator "rgbd".

    python benchmarks/perception.py --scenes 20 --seed 7     prints a line a scene as it goes, then a table

Scenes are the tasks' arrangements (start, end of the annotated stages) and random ones, with --touching those alone
in which objects were pushed together; pictures are those of the four stationary cameras and the query camera with
D435-like noise, other flaws in every scene. A pose is wrong if it is more than 2 cm or 10 degrees off, no symmetry
allowed; intervals are Wilson's, 95 %. Cold: nothing is known; warm: the same scene, photographed again. Seconds are
CPU seconds of one process, pictures not counted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from iker_envs.geometry import pose_compose, rotation_angle
from iker_envs.optics import stationary_cameras
from iker_envs.perception import Estimate, EstimateRefused
from iker_envs.perception.rgbd import RgbdEstimator
from iker_envs.perception.surfaces import surface_model
from iker_envs.physics.transfer import SceneNotAtRest, scene_from_poses
from iker_envs.pictures.sensor_noise import NoisyCameras, SensorNoise
from iker_envs.pictures.still import still_view
from iker_envs.planning.collision import deepest_overlap, object_boxes, scene_boxes
from iker_envs.scene import Scene, View, upright_pose
from iker_envs.task import Task, load_task

TASKS = ("shoe_place", "shoe_push", "book_push", "book_reorient", "shoe_rack", "book_stow")
ARRANGEMENTS = ("start", "end", "random")  # and "touching"
WRONG_M = 0.02
WRONG_DEG = 10.0
_FAST_SIZE = (320, 240)
_DRAWS = 200
_CONTACT_M = 0.0005
_INSIDE_M = 0.002  # so deep in furniture, an object is not there
_TOUCHING_M = 0.003  # after they came to rest
_HALVINGS = 14


@dataclass
class Tally:
    """What was counted of some scenes."""

    scenes: int = 0
    refused: int = 0
    objects: int = 0
    wrong: int = 0
    trusted_wrong: int = 0
    errors_m: list[float] = field(default_factory=list)  # of the right ones
    errors_deg: list[float] = field(default_factory=list)
    cold_s: list[float] = field(default_factory=list)
    warm_s: list[float] = field(default_factory=list)


def arranged(task: Task, arrangement: str, configuration: int, rng: np.random.Generator) -> Scene:
    """A scene of the task: as it starts, as it should end, or with everything thrown about the table."""
    scene = task.sample(rng, configuration)
    if arrangement == "end":
        for stage in range(len(task.configuration(configuration).stages)):
            goal = task.goal(stage, scene, configuration)
            scene = scene.with_poses({goal.object: goal.target_pose})
    if arrangement == "touching":
        return pushed_together(scene, rng)
    return thrown_about(scene, rng) if arrangement == "random" else scene


def thrown_about(scene: Scene, rng: np.random.Generator) -> Scene:
    """Every movable object turned by any angle, somewhere over the workspace, 1 cm from the others, come to rest."""
    for _ in range(_DRAWS):
        low, high = scene.workspace_m[:, :2] + np.array([[0.05, 0.05], [-0.05, -0.05]])
        moved = scene
        for name in scene.movable:
            turn = upright_pose(np.zeros(3), rng.uniform(-np.pi, np.pi))
            pose = pose_compose(turn, np.array([0, 0, 0, *scene.object(name).pose[3:]]))
            pose[:2] = rng.uniform(low, high)
            half_height = scene.object(name).model.half_height_m(pose[3:])
            pose[2] = half_height + max([0.0, *(b.corners()[:, 2].max() for b in _below(scene, pose[:2]))])
            moved = moved.with_poses({name: pose})
        try:
            if all(_is_free(moved, name) for name in moved.movable):
                return scene_from_poses(moved, {n: moved.object(n).pose for n in moved.movable})
        except SceneNotAtRest:
            continue
    return scene


def pushed_together(scene: Scene, rng: np.random.Generator) -> Scene:
    """Thrown about, then each object after the first slid towards the one before it until they touch.

    None is pushed through furniture: an object on the table does not end below one on the rack, where none sees it.
    """
    for _ in range(_DRAWS):
        moved = thrown_about(scene, rng)
        for before, name in pairwise(moved.movable):
            moved = _slid(moved, name, moved.object(before).pose[:2])
        if not _all_touch(moved):
            continue
        try:
            rest = scene_from_poses(moved, {n: moved.object(n).pose for n in moved.movable})
        except SceneNotAtRest:
            continue
        if _all_touch(rest):
            return rest
    raise ValueError("no draw of this task has its objects touch each other")


def _slid(scene: Scene, name: str, towards: np.ndarray) -> Scene:
    """With an object moved straight until it is half a millimetre from another movable one, or furniture stops it."""
    pose = scene.object(name).pose
    low, high = 0.0, 1.0  # of the way to the other's centre, where they overlap
    for _ in range(_HALVINGS):
        share = (low + high) / 2
        there = np.concatenate([pose[:2] + share * (towards - pose[:2]), pose[2:]])
        tried = scene.with_poses({name: there})
        free = _gap_m(tried, name, tried.movable) > _CONTACT_M and _is_out_of_furniture(tried, name)
        low, high = (share, high) if free else (low, share)
    return scene.with_poses({name: np.concatenate([pose[:2] + low * (towards - pose[:2]), pose[2:]])})


def _all_touch(scene: Scene) -> bool:
    """Does every movable object touch one that was there before it?"""
    return all(_gap_m(scene, n, scene.movable[:k]) < _TOUCHING_M for k, n in enumerate(scene.movable) if k)


def _gap_m(scene: Scene, name: str, others: Sequence[str]) -> float:
    """How far an object is from the nearest of some others; below 0 where they overlap."""
    skip = [o.name for o in scene.objects if o.name not in others or o.name == name]
    boxes = object_boxes(scene.object(name).model, scene.object(name).pose)
    return -float(deepest_overlap(boxes, scene_boxes(scene, skip=skip))[0])


def _is_out_of_furniture(scene: Scene, name: str) -> bool:
    boxes = object_boxes(scene.object(name).model, scene.object(name).pose)
    return float(deepest_overlap(boxes, scene_boxes(scene, skip=scene.movable))[0]) < _INSIDE_M


def _below(scene: Scene, place: np.ndarray) -> list:
    furniture = [b for o in scene.objects if not o.movable for b in object_boxes(o.model, o.pose)]
    return [
        b
        for b in furniture
        if (b.corners()[:, :2].min(0) <= place).all() and (place <= b.corners()[:, :2].max(0)).all()
    ]


def _is_free(scene: Scene, name: str) -> bool:
    """Is the object 1 cm from the other movable ones, and not inside furniture?"""
    return _gap_m(scene, name, scene.movable) > 0.01 and _is_out_of_furniture(scene, name)


def jobs(tasks: Sequence[str], arrangements: Sequence[str], count: int) -> Iterator[tuple[str, str, int]]:
    """Task, arrangement and configuration of `count` scenes, evenly over all."""
    for number in range(count):
        task = tasks[number % len(tasks)]
        turn = number // len(tasks)
        yield task, arrangements[turn % len(arrangements)], turn % 10


def look(estimator: RgbdEstimator, view: View, scene: Scene) -> tuple[dict[str, Estimate], str, float]:
    """Estimates, the reason if they were refused, CPU seconds."""
    began_s = time.process_time()
    try:
        return estimator.estimate(view, scene), "", time.process_time() - began_s
    except EstimateRefused as refusal:
        return refusal.estimates, str(refusal), time.process_time() - began_s


def measure(tally: Tally, scene: Scene, cameras: Sequence[str], seed: int, *, fast: bool = False) -> str:
    """One scene, cold and warm, `fast`: small and cold; what is worth saying of it."""
    exact = still_view(scene, cameras=stationary_cameras(), size=_FAST_SIZE if fast else None)
    kept = {name: image for name, image in exact.cameras.items() if not cameras or name in cameras}
    sensor = NoisyCameras(SensorNoise(), seed)
    for name in scene.movable:
        surface_model(scene.object(name).model).nearest(np.zeros((1, 3), dtype=np.float32))  # made once, then kept
    estimator = RgbdEstimator()
    view = View(sensor.pictures(kept), next(iter(kept)))
    found, why, seconds = look(estimator, view, scene)
    tally.scenes += 1
    tally.refused += bool(why)
    tally.cold_s.append(seconds)
    words = [_count(tally, scene, name, found.get(name), is_trusted=not why) for name in scene.movable]
    if not why and not fast:
        view = View(sensor.pictures(kept), next(iter(kept)))
        tally.warm_s.append(look(estimator, view, scene)[2])
    return f"{seconds:.1f} s  {', '.join(words)}{'  refused: ' + why if why else ''}"


def _count(tally: Tally, scene: Scene, name: str, estimate: Estimate | None, *, is_trusted: bool) -> str:
    tally.objects += 1
    if estimate is None:
        tally.wrong += 1
        return f"{name} not found"
    truth = scene.object(name).pose
    off_m = float(np.linalg.norm(estimate.pose[:3] - truth[:3]))
    off_deg = float(np.rad2deg(rotation_angle(estimate.pose[3:], truth[3:])))
    is_wrong = off_m > WRONG_M or off_deg > WRONG_DEG
    tally.wrong += is_wrong
    tally.trusted_wrong += is_wrong and is_trusted
    if not is_wrong:
        tally.errors_m.append(off_m)
        tally.errors_deg.append(off_deg)
    return f"{'WRONG ' if is_wrong else ''}{name} {1000 * off_m:.1f} mm {off_deg:.1f} deg"


def wilson(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Interval of a share (Wilson 1927), 95 %."""
    if not count:
        return 0.0, 1.0
    share = hits / count
    middle = share + z**2 / (2 * count)
    spread = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return max(0.0, (middle - spread) / (1 + z**2 / count)), min(1.0, (middle + spread) / (1 + z**2 / count))


def row(name: str, tally: Tally) -> str:
    """A line of the table."""
    low, high = wilson(tally.wrong, tally.objects)
    worst = wilson(tally.trusted_wrong, tally.objects)[1]

    def middle(values: list[float], share: float, factor: float = 1.0) -> str:
        return f"{factor * np.percentile(values, share):.1f}" if values else "-"

    return (
        f"{name:14} {tally.scenes:4} {tally.objects:4}   {tally.wrong:3} ({100 * low:.1f}-{100 * high:.1f} %)   "
        f"{tally.trusted_wrong:3} (< {100 * worst:.1f} %)   {tally.refused:3}    "
        f"{middle(tally.errors_m, 50, 1e3)} ({middle(tally.errors_m, 95, 1e3)})   "
        f"{middle(tally.errors_deg, 50)} ({middle(tally.errors_deg, 95)})   "
        f"{middle(tally.cold_s, 50)} ({middle(tally.cold_s, 95)})   {middle(tally.warm_s, 50)}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", default=",".join(TASKS), help="names, with commas")
    parser.add_argument("--arrangements", default=",".join(ARRANGEMENTS), help="start, end, random, with commas")
    parser.add_argument("--touching", action="store_true", help="objects thrown about and pushed together; no other")
    parser.add_argument(
        "--fast", action="store_true", help="small pictures, as poses are estimated from; no warm looks"
    )
    parser.add_argument("--cameras", default="", help="names, with commas; all if empty")
    parser.add_argument("--scenes", type=int, default=18)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    tallies: dict[str, Tally] = {}
    every = Tally()
    kept = [name for name in asked.cameras.split(",") if name]
    tasks = [t for t in asked.tasks.split(",") if not asked.touching or len(load_task(t).sample(None).movable) > 1]
    arrangements = ["touching"] if asked.touching else asked.arrangements.split(",")
    plan = jobs(tasks, arrangements, asked.scenes)
    for number, (task, arrangement, configuration) in enumerate(plan):
        scene = arranged(load_task(task), arrangement, configuration, np.random.default_rng([asked.seed, number]))
        tally = Tally()
        words = measure(tally, scene, kept, asked.seed * 10_000 + number, fast=asked.fast)
        for total in (every, tallies.setdefault(task, Tally())):
            _add(total, tally)
        print(f"{task} {configuration} {arrangement}: {words}", flush=True)
    print("\ntask           scenes objects wrong (95 %)   trusted   refused  mm (p95)  deg (p95)  cold s (p95)  warm s")
    for name, tally in tallies.items():
        print(row(name, tally))
    print(row("all", every))


def _add(total: Tally, part: Tally) -> None:
    for name, value in vars(part).items():
        setattr(total, name, getattr(total, name) + value)


if __name__ == "__main__":
    main()
