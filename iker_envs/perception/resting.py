"""Known objects say something of the furniture around them: it is not where they are, and something carries them.

Slab, boxes of objects        ->  kept_clear       ->  the slab, an edge that reaches into an object moved out of it
objects, slabs, shots, masks  ->  hidden_supports  ->  blocks under objects that hide whatever carries them
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from iker_envs.perception.box_fit import Outline, Slab, box_of
from iker_envs.perception.rays import Rays, beside, moved_edge, shared_m2
from iker_envs.perception.shots import Shot
from iker_envs.planning.collision import OrientedBox, object_boxes
from iker_envs.scene import SceneObject

_IN_TOUCH_M = 0.008  # of heights: an object stands on what is so near to its underside
_FLAT_M = 0.012  # an object whose underside slopes by more leans on something
_DEEPEST_M = 0.015  # that an edge reaches into an object by error alone
_STEP_M = 0.004
_SPOTS = np.stack(np.meshgrid(*2 * [np.linspace(-1, 1, 61)]), axis=-1).reshape(-1, 2)
_SMALLEST_M = 0.012
_PLATEAU_M2 = 2e-5  # of surface: what is explained better by less is not
_EDGES = ((0, -1), (0, 1), (1, -1), (1, 1))


def kept_clear(slab: Slab, objects: Sequence[OrientedBox]) -> Slab:
    """The slab, its edges moved out of objects into which they reach by no more than errors explain."""
    for outline in beside(objects, slab.bottom_m, slab.top_m):
        if shared_m2(slab, outline) == 0.0:
            continue
        ends = slab.local(outline.corners())
        reach = {(a, s): float(slab.half[a] - (s * ends[:, a]).min()) for a, s in _EDGES}
        (axis, sign), deep_m = min(reach.items(), key=lambda pair: pair[1])
        if 0 < deep_m < _DEEPEST_M:
            slab = moved_edge(slab, axis, sign, -deep_m)
    return slab


def hidden_supports(
    objects: Sequence[SceneObject], slabs: Sequence[Slab], shots: Sequence[Shot], masks: Sequence[np.ndarray]
) -> Iterator[tuple[str, Slab]]:
    """Names of objects that would fall as the furniture was seen, and a block that carries each.

    A block is the rectangle around the object with its heading, or with that of furniture of this height, cut back
    edge by edge while depths fit it better; of those that carry the object, the one that depths contradict least.
    They may contradict it still. None for an object that leans, stands on another one, or that no block carries.
    """
    solid = {obj.name: object_boxes(obj.model, obj.pose) for obj in objects}
    for name, boxes in solid.items():
        corners = np.concatenate([box.corners() for box in boxes])
        low_m = float(corners[:, 2].min())
        foot = box_of(np.concatenate([c[:, :2] for c in (box.corners() for box in boxes)]), trim=0.0)
        others = [box for other, its in solid.items() if other != name for box in its]
        if low_m < _IN_TOUCH_M or _slope_m(boxes) > _FLAT_M or _carry(foot, low_m, slabs, others):
            continue
        below = [slab for slab in slabs if slab.top_m < low_m - _IN_TOUCH_M]
        floor_m = max((slab.top_m for slab in below if slab.holds(foot.centre[None])[0]), default=0.0)
        rays = Rays.through(shots, masks, foot, floor_m, low_m, others)
        yaws = {foot.yaw_rad, *(slab.yaw_rad for slab in slabs if abs(slab.top_m - low_m) < _IN_TOUCH_M)}
        blocks = [_carved(_turned(foot, yaw, low_m, floor_m), slabs, rays) for yaw in yaws]
        steady = [(cost, block) for cost, block in blocks if _carry(foot, low_m, [*slabs, block], others)]
        if steady:
            yield name, min(steady, key=lambda pair: pair[0])[1]


def _turned(foot: Outline, yaw_rad: float, top_m: float, bottom_m: float) -> Slab:
    """The block under an object's outline, of another heading."""
    outline = box_of(foot.corners(), trim=0.0, yaw_rad=yaw_rad)
    return Slab(outline.centre, outline.half, outline.yaw_rad, top_m, bottom_m)


def _slope_m(boxes: Sequence[OrientedBox]) -> float:
    """How far the lowest four corners of an object's lowest box are from one height."""
    lowest = min(boxes, key=lambda box: box.corners()[:, 2].min()).corners()[:, 2]
    return float(np.ptp(np.sort(lowest)[:4]))


def _carry(foot: Outline, low_m: float, slabs: Sequence[Slab], others: Sequence[OrientedBox]) -> bool:
    """Whether an object with this outline and underside stands steadily on slabs or other objects."""
    spots = foot.centre + (_SPOTS * foot.half) @ foot.axes.T
    tops: list[tuple[Outline, float]] = [(slab, slab.top_m) for slab in slabs]
    tops += [(box_of(c[:, :2], trim=0.0), float(c[:, 2].max())) for c in (box.corners() for box in others)]
    carried = [top.holds(spots) for top, height_m in tops if abs(height_m - low_m) < _IN_TOUCH_M]
    held = spots[np.any(carried, axis=0)] if carried else spots[:0]
    try:
        hull = ConvexHull(held) if len(held) > 2 else None
    except QhullError:  # all on one line
        hull = None
    return hull is not None and bool((hull.equations @ [*foot.centre, 1.0] < 0).all())


def _carved(block: Slab, slabs: Sequence[Slab], rays: Rays) -> tuple[float, Slab]:
    """The block, its edges moved in until little of it is where the pictures show nothing, and the cost of that."""
    below = rays.below([slab for slab in slabs if slab.top_m < block.top_m - _IN_TOUCH_M])
    level = [rays.depth_of(slab) for slab in slabs if abs(slab.top_m - block.top_m) <= _IN_TOUCH_M]
    around = np.min([below, *level], axis=0)

    def cost(slab: Slab) -> float:
        return rays.misfit([around, rays.depth_of(slab)]) + rays.overlap(slab, [])

    best = costs = cost(block)
    found = block
    while 2 * block.half.min() > _SMALLEST_M:
        tried = [moved_edge(block, axis, sign, -_STEP_M) for axis, sign in _EDGES]
        costs, block = min(((cost(slab), slab) for slab in tried if slab.half.min() > 0), key=lambda pair: pair[0])
        if costs < best - rays.worth(_PLATEAU_M2):
            best, found = costs, block
    return best, found
