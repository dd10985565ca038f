"""Furniture from pictures: upright boxes that objects can rest on in simulation, found in what cameras see of a table.

    View, objects that stand there (poses) or none  ->  fit_furniture  ->  Furniture(boxes as SceneObjects, notes)
    Furniture + models of known furniture           ->  place_known    ->  the models at fitted poses

A level surface above the table becomes the top of a box: the tightest rectangle gives its outline, side faces move its
edges to where they are, what is seen below it says whether it is solid, a board on legs, or stands on another box.
Surfaces of one height whose gap is hidden by a removed object are one board. Nothing in a picture tells a lying book
from a board: whatever is not named as an object becomes furniture, so the result is shown to the user before use.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from iker_envs.geometry import rotation_matrix
from iker_envs.perception.box_fit import Outline, Slab, box_of, fit_slab, legs_under, rest_on, side_heading
from iker_envs.perception.cloud import Cloud, fuse
from iker_envs.perception.height_map import HeightMap, Patch, height_map, level_patches, levelled, points_of
from iker_envs.perception.parts import partitions
from iker_envs.perception.rays import Rays, around, best_seen, completed, ends_moved, hidden_edges, merged
from iker_envs.perception.resting import hidden_supports, kept_clear
from iker_envs.perception.shots import Region, Shot, box_depth, shot_of
from iker_envs.planning.collision import OrientedBox, object_boxes
from iker_envs.scene import ObjectModel, Scene, SceneObject, View, upright_pose

WORKING_WIDTH_PX = 640  # a bookend's top is 2 cm wide
_LOWEST_M = 0.015  # lower things are no furniture: a sheet, a cable, noise of the table
_ABOVE_TABLE_M = 0.006
_TABLE_M = 0.008
MARGIN_M = 0.006
_HIDDEN_M = 0.012  # around an object nothing is known of what lies under it
_UNDER_M = 0.002
_LEFT_OVER_M = 0.015  # above an object, what is seen is the object
_GROWN_M = 0.003  # an object's silhouette is wrong by so much
_SAME_HEIGHT_M = 0.007
_LOWER_M = 0.012  # a cell so far below a board is a gap in it
_GAP_SHARE = 0.08  # of a board may be seen lower than the board
_SEEN_SHARE = 0.5  # of what no removed object hides of a board must be seen of it
_FILL_SHARE = 0.55  # of its outline that a box's top covers
_COVERED_SHARE = 0.5  # of a slab that lies in another one of its height: they are one
_IN_LINE = 1.25  # times the area of two slabs has the rectangle around them at most, if they lie in line
_SPOTS = np.stack(np.meshgrid(*2 * [np.linspace(-0.9, 0.9, 9)]), axis=-1).reshape(-1, 2)
_LEAST_AREA_M2 = 6e-4
_LEAST_WIDTH_M = 0.012
_SIZE_M = 0.03  # a known piece differs by less from what is seen of it
_GREY = np.array([0.6, 0.6, 0.6, 1.0])


@dataclass(frozen=True, eq=False)
class Furniture:
    """Boxes that never move, the largest first, and sentences on what was left out."""

    objects: tuple[SceneObject, ...]
    notes: tuple[str, ...] = ()


def furniture_region(scene: Scene) -> Region:
    """Where furniture is looked for: the workspace seen from above with a hand's breadth around it."""
    low, high = scene.workspace_m
    return Region(np.array([low[0] - 0.05, low[1] - 0.10, -0.05]), np.array([high[0] + 0.25, high[1] + 0.10, 0.45]))


def fit_furniture(
    view: View, region: Region, objects: Iterable[SceneObject] = (), margin_m: float = MARGIN_M
) -> Furniture:
    """Boxes for what stands on the table in a view, without the given objects, which are where their poses say.

    What is seen within `margin_m` of an object is the object's: poses and cameras are wrong by less.
    ValueError names a camera that stands elsewhere than it is thought to.
    """
    shots = levelled([shot_of(name, image, WORKING_WIDTH_PX) for name, image in view.cameras.items()], region)
    things = list(objects)
    taken = [_bounding_box(obj) for obj in things]
    solid = [box for obj in things for box in object_boxes(obj.model, obj.pose)]
    masks = [_without(shot, points_of(shot, region), taken, margin_m) for shot in shots]
    cloud, table = _seen(shots, masks)
    heights = _hidden(height_map(cloud.points, table, region), taken)
    slabs: list[Slab] = []
    notes: list[str] = []
    for board in sorted(
        _joined(level_patches(heights, _LOWEST_M), heights, cloud), key=lambda board: board.patch.height_m
    ):
        for slab in _pieces(
            board, heights, cloud, slabs, solid, shots, masks
        ):  # what stands on something comes after it
            if why := _refusal(slab, heights):
                notes.append(why)
            else:
                slabs.append(slab)
    standing = [kept_clear(slab, solid) for slab in rest_on(_once(slabs), cloud, table)]
    found = _objects(standing, cloud)
    for name, block in hidden_supports(things, standing, shots, masks):
        found.append(_box(f"furniture_under_{name}", block, block.bottom_m, block.top_m, _GREY))
        notes.append(f"what {name} stands on is hidden by it: the block given to it is a guess but for its height")
    return Furniture(tuple(found), tuple(notes))


