"""Grasps of something that is known as a cloud alone: what cameras saw of it, and of what stands around it.

    points, normals of the object; points of everything else; scene  ->  propose_cloud_grasps  ->  GraspProposals

Only sides that were seen can be held: an object that shows one side has no grasp, and the answer says so. Its ranking
is that of `propose_grasps`, which is the better source where there is a model or a mesh.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from scipy.spatial import cKDTree

from iker_envs.geometry import pose_compose
from iker_envs.planning.antipodal import (
    MIN_DEPTH_M,
    Candidates,
    Pairs,
    antipodal_pairs,
    blocked_by_points,
    place_tools,
    spread,
)
from iker_envs.planning.collision import gripper_boxes, lowest_m
from iker_envs.planning.grasps import GraspProposals
from iker_envs.planning.hand import MAX_OPENING_M
from iker_envs.planning.mesh_grasps import as_grasps, narrowest
from iker_envs.reach import reachable
from iker_envs.scene import Grasp, Scene

_NUM_PAIRS = 160
_MOST = 60
_NEIGHBOURS = 8  # over which the density of a cloud is measured
_REACH_M = 0.25  # points farther from the object than the hand is long are in nobody's way
_WAY_M = 0.12  # the hand comes straight from so far
_TOLERANCE_M = 0.002
_FEWEST = 60  # points that are something
_DOWN = np.array([0.0, 0.0, -1.0])
_FORWARD = np.array([1.0, 0.0, 0.0])


def propose_cloud_grasps(
    points: np.ndarray, normals: np.ndarray, others: np.ndarray, scene: Scene, move: np.ndarray | None = None
) -> GraspProposals:
    """Grasps of the object whose `points` and outward unit `normals` (K, 3) were seen, base frame, best first.

    `others` (M, 3) are points of everything else; the table is z = 0. Of the scene only the cone of approach counts.
    With `move` (7,), the rigid motion to the target, the arm reaches the grasp there too.
    """
    points = np.asarray(points, dtype=float)
    if len(points) < _FEWEST:
        return GraspProposals((), f"only {len(points)} points of it were seen, {_FEWEST} are needed")
    directions = [a for a in (_DOWN, _FORWARD) if _in_cone(scene, a[None])[0]]
    deepest = max(float(np.ptp(points @ d)) for d in directions) if directions else 0.0
    if deepest < MIN_DEPTH_M:
        seen = f"only {1000 * deepest:.0f} mm of it were seen along the approach"
        return GraspProposals((), f"{seen}, the fingers need {1000 * MIN_DEPTH_M:.0f} mm")
    pairs = antipodal_pairs(points, normals)
    if len(pairs.width_m) == 0:
        return GraspProposals((), f"{narrowest(points, directions)}; a side that no camera sees cannot be held")
    chosen = np.random.default_rng(0).permutation(len(pairs.width_m))[:_NUM_PAIRS]
    pairs = Pairs(*(field[chosen] for field in pairs))
    tools = place_tools(points, normals, pairs, directions, area_m2=_area_of_one(points))
    tools.why[(tools.why == "") & ~_in_cone(scene, tools.axes[..., 2])] = "the tool would point out of its cone"
    near = others[np.linalg.norm(others - points.mean(axis=0), axis=1) < _REACH_M + np.ptp(points, axis=0).max()]
    best = _free(tools, spread(tools, _MOST), near)
    grasps = as_grasps(tools, best)
    reasons = [_out_of_reach(grasp, move) for grasp in grasps]
    kept = tuple(g for g, why in zip(grasps, reasons, strict=True) if not why)
    if kept:
        return GraspProposals(kept)
    found = Counter([why for why in (*tools.why, *reasons) if why])
    return GraspProposals((), found.most_common(1)[0][0] if found else "its sides face along the approach")


def _in_cone(scene: Scene, approach: np.ndarray) -> np.ndarray:
    """Which of some unit vectors (C, 3) the tool may point along."""
    return np.arccos(np.clip(approach @ scene.approach_axis, -1, 1)) <= scene.approach_cone_rad + 1e-6


def _area_of_one(points: np.ndarray) -> float:
    """The surface in square metres that one point of a cloud stands for."""
    distance, _ = cKDTree(points).query(points, k=_NEIGHBOURS + 1)
    return float(np.pi * np.median(distance[:, -1]) ** 2 / _NEIGHBOURS)


def _free(tools: Candidates, chosen: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Those of the chosen candidates whose fingers, hand and way are free of points; the rest is told why not."""
    if len(chosen) == 0 or len(others) == 0:
        return chosen
    local = np.einsum("ckj,cji->cki", others[None] - tools.position[chosen][:, None], tools.axes[chosen])
    blocked = blocked_by_points(local, behind_m=_WAY_M)
    tools.why[chosen[blocked]] = "there is no room for the fingers beside what stands around it"
    return chosen[~blocked]


def _out_of_reach(grasp: Grasp, move: np.ndarray | None) -> str:
    """Why arm and table forbid a grasp; empty when they do not."""
    poses = {"start": np.asarray(grasp.tcp_pose)}
    if move is not None:
        poses["target"] = pose_compose(np.asarray(move, dtype=float), poses["start"])
    for where, pose in poses.items():
        if not bool(reachable(pose)):
            return f"the arm does not reach the grasp at the {where}"
        if lowest_m(gripper_boxes(pose, MAX_OPENING_M)) < -_TOLERANCE_M:
            return f"the fingers would enter the table at the {where}"
    return ""
