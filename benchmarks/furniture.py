"""How far furniture that was fitted to pictures is off, by kind, and whether objects rest on it.

    python benchmarks/furniture.py --scenes 48 --seed 7     prints a line a scene as it goes, then a table

Scenes are, by turns, arrangements of the tasks (start, end, random) and drawn ones: bookends of any size in a corner or
a T on a board that stands askew, racks, two boards side by side of nearly or quite one height; and objects that hide
what they touch: on both bookends, against one, across two boards, over the edge of a small table. Pictures are those of
the four stationary cameras with D435-like noise; objects are taken out by poses wrong by 1.5 mm an axis. Of every true
piece the fitted box nearest to it counts: its top's height, its four edges, its four corners. Blocks that were guessed
under an object are counted apart and make up for no missing piece. An object rests if it stands within 1 cm of where
it was after half a second of simulation; its interval is Wilson's, 95 %. Seconds are CPU seconds of the fit.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from perception import ARRANGEMENTS, TASKS, arranged
from scipy.stats import binomtest

from iker_envs.geometry import pose_compose
from iker_envs.optics import default_cameras, stationary_cameras
from iker_envs.perception.furniture import fit_furniture, furnished, furniture_region
from iker_envs.physics.transfer import SceneNotAtRest, scene_from_poses
from iker_envs.pictures.sensor_noise import NoisyCameras
from iker_envs.pictures.still import still_view
from iker_envs.planning.collision import object_boxes
from iker_envs.scene import ObjectModel, Scene, SceneObject, View, upright_pose
from iker_envs.task import load_task

HIDING = ("across", "against", "bridge", "tables")  # an object hides edges of the furniture
KINDS = ("corner", "tee", "rack", "boards", *HIDING)
OFF_M = 0.0015  # standard deviation an axis of the poses by which objects are taken out
RESTS_M = 0.010
_DRAWS = 400
_STILL_M = 0.003  # an object that moves further within half a second does not rest where it was put
_SIGNS = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]])
_WORKSPACE_M = np.array([[0.2, -0.45, 0.015], [0.75, 0.45, 0.45]])
_SHOE = ObjectModel("shoe", "shoe", np.array([0.28, 0.10, 0.09]), 0.3, side="left")
_BOX = ObjectModel("shoe_box", "box", np.array([0.28, 0.20, 0.11]), 0.6, rgba=np.array([0.85, 0.62, 0.25, 1.0]))
_BOOK = ObjectModel("book", "book", np.array([0.135, 0.030, 0.210]), 0.55, rgba=np.array([0.7, 0.2, 0.2, 1.0]))
_THINGS = (_SHOE, _BOX, _BOOK)
_LYING = np.array([np.sqrt(0.5), -np.sqrt(0.5), 0, 0])  # a book on its back cover
_WOOD = np.array([0.7, 0.6, 0.45, 1.0])
_INNER = np.stack(np.meshgrid(*3 * [np.linspace(-0.95, 0.95, 15)]), axis=-1).reshape(-1, 3)


@dataclass
class Tally:
    """Errors in metres, one a piece, edge or corner, and counts."""

    heights_m: list[float] = field(default_factory=list)
    edges_m: list[float] = field(default_factory=list)
    corners_m: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    missing: int = 0
    extra: int = 0
    guessed: int = 0
    objects: int = 0
    at_rest: int = 0


def drawn(kind: str, rng: np.random.Generator) -> Scene:
    """Furniture of a kind, of any size and heading, and one object that rests on it, across it or against it."""
    for _ in range(_DRAWS):
        place = _Place(rng.uniform(0.52, 0.62), rng.uniform(-0.1, 0.1), rng.uniform(-0.5, 0.5))
        scene = Scene(_DRAWN[kind](place, rng), default_cameras(), _WORKSPACE_M)
        is_across = kind not in ("across", "bridge") or _carriers(scene) > 1
        if is_across and _moved_m(scene, scene.objects)[scene.movable[0]] < _STILL_M:
            return scene
    raise ValueError(f"no draw of the kind {kind} has its object at rest")


@dataclass(frozen=True)
class _Place:
    """A frame on the table in which furniture is set up."""

    x: float
    y: float
    yaw_rad: float

    def _pose(self, x: float, y: float, z: float, turn_rad: float) -> np.ndarray:
        c, s = np.cos(self.yaw_rad), np.sin(self.yaw_rad)
        return upright_pose(np.array([self.x + c * x - s * y, self.y + s * x + c * y, z]), self.yaw_rad + turn_rad)

    def piece(self, name, size, x=0.0, y=0.0, bottom=0.0, *, turn_rad=0.0, shape="box") -> SceneObject:
        model = ObjectModel(name, shape, np.array(size, dtype=float), rgba=_WOOD)
        return SceneObject(model, self._pose(x, y, bottom + size[2] / 2, turn_rad), movable=False)

    def thing(self, model: ObjectModel, x, y, bottom, turn_rad=0.0, *, lying: bool = False) -> SceneObject:
        high = model.size_m[1 if lying else 2]
        pose = self._pose(x, y, bottom + high / 2, turn_rad)
        return SceneObject(model, pose_compose(pose, np.array([0, 0, 0, *_LYING])) if lying else pose)


def _rack(place: _Place, rng: np.random.Generator) -> tuple[SceneObject, ...]:
    size = rng.uniform([0.24, 0.50, 0.09], [0.32, 0.70, 0.14])
    thing = (_BOX, _SHOE)[rng.integers(2)]
    return place.piece("rack", size, shape="rack"), place.thing(thing, 0.0, 0.1, size[2], rng.uniform(-0.3, 0.3))


def _boards(place: _Place, rng: np.random.Generator) -> tuple[SceneObject, ...]:
    height = rng.uniform(0.05, 0.12)
    step = rng.uniform(-0.006, 0.006) if rng.random() < 0.5 else rng.uniform(0.02, 0.05)
    y = rng.uniform(0.14, 0.19)
    turn = rng.uniform(-0.2, 0.2)
    two = place.piece("two", [0.16, 0.26, height + step], rng.uniform(-0.03, 0.03), y, turn_rad=turn)
    shoe = place.thing(_SHOE, 0.0, -0.17, height, np.pi / 2 + rng.uniform(-0.3, 0.3))
    return place.piece("one", [0.22, 0.30, height], y=-0.18), two, shoe


def _bookends(place: _Place, rng: np.random.Generator, *, is_corner: bool) -> tuple[SceneObject, ...]:
    """A board, and on it two bookends that meet in a corner or a T."""
    height = rng.uniform(0.03, 0.12)
    long, other = rng.uniform(0.12, 0.18, 2)
    thick, high = rng.uniform([0.015, 0.04], [0.025, 0.07])
    gap, x, y = rng.uniform([0.0, 0.02, 0.14], [0.012, 0.08, 0.20])
    if is_corner:
        side_x, side_y = x + rng.uniform(-0.01, 0.02) - other / 2, y + (long + thick) / 2 + gap
    else:
        side_x, side_y = x - (thick + other) / 2 - gap, y + rng.uniform(-0.04, 0.04)
    return (
        place.piece("shelf", [0.27, 0.62, height]),
        place.piece("back", [thick, long, high], x, y, height),
        place.piece("side", [other, thick, high], side_x, side_y, height),
    )


def _beside(place: _Place, rng: np.random.Generator, *, is_corner: bool) -> tuple[SceneObject, ...]:
    pieces = _bookends(place, rng, is_corner=is_corner)
    return *pieces, place.thing(_BOOK, -0.02, -0.15, _top_m(pieces[0]), rng.uniform(-0.3, 0.3))


def _across(place: _Place, rng: np.random.Generator) -> tuple[SceneObject, ...]:
    """Something stands or lies on both bookends."""
    pieces = _bookends(place, rng, is_corner=bool(rng.random() < 0.7))
    model, x, y = _THINGS[rng.integers(3)], rng.uniform(-0.10, 0.08), rng.uniform(0.10, 0.30)
    lying = bool(rng.random() < 0.5) and model is _BOOK
    return *pieces, place.thing(model, x, y, _top_m(pieces[1]), rng.uniform(-np.pi, np.pi), lying=lying)


def _against(place: _Place, rng: np.random.Generator) -> tuple[SceneObject, ...]:
    """Something stands on the board with a side at the back bookend, at most 2 mm from it, or with an end at it."""
    pieces = _bookends(place, rng, is_corner=True)
    model = _THINGS[rng.integers(3)]
    turn = (0.0, np.pi / 2)[rng.integers(2)]
    (x, y), (thick, long) = _local(place, pieces[1]), pieces[1].model.size_m[:2]
    deep = model.size_m[0] if turn == 0.0 else model.size_m[1]
    wide = model.size_m[1] if turn == 0.0 else model.size_m[0]
    at_y = y + (long - wide) / 2 - rng.uniform(0.0, 0.05)
    at_x = x - (thick + deep) / 2 - rng.uniform(0.0, 0.002)
    return *pieces, place.thing(model, at_x, at_y, _top_m(pieces[0]), turn)


def _bridge(place: _Place, rng: np.random.Generator) -> tuple[SceneObject, ...]:
    """Two boards of one height, apart, and something that lies or stands on both."""
    height, gap = rng.uniform([0.04, 0.02], [0.12, 0.12])
    deep, other = rng.uniform(0.14, 0.26, 2)
    one, two = rng.uniform(0.12, 0.28, 2)
    model = _THINGS[rng.integers(3)]
    lying = model is _BOOK and bool(rng.random() < 0.7)
    turn = rng.uniform(-np.pi, np.pi)
    return (
        place.piece("one", [deep, one, height], y=-(one + gap) / 2),
        place.piece("two", [other, two, height], rng.uniform(-0.04, 0.04), (two + gap) / 2),
        place.thing(model, rng.uniform(-0.05, 0.05), rng.uniform(-0.05, 0.05), height, turn, lying=lying),
    )


def _tables(place: _Place, rng: np.random.Generator) -> tuple[SceneObject, ...]:
    """A small table, solid or on legs, with something that sticks out over its edge or covers most of it."""
    size = rng.uniform([0.16, 0.20, 0.05], [0.30, 0.40, 0.15])
    model = _THINGS[rng.integers(3)]
    x, y = rng.uniform(-0.5, 0.5, 2) * size[:2]
    lying = model is _BOOK and bool(rng.random() < 0.7)
    table = place.piece("table", size, shape=("box", "rack")[rng.integers(2)])
    return table, place.thing(model, x, y, size[2], rng.uniform(-np.pi, np.pi), lying=lying)


_DRAWN: dict[str, Callable[[_Place, np.random.Generator], tuple[SceneObject, ...]]] = {
    "corner": partial(_beside, is_corner=True),
    "tee": partial(_beside, is_corner=False),
    "rack": _rack,
    "boards": _boards,
    "across": _across,
    "against": _against,
    "bridge": _bridge,
    "tables": _tables,
}


def _top_m(obj: SceneObject) -> float:
    return float(obj.pose[2] + obj.model.size_m[2] / 2)


def _local(place: _Place, obj: SceneObject) -> np.ndarray:
    c, s = np.cos(place.yaw_rad), np.sin(place.yaw_rad)
    return np.array([[c, s], [-s, c]]) @ (obj.pose[:2] - [place.x, place.y])


def _carriers(scene: Scene) -> int:
    """How many pieces of furniture of one height have a part of the object's outline above them."""
    thing = scene.object(scene.movable[0])
    box = object_boxes(thing.model, thing.pose)
    low = min(b.corners()[:, 2].min() for b in box)
    spots = np.concatenate([b.centre + (_INNER * b.half) @ b.axes.T for b in box])
    pieces = [o for o in scene.objects if not o.movable and abs(_top_m(o) - low) < _STILL_M]
    return sum(any(_above(piece, spot) for spot in spots) for piece in pieces)


