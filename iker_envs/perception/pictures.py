"""Can these pictures be used? What goes wrong with cameras, in words that tell a person what to do.

    View, [Shot], [empty depth], Region  ->  picture_problem  ->  one sentence, or "" if all is well

The table is a plane that every camera knows: how much of it a camera sees tells whether its lens is free, and where it
sees it tells whether the camera still stands where it was calibrated.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from iker_envs.perception.shots import Region, Shot
from iker_envs.scene import View

_DARK = 0.10  # mean brightness, of 1
_BRIGHT = 0.985  # all three colours above: the pixel is burnt out
_BURNT_SHARE = 0.35
_FREE_SHARE = 0.6  # of the pixels that should show the table or something on it
_AT_THE_LENS = 0.25  # of the table's depth: nothing on it is so near to the camera
_OTHER_UNIT = 2.0  # times too long or too short: no calibration explains that
_ONE_FACTOR = 0.1  # spread of the factor, its share: objects change some pixels' by less than a half
_LOW = 30  # percentile of heights: objects stand above the table, nothing is below
_OFF_M = 0.012  # height of the table; calibration, noise and depth scale explain about 5 mm
_TILTED_M = 0.020  # the same in a quarter of the picture
_FEWEST = 300  # pixels of the table, in a thinned picture
_NEW_SHARE = 0.5  # of the pixels: so many depths differ from those before, by noise alone
_MOMENT_S = 0.5  # pictures of one look are taken within this time


def picture_problem(view: View, shots: Sequence[Shot], empty: Mapping[str, np.ndarray], region: Region) -> str:
    """One sentence about the first camera whose picture cannot be used, or about the view; empty if all can."""
    if not shots:
        return "the view has no picture; connect a camera"
    stamps = [image.stamp_s for image in view.cameras.values()]
    if max(stamps) - min(stamps) > _MOMENT_S:
        return (
            f"the cameras' pictures were taken {max(stamps) - min(stamps):.1f} s apart; things may have moved between; "
            "look again"
        )
    if twice := _same_picture(shots):
        return twice
    return next((p for s in shots if (p := _problem(s, empty[s.name], region))), "")


def frozen_camera(shots: Sequence[Shot], before: Mapping[str, np.ndarray]) -> str:
    """One sentence about cameras that repeat their depths (H, W) of the look before while others give new ones.

    Where no camera gives new ones, it is a simulated view without noise, or the same view again.
    """
    changed = {
        s.name: float((s.depth != before[s.name]).mean())
        for s in shots
        if s.depth.any() and s.name in before and before[s.name].shape == s.depth.shape
    }
    frozen = [name for name, share in changed.items() if share == 0]
    if not frozen or max(changed.values()) < _NEW_SHARE:
        return ""
    return f"camera {' and '.join(frozen)} gives the same picture as at the last look; plug it in anew"


def _same_picture(shots: Sequence[Shot]) -> str:
    """Noise makes no two pictures equal."""
    for one, other in itertools.combinations(shots, 2):
        if one.depth.any() and np.array_equal(one.depth, other.depth) and np.array_equal(one.rgb, other.rgb):
            return (
                f"cameras {one.name} and {other.name} give the same picture; one of them is entered twice: check their "
                "serials in the settings"
            )
    return ""


def _problem(shot: Shot, empty: np.ndarray, region: Region) -> str:
    camera = f"camera {shot.name}"
    if not (shot.depth > 0).any():
        return f"{camera} gives no depth at all; is it plugged in and its lens free?"
    brightness = float(shot.rgb.mean())
    if brightness < _DARK:
        return f"the picture of {camera} is dark, {100 * brightness:.0f} % of full brightness; turn on a light"
    burnt = float((shot.rgb.min(axis=-1) > _BRIGHT).mean())
    if burnt > _BURNT_SHARE:
        return f"the picture of {camera} is overexposed, {100 * burnt:.0f} % of it is white; lower exposure or light"
    return _table_problem(shot, empty, region)


def _table_problem(shot: Shot, empty: np.ndarray, region: Region) -> str:
    """Is the lens free, and does the camera stand where it was?"""
    known = np.where(np.isfinite(empty) & (empty > 0), empty, 0.0)
    ground = shot.T[:3, 3] + (shot.rays() * known[..., None]) @ shot.T[:3, :3].T
    shows_region = (known > 0) & region.holds(ground + np.array([0, 0, 1e-3 + region.low[2]]))
    if shows_region.sum() < _FEWEST:
        return f"camera {shot.name} does not look at the table; turn it, and calibrate it again"
    if wrong_unit := _unit_problem(shot, known, shows_region & (shot.depth > 0)):
        return wrong_unit
    world = shot.T[:3, 3] + (shot.rays() * shot.depth[..., None]) @ shot.T[:3, :3].T
    is_near = shot.depth < _AT_THE_LENS * known  # a finger, far enough from the lens to have a depth
    free = shows_region & (shot.depth > 0) & ~is_near & (world[..., 2] < region.high[2])
    share = free.sum() / shows_region.sum()
    if share < _FREE_SHARE:
        return (
            f"camera {shot.name} sees {100 * share:.0f} % of the table; clean or uncover its lens and take away what "
            "is in front of it"
        )
    is_table = free & (np.abs(ground[..., 2]) < 1e-3)
    return _place_problem(shot, is_table, world[..., 2])


def _unit_problem(shot: Shot, known: np.ndarray, shows_region: np.ndarray) -> str:
    """Are all depths too long or too short by one factor?"""
    if shows_region.sum() < _FEWEST:
        return ""
    low, middle, high = np.percentile(shot.depth[shows_region] / known[shows_region], (25, 50, 75))
    if 1 / _OTHER_UNIT < middle < _OTHER_UNIT or high - low > _ONE_FACTOR * middle:
        return ""
    factor = float(f"{middle:.3g}")
    return (
        f"the depths of camera {shot.name} are {factor:g} times as long as the way to the table; check in which unit "
        "it gives them (its depth scale)"
    )


def _place_problem(shot: Shot, is_table: np.ndarray, height_m: np.ndarray) -> str:
    """Where does the camera see the table? Low percentiles, in quarters of the picture: objects cover much of some."""
    if is_table.sum() < _FEWEST:
        return ""
    row, column = np.nonzero(is_table)
    heights = height_m[is_table]
    quarter = (row > np.median(row)) * 2 + (column > np.median(column))
    lows = [abs(float(np.percentile(heights[quarter == k], _LOW))) for k in range(4) if (quarter == k).any()]
    off = abs(float(np.percentile(heights, _LOW)))
    tilted = sorted(lows)[-2:][0]  # a camera that was turned is wrong on a whole side, in two quarters
    if off > _OFF_M or tilted > _TILTED_M:
        worst = max(off, tilted)
        return f"camera {shot.name} sees the table {1000 * worst:.0f} mm from where it is; calibrate the camera again"
    return ""
