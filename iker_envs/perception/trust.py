"""Can an estimate be trusted, and if not, why? Sentences that a person in front of the cameras can act on.

A Finding is what was found of one object; `doubts` looks for what is wrong with each, `stranger` for what stands there
that no model explains. The limits are data: an estimate that is refused costs a second look, one that is wrong and
trusted costs a stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from iker_envs.perception.cloud import Cloud
from iker_envs.perception.rigid import apply, inverse
from iker_envs.perception.scoring import Agreement
from iker_envs.perception.shots import Shot, depth_std_m

_NEIGHBOUR_M = 0.015
_SEES = 0.1  # of an object, the share from which a camera counts as seeing it
_STRANGER_POINTS = 40  # in cells of 4 mm: 6 square centimetres
_STRANGER_M = 0.03
_BEHIND_M = 0.02


@dataclass(frozen=True)
class TrustLimits:
    """From where on a pose is trusted."""

    depth_score: float = 0.6  # at least
    visible_fraction: float = 0.25  # at least: of the surface that faces the cameras
    one_camera_fraction: float = 0.5  # at least, where a single camera sees the object
    through_fraction: float = 0.35  # at most, in every camera: of what should be seen, what is not there
    apart_m: float = 0.017  # at most: how far from the pose any camera alone finds the object
    look_difference: float = 0.40  # at most: mean difference of colours, lighting aside
    turn_lead: float = 2.0  # at least, in standard errors: over the same pose turned, by colours
    mirror_lead_m: float = 0.00008  # at least: over the mirror image, by shape
    twin_lead: float = 2.0  # at least, in standard errors: over a twin, by colours


@dataclass(frozen=True)
class Leads:
    """By how much a pose is better than its rivals; inf where there is none."""

    turn: float = np.inf  # in standard errors of colours: over the same pose turned
    mirror_m: float = np.inf  # of the mean distance from the surface: over the mirror image
    twin: float = np.inf  # in standard errors of colours: over an exchange with a twin
    twin_name: str = ""


@dataclass(frozen=True, eq=False)
class Finding:
    """What was found of one object: pose (4, 4), its agreement with all shots, mean distance of the measured points,
    mean difference of colours, leads, whether the last pose is known and near, and whether nothing is under it."""

    matrix: np.ndarray
    agreement: Agreement
    residual_m: float
    look: float
    leads: Leads
    is_warm: bool
    apart_m: float = 0.0  # how far from here a single camera, `apart_camera`, finds the object
    apart_camera: str = ""
    hovers: bool = False  # nothing that is known is under it


def doubt(name: str, found: Finding, shots: Sequence[str], limits: TrustLimits) -> str:
    """One sentence on why the finding cannot be trusted; empty if it can. `shots` are the cameras' names."""
    return (
        _single_witness(name, found, shots, limits)
        or _absence(name, found, limits)
        or _hiding(name, found, shots, limits)
        or _confusion(name, found, limits)
        or _hovering(name, found)
    )


def _single_witness(name: str, found: Finding, shots: Sequence[str], limits: TrustLimits) -> str:
    share = float(found.agreement.visible_fraction()[0])
    by_shot = found.agreement.seen_fraction_by_shot()[:, 0]
    seeing = [shot for shot, part in zip(shots, by_shot, strict=True) if part > _SEES]
    if len(seeing) > 1 or found.is_warm or (share >= limits.one_camera_fraction and len(shots) > 1):
        return ""
    where = f"by camera {seeing[0]} only, {100 * share:.0f} % of it" if seeing else "by no camera"
    return f"{name} is seen {where}; take away what hides it, or let a second camera see it"


def _absence(name: str, found: Finding, limits: TrustLimits) -> str:
    score = float(found.agreement.depth_score()[0])
    if score < limits.depth_score and found.agreement.open_score()[0] >= limits.depth_score:
        return _hidden(name, found)  # what is seen of it fits
    if score < limits.depth_score:
        return (
            f"{name} was not found: the best fit explains {100 * max(score, 0.0):.0f} % of what the cameras should "
            "see; is it on the table, and its model the right one?"
        )
    return ""


def _hidden(name: str, found: Finding) -> str:
    share = float(found.agreement.visible_fraction()[0])
    return f"{name} is hidden: {100 * share:.0f} % of it can be seen; take away what stands before it or over it"


def _hiding(name: str, found: Finding, shots: Sequence[str], limits: TrustLimits) -> str:
    if found.agreement.visible_fraction()[0] < limits.visible_fraction:
        return _hidden(name, found)
    through = found.agreement.through_fraction_by_shot()[:, 0]
    worst = int(through.argmax())
    camera = shots[worst] if through[worst] > limits.through_fraction else ""
    if found.apart_m > limits.apart_m:
        camera = found.apart_camera
    if camera:
        return (
            f"camera {camera} does not see {name} where the others do; it moved during the look, or the camera did: "
            "look again, then calibrate the camera"
        )
    return ""


def _confusion(name: str, found: Finding, limits: TrustLimits) -> str:
    if found.leads.mirror_m < limits.mirror_lead_m and not (found.is_warm and found.leads.mirror_m > 0):
        return f"{name} looks like its mirror image there; is it the other one of the pair?"
    if found.look > limits.look_difference:
        return f"what stands where {name} fits has other colours; is it another thing, or is the light coloured?"
    if found.leads.twin < limits.twin_lead and not found.is_warm:
        return f"{name} and {found.leads.twin_name} fit either way; nothing that is seen tells them apart"
    if found.leads.turn < limits.turn_lead and not found.is_warm:
        return f"{name} fits either way round; turn it so that the cameras see what tells front from back"
    return ""


def _hovering(name: str, found: Finding) -> str:
    if found.hovers:
        return (
            f"{name} has nothing under it that is known; let go of it, or take away what it lies on or add that to the "
            "scene"
        )
    return ""


def stranger(unowned: Cloud, shots: Sequence[Shot]) -> str:
    """One sentence on the largest thing among the points that no model explains; empty if there is none.

    Points that another camera sees through are no thing: depths at an edge lie between two surfaces.
    """
    if len(unowned):
        unowned = unowned.part(~_seen_through(unowned.points, shots))
    if len(unowned) < _STRANGER_POINTS:
        return ""
    tree = cKDTree(unowned.points)
    _, label = connected_components(tree.sparse_distance_matrix(tree, _NEIGHBOUR_M), directed=False)
    largest = unowned.points[label == np.bincount(label).argmax()]
    size = np.ptp(largest, axis=0)
    if len(largest) < _STRANGER_POINTS or size.max() < _STRANGER_M:
        return ""
    x, y, z = largest.mean(axis=0)
    return (
        f"something unknown of {100 * size[0]:.0f} x {100 * size[1]:.0f} x {100 * size[2]:.0f} cm is at x {x:.2f}, "
        f"y {y:.2f}, z {z:.2f} m; take it (a hand, perhaps) out of the cameras' sight, or add it to the scene"
    )


def _seen_through(points: np.ndarray, shots: Sequence[Shot]) -> np.ndarray:
    """At which points (P, 3) some camera sees something that lies clearly behind."""
    through = np.zeros(len(points), dtype=bool)
    for shot in shots:
        local = apply(inverse(shot.T), points)
        row, column, is_inside = shot.project(local)
        measured = shot.depth[row, column]
        through |= is_inside & (measured > local[:, 2] + _BEHIND_M + 3 * depth_std_m(local[:, 2]))
    return through