def _pieces(
    board: Board,
    heights: HeightMap,
    cloud: Cloud,
    lower: Sequence[Slab],
    solid: Sequence[OrientedBox],
    shots: Sequence[Shot],
    masks: Sequence[np.ndarray],
) -> Sequence[Slab]:
    """The slabs that one level surface is made of."""
    tight = box_of(heights.centres(board.patch.mask))
    is_covered = bool(heights.hidden[tight.holds_cells(heights)].any())
    whole = partitions(board.patch, heights, is_covered=is_covered)
    ways = [*whole, *(partitions(part, heights)[0] for part in board.parts)] if len(board.parts) > 1 else whole
    slabs = [fit_slab(cloud, heights, patch, lower) for way in ways for patch in way]
    if len(ways) == 1 and not any(hidden_edges(slab, heights.hidden, heights) for slab in slabs):
        return slabs
    floor_m = _floor_m(tight, lower)
    slabs += _turned([patch for way in ways for patch in way] + [board.patch], heights, cloud, lower, floor_m)
    outline = box_of(np.concatenate([slab.corners() for slab in slabs]), trim=0.0)
    rays = Rays.through(shots, masks, outline, floor_m, board.patch.height_m, solid)
    most = max(len(board.parts), *map(len, ways))
    found = best_seen(slabs, most, lower, rays, move_ends=len(whole) > 1)
    found = merged(found, lower, rays)
    if len(whole) > 1:
        found = ends_moved(found, lower, rays)
    return completed(found, lower, rays, heights.hidden, heights)


def _turned(
    patches: Sequence[Patch], heights: HeightMap, cloud: Cloud, lower: Sequence[Slab], floor_m: float
) -> list[Slab]:
    """The patches as slabs with the headings of the side faces around them."""
    found = []
    for patch in patches:
        tight = box_of(heights.centres(patch.mask))
        yaw_rad = side_heading(tight, cloud, floor_m, patch.height_m)
        if yaw_rad is not None:
            found.append(fit_slab(cloud, heights, patch, lower, yaw_rad))
    return found


def _floor_m(outline: Outline, lower: Sequence[Slab]) -> float:
    """The height of the highest slab that a surface of this outline may stand on; 0 for the table."""
    return max((slab.top_m for slab in lower if slab.holds(outline.centre[None])[0]), default=0.0)


def _once(slabs: Sequence[Slab]) -> list[Slab]:
    """The slabs, the largest first, those that lie for the most part in another one of their height as one with it.

    Two ends of one bookend, seen on both sides of an object, both reach under it: together they are the bookend.
    """
    kept: list[Slab] = []
    for slab in sorted(slabs, key=lambda slab: -slab.area_m2):
        spots = slab.centre + (_SPOTS * slab.half) @ slab.axes.T
        level = [k for k, other in enumerate(kept) if abs(other.top_m - slab.top_m) < _SAME_HEIGHT_M]
        covered = np.array([kept[k].holds(spots) for k in level] or np.zeros((1, 1)))
        if covered.any(axis=0).mean() < _COVERED_SHARE:
            kept.append(slab)
            continue
        nearest = level[int(covered.mean(axis=1).argmax())]
        both = around(kept[nearest], slab)
        alone_m2 = kept[nearest].area_m2 + slab.area_m2 * (1 - float(covered.mean(axis=1).max()))
        if both.area_m2 < _IN_LINE * alone_m2:
            kept[nearest] = both
    return kept


def _without(shot: Shot, mask: np.ndarray, objects: Sequence[OrientedBox], margin_m: float) -> np.ndarray:
    """The mask (H, W) without the pixels that show objects: near them, or where a ray meets them."""
    kept = np.array(mask)
    kept[mask] = ~_near_boxes(shot.points(mask), objects, margin_m)
    depth = shot.depth[kept]
    grown = [replace(box, half=box.half + _GROWN_M) for box in objects]
    rays = shot.rays()[kept] @ shot.T[:3, :3].T
    expected = box_depth(shot.eye, rays, grown)
    meets = expected < box_depth(shot.eye, rays, [])
    kept[kept] = ~(meets & (np.abs(expected - depth) < _LEFT_OVER_M))
    return kept