def _above(piece: SceneObject, spot: np.ndarray) -> bool:
    yaw = 2 * np.arctan2(piece.pose[6], piece.pose[3])
    axes = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    return bool((np.abs((spot[:2] - piece.pose[:2]) @ axes) < piece.model.size_m[:2] / 2).all())


def scenes(count: int, seed: int, kinds: Sequence[str] = KINDS) -> Iterator[tuple[str, Scene]]:
    """Kind or task, and scene: by turns of a task with furniture and drawn; of chosen kinds alone."""
    tasks = [t for t in TASKS if t in kinds or (set(kinds) == set(KINDS) and _has_furniture(t))]
    kinds = [k for k in kinds if k in KINDS]
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        turn = number // 2 if tasks and kinds else number
        if kinds and (number % 2 or not tasks):
            yield kinds[turn % len(kinds)], drawn(kinds[turn % len(kinds)], rng)
        else:
            task, round_ = tasks[turn % len(tasks)], turn // len(tasks)
            arrangement = ARRANGEMENTS[round_ % len(ARRANGEMENTS)]
            yield task, arranged(load_task(task), arrangement, int(rng.integers(10)), rng)


def _has_furniture(task: str) -> bool:
    return any(not o.movable for o in load_task(task).sample(None).objects)


def corners(obj: SceneObject) -> np.ndarray:
    """The corners (4, 2) of an upright object's outline, in order."""
    yaw = 2 * np.arctan2(obj.pose[6], obj.pose[3])
    axes = np.array([[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]])
    return obj.pose[:2] + _SIGNS * obj.model.size_m[:2] / 2 @ axes.T