def _seen(shots: Sequence[Shot], masks: Sequence[np.ndarray]) -> tuple[Cloud, np.ndarray]:
    """The cloud of what is above the table, and points (T, 3) of the table itself, of the masked pixels (H, W)."""
    above, tables = [], []
    for shot, mask in zip(shots, masks, strict=True):
        points = shot.points(mask)
        tables.append(points[np.abs(points[:, 2]) < _TABLE_M])
        high = np.array(mask)
        high[mask] = points[:, 2] > _ABOVE_TABLE_M
        above.append(high)
    return fuse(shots, above), np.concatenate(tables)


def _bounding_box(obj: SceneObject) -> OrientedBox:
    """The box around an object's look, which its collision parts may not fill."""
    return OrientedBox(obj.pose[:3], rotation_matrix(obj.pose[3:]), obj.model.size_m / 2)


def _near_boxes(points: np.ndarray, boxes: Sequence[OrientedBox], margin_m: float) -> np.ndarray:
    """Which points (P, 3) lie in boxes made wider by a margin, or on their tops if depths are wrong by 1.5 cm."""
    near = np.zeros(len(points), dtype=bool)
    for box in boxes:
        near |= (np.abs((points - box.centre) @ box.axes) < box.half + margin_m).all(axis=1)
        corners = box.corners()
        on_top = np.abs(points[:, 2] - corners[:, 2].max()) < _LEFT_OVER_M
        near |= on_top & box_of(corners[:, :2], trim=0.0).holds(points, margin_m)
    return near


def _hidden(heights: HeightMap, boxes: Sequence[OrientedBox]) -> HeightMap:
    """The map without what it says of the ground under boxes that were removed: seen under a board, not through it."""
    known = np.array(heights.height_m)
    hidden = np.zeros(known.shape, dtype=bool)
    for box in boxes:
        corners = box.corners()
        outline = box_of(corners[:, :2], trim=0.0)
        under = replace(outline, half=outline.half + _HIDDEN_M).holds_cells(heights)
        known[under & (known < corners[:, 2].min() - _UNDER_M)] = np.nan
        hidden |= under
    return replace(heights, height_m=known, hidden=hidden)


@dataclass(frozen=True, eq=False)
class Board:
    """A level surface, and the patches of it that are seen apart from each other."""

    patch: Patch
    parts: tuple[Patch, ...]


def _joined(patches: Sequence[Patch], heights: HeightMap, cloud: Cloud) -> list[Board]:
    """Patches of one height between which nothing lower is seen, as one."""
    joined: list[Board] = []
    waiting = [Board(patch, (patch,)) for patch in patches]
    while waiting:
        board = waiting.pop(0)
        for other in waiting:
            both = _union(board, other)
            level = abs(board.patch.height_m - other.patch.height_m) < _SAME_HEIGHT_M
            if level and _is_one_board(both.patch, heights, cloud):
                waiting = [both, *(patch for patch in waiting if patch is not other)]
                break
        else:
            joined.append(board)
    return joined


def _union(one: Board, other: Board) -> Board:
    height_m = (one.patch.height_m + other.patch.height_m) / 2
    return Board(Patch(one.patch.mask | other.patch.mask, height_m), (*one.parts, *other.parts))


def _is_one_board(patch: Patch, heights: HeightMap, cloud: Cloud) -> bool:
    centres = heights.centres(patch.mask)
    outline = box_of(centres)
    yaw_rad = side_heading(outline, cloud, 0.0, patch.height_m)
    outlines = [outline] if yaw_rad is None else [outline, box_of(centres, yaw_rad=yaw_rad)]
    return any(_fills(patch, outline, heights) for outline in outlines)


def _fills(patch: Patch, outline: Outline, heights: HeightMap) -> bool:
    """Whether little is seen of the outline that is lower than the patch, and most of it where nothing hides it."""
    inside = outline.holds_cells(heights)
    lower = inside & (heights.height_m < patch.height_m - _LOWER_M)
    open_to_view = (inside & ~heights.hidden).sum()
    return bool(lower.sum() <= _GAP_SHARE * inside.sum() and patch.mask.sum() >= _SEEN_SHARE * open_to_view)