def errors(seen: SceneObject, true: SceneObject) -> tuple[float, np.ndarray, np.ndarray]:
    """By how much the top's height, the four edges (4,) and the corners (4,) are off, in metres."""
    right = corners(true)
    turned = [np.roll(corners(seen), k, axis=0) - right for k in range(4)]
    off = min(turned, key=lambda o: float(np.linalg.norm(o, axis=1).max()))
    sides = (right - np.roll(right, -1, axis=0)) / np.linalg.norm(right - np.roll(right, -1, axis=0), axis=1)[:, None]
    middle = (off + np.roll(off, -1, axis=0)) / 2
    across = np.abs(middle[:, 0] * -sides[:, 1] + middle[:, 1] * sides[:, 0])
    tops = [o.pose[2] + o.model.size_m[2] / 2 for o in (seen, true)]
    return abs(tops[0] - tops[1]), across, np.linalg.norm(off, axis=1)


def _worst_m(seen: SceneObject, true: SceneObject) -> float:
    height, _, corner = errors(seen, true)
    return height + float(corner.max())


def measure(tally: Tally, scene: Scene, seed: int) -> str:
    """One scene; what is worth saying of it."""
    names = [camera.name for camera in stationary_cameras()]
    exact = still_view(scene, cameras=stationary_cameras())
    view = NoisyCameras(seed=seed).photograph(View({n: exact.cameras[n] for n in names}, names[0]))
    rng = np.random.default_rng(seed)
    shift = {n: np.concatenate([rng.normal(0, OFF_M, 3), np.zeros(4)]) for n in scene.movable}
    things = [replace(o, pose=o.pose + shift[o.name]) for o in scene.objects if o.movable]
    began_s = time.process_time()
    found = fit_furniture(view, furniture_region(scene), things)
    tally.seconds.append(time.process_time() - began_s)
    boxes = [o for o in found.objects if "_leg_" not in o.name]
    pieces = [o for o in scene.objects if not o.movable]
    guessed = sum(box.name.startswith("furniture_under_") for box in boxes)
    seen = len(boxes) - guessed
    tally.guessed += guessed
    tally.missing += max(0, len(pieces) - seen)
    tally.extra += max(0, seen - len(pieces))
    words = []
    for piece in pieces if boxes else []:
        height, edges, corner = errors(min(boxes, key=lambda box: _worst_m(box, piece)), piece)
        tally.heights_m.append(height)
        tally.edges_m += list(edges)
        tally.corners_m += list(corner)
        words.append(f"{piece.name} {1e3 * height:.1f}, {1e3 * edges.max():.1f}, {1e3 * corner.max():.1f} mm")
    moved = _moved_m(furnished(scene, {}, found), things)
    tally.objects += len(things)
    tally.at_rest += sum(m < RESTS_M for m in moved.values())
    words += [f"{name} moved {100 * m:.1f} cm" for name, m in moved.items() if m >= RESTS_M]
    words += [f"{guessed} guessed"] if guessed else []
    return f"{'; '.join(words)}; {seen} boxes of {len(pieces)}"