def _refusal(slab: Slab, heights: HeightMap) -> str:
    """Why a patch is no box; empty when it is one."""
    x, y = slab.centre
    where = f"at x {x:.2f}, y {y:.2f} m, {100 * slab.top_m:.1f} cm high,"
    if slab.area_m2 < _LEAST_AREA_M2 or slab.half.min() < _LEAST_WIDTH_M / 2:
        return f"what stands {where} is too small to rest anything on and was left out"
    inside = slab.holds_cells(heights)
    lower = inside & (heights.height_m < slab.top_m - _LOWER_M)
    covered = 1 - lower.sum() / max(int(inside.sum()), 1)
    if covered < _FILL_SHARE:
        return f"the surface {where} fills {100 * covered:.0f} % of its rectangle only and was left out; it is no box"
    return ""


def _objects(slabs: Sequence[Slab], cloud: Cloud) -> list[SceneObject]:
    """A box for every slab, and boxes for the legs of those that stand on legs."""
    found: list[SceneObject] = []
    for number, slab in enumerate(slabs, 1):
        name = f"furniture_{number}"
        found.append(_box(name, slab, slab.bottom_m, slab.top_m, _colour(cloud, slab)))
        if slab.is_open:
            for leg_number, leg in enumerate(legs_under(slab, cloud), 1):
                found.append(_box(f"{name}_leg_{leg_number}", leg, leg.bottom_m, leg.top_m, _colour(cloud, slab)))
    return found


def _box(name: str, slab: Slab, low_m: float, high_m: float, rgba: np.ndarray) -> SceneObject:
    size = np.array([*(2 * slab.half), high_m - low_m])
    model = ObjectModel(name, "box", size, rgba=rgba, source="seen by the cameras")
    return SceneObject(model, upright_pose(np.array([*slab.centre, (low_m + high_m) / 2]), slab.yaw_rad), movable=False)


def _colour(cloud: Cloud, slab: Slab) -> np.ndarray:
    on_top = (np.abs(cloud.points[:, 2] - slab.top_m) < 0.006) & slab.holds(cloud.points)
    if not on_top.any():
        return _GREY
    return np.array([*np.clip(np.median(cloud.colours[on_top], axis=0), 0, 1), 1.0])


def place_known(furniture: Furniture, known: Iterable[ObjectModel]) -> tuple[dict[str, np.ndarray], Furniture]:
    """Poses (7,) of known pieces of furniture that were seen, and the furniture that is none of them.

    A piece stands upright on the table and is recognised by the size of its top, to 3 cm, its height too; of the two
    headings that look alike it gets the one nearer to the base frame's. ValueError names a piece that was not seen.
    """
    rest = list(furniture.objects)
    poses: dict[str, np.ndarray] = {}
    for model in known:
        fits = [(_misfit_m(obj, model), obj) for obj in rest if "_leg_" not in obj.name]
        misfit, best = min(fits, key=lambda pair: pair[0], default=(np.inf, None))
        if best is None or misfit > _SIZE_M:
            nearest = f"the nearest differs by {100 * misfit:.0f} cm" if fits else "no furniture was seen"
            raise ValueError(f"{model.name} was not seen: {nearest}; is it in the cameras' sight?")
        poses[model.name] = _pose_of_known(best, model)
        rest = [o for o in rest if o is not best and not o.name.startswith(f"{best.name}_leg_")]
    return poses, replace(furniture, objects=tuple(rest))


def _top_m(obj: SceneObject) -> float:
    return float(obj.pose[2] + obj.model.size_m[2] / 2)


def _misfit_m(seen: SceneObject, model: ObjectModel) -> float:
    size = np.sort(seen.model.size_m[:2]) - np.sort(model.size_m[:2])
    return float(max(np.abs(size).max(), abs(_top_m(seen) - model.size_m[2])))


def _pose_of_known(seen: SceneObject, model: ObjectModel) -> np.ndarray:
    yaw = 2 * np.arctan2(seen.pose[6], seen.pose[3])
    if (seen.model.size_m[0] > seen.model.size_m[1]) != (model.size_m[0] > model.size_m[1]):
        yaw += np.pi / 2
    yaw = (yaw + np.pi / 2) % np.pi - np.pi / 2
    return upright_pose(np.array([*seen.pose[:2], model.size_m[2] / 2]), float(yaw))


def furnished(template: Scene, poses: Mapping[str, np.ndarray], furniture: Furniture) -> Scene:
    """The template's movable objects at poses (7,), standing among the furniture that was seen."""
    objects = [replace(o, pose=poses.get(o.name, o.pose)) for o in template.objects if o.movable]
    return replace(template, objects=(*furniture.objects, *objects))