def _moved_m(scene: Scene, things: Sequence[SceneObject]) -> dict[str, float]:
    """By how much each thing (m) stands off its place in the scene, put where it is said to be and left to itself."""
    poses = {o.name: o.pose for o in things if o.movable}
    try:
        settled = scene_from_poses(scene, poses, max_move_m=np.inf)
    except SceneNotAtRest:  # without end
        return dict.fromkeys(poses, np.inf)
    return {name: float(np.linalg.norm(settled.object(name).pose[:3] - poses[name][:3])) for name in poses}


def row(name: str, tally: Tally) -> str:
    """A line of the table: medians, 95 % and worst."""

    def spread(values: list[float]) -> str:
        return " ".join(f"{1e3 * np.percentile(values, share):5.1f}" for share in (50, 95, 100)) if values else "-"

    low, high = binomtest(tally.at_rest, tally.objects).proportion_ci(method="wilson")
    return (
        f"{name:14} {len(tally.heights_m):3}  {spread(tally.heights_m)}   {spread(tally.edges_m)}   "
        f"{spread(tally.corners_m)}   {tally.missing:2} {tally.extra:2} {tally.guessed:2}   "
        f"{tally.at_rest:3} of {tally.objects:3} ({100 * low:.0f}-{100 * high:.0f} %)   {np.median(tally.seconds):.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=(*KINDS, *TASKS), default=KINDS)
    parser.add_argument("--only", type=int, help="the one scene of this number")
    asked = parser.parse_args()
    tallies: dict[str, Tally] = {}
    for number, (kind, scene) in enumerate(scenes(asked.scenes, asked.seed, asked.kinds)):
        if asked.only not in (None, number):
            continue
        tally = Tally()
        print(f"{number} {kind}: {measure(tally, scene, asked.seed * 10_000 + number)}", flush=True)
        for name in (kind, "hidden edges" if kind in HIDING else "ordinary", "all"):
            total = tallies.setdefault(name, Tally())
            for what, value in vars(tally).items():
                setattr(total, what, getattr(total, what) + value)
    print("\nmm: median, p95, worst   height   edges   corners   missing extra guessed   at rest   CPU s")
    sums = [name for name in ("ordinary", "hidden edges", "all") if name in tallies]
    for name in (*(name for name in tallies if name not in sums), *sums):
        print(row(name, tallies[name]))


if __name__ == "__main__":
    main()
