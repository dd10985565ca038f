"""From what rays hit to colours: one soft lamp, light from the sky, a wooden table.

    Surface (points, normals, colours, who is in shadow)  ->  shade  ->  rgb (H, W, 3) uint8

All arithmetic is elementwise on pixels; the table's pattern is data made once from a fixed seed.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.ndimage import uniform_filter, uniform_filter1d

LIGHT_POSITION_M = np.array([-0.5, 1.1, 2.4])  # behind the robot's left shoulder: shadows fall forward right
# Strengths of the light: from the lamp, from above, from below.
_LAMP = 0.72
_SKY = 0.40
_BOUNCE = 0.22
_SHADE = 0.22  # the part of the lamp that reaches a shadow
_SMOOTH_COSINE = 0.94  # facets that differ by less than about 20 degrees are one curved surface
# The table's wooden pattern, and where it fades into the background.
_TEXELS = 1024
_TILE_M = 1.2
_PLANK_M = 0.15
_TABLE_CENTRE_M = np.array([0.5, 0.0])
_FADE_FROM_M = 1.2
_FADE_TO_M = 2.6
_BACKGROUND_LOW = np.array([0.80, 0.83, 0.86])
_BACKGROUND_HIGH = np.array([0.93, 0.95, 0.97])


class Surface(NamedTuple):
    """P pixels: points, rays from the camera and normals (P, 3) in the base frame, albedo (P, 3) in [0, 1], masks."""

    points: np.ndarray
    rays: np.ndarray
    normals: np.ndarray
    albedo: np.ndarray
    is_table: np.ndarray
    is_hit: np.ndarray
    is_lit: np.ndarray


def shade(surface: Surface, shape: tuple[int, int]) -> np.ndarray:
    """Colours (H, W, 3) uint8 of H * W = P pixels in row order."""
    albedo = surface.albedo.astype(np.float32)
    table = np.flatnonzero(surface.is_table)
    albedo[table] *= _wood(surface.points[table, :2])
    colour = albedo * _light(surface, shape)[:, None]
    background = _background(surface.rays).astype(np.float32)
    distance = np.linalg.norm(surface.points[table, :2] - _TABLE_CENTRE_M, axis=-1)
    fade = np.clip((distance - _FADE_FROM_M) / (_FADE_TO_M - _FADE_FROM_M), 0, 1)[:, None]
    colour[table] += fade * (background[table] - colour[table])
    colour = np.where(surface.is_hit[:, None], colour, background)
    return (np.clip(colour, 0, 1) * 255 + 0.5).astype(np.uint8).reshape(*shape, 3)


def _light(surface: Surface, shape: tuple[int, int]) -> np.ndarray:
    """Light (P,) that falls on each pixel's surface, seen from the side that the camera is on."""
    normals = surface.normals.astype(np.float32)
    away = np.einsum("ij,ij->i", normals, surface.rays.astype(np.float32)) > 0
    normals[away] *= -1
    to_light = (LIGHT_POSITION_M - surface.points).astype(np.float32)
    cosine = np.einsum("ij,ij->i", normals, to_light) / np.sqrt(np.einsum("ij,ij->i", to_light, to_light))
    reach = np.where(surface.is_lit, np.float32(1), np.float32(_SHADE)).reshape(shape)
    reach = uniform_filter(reach, 3).ravel()  # a lamp has a size, so its shadows have soft edges
    sky = _BOUNCE + (_SKY - _BOUNCE) * (0.5 + 0.5 * normals[:, 2])
    return sky + _LAMP * reach * np.maximum(cosine, 0)


def _background(rays: np.ndarray) -> np.ndarray:
    height = np.clip(0.5 + rays[:, 2:], 0, 1)
    return _BACKGROUND_LOW + height * (_BACKGROUND_HIGH - _BACKGROUND_LOW)


def smooth_normals(normals: np.ndarray, geom: np.ndarray, window: int = 5) -> np.ndarray:
    """Normals (H, W, 3) averaged with their neighbours where those belong to the same smooth patch of one geom.

    Meshes give one normal per facet; where the average hardly turns a normal, facets are rounded off, edges stay.
    """
    normals = normals.astype(np.float32)
    mean = np.stack([uniform_filter(normals[..., k], window) for k in range(3)], axis=-1)
    mean /= np.maximum(np.sqrt(np.einsum("ijk,ijk->ij", mean, mean)), 1e-6)[..., None]
    smooth = np.einsum("ijk,ijk->ij", mean, normals) > _SMOOTH_COSINE
    return np.where(smooth[..., None], mean, normals)


def _wood(xy: np.ndarray) -> np.ndarray:
    """Brightness and tint (P, 3) of the table at points (P, 2): planks along x, so that depth and direction read."""
    texel = np.floor(xy * (_TEXELS / _TILE_M)).astype(np.int64) % _TEXELS
    return _wood_tile()[texel[:, 0], texel[:, 1]]


@cache
def _wood_tile() -> np.ndarray:
    """One period (texels along x, texels along y, 3) of the pattern."""
    rng = np.random.default_rng(7)
    grain = np.zeros((_TEXELS, _TEXELS))
    for length, amount in ((400, 1.0), (120, 0.6), (25, 0.35)):
        layer = uniform_filter1d(rng.standard_normal((_TEXELS, _TEXELS)), length, axis=0, mode="wrap")
        layer = uniform_filter1d(layer, 3, axis=1, mode="wrap")
        grain += amount * layer / layer.std()
    across = np.arange(_TEXELS) * _TILE_M / _TEXELS
    plank = np.floor(across / _PLANK_M).astype(int)
    tone = rng.uniform(-0.035, 0.035, plank.max() + 1)[plank]
    seam = np.abs((across + _PLANK_M / 2) % _PLANK_M - _PLANK_M / 2) < 0.0015
    bright = (1.0 + tone + 0.014 * grain) * np.where(seam, 0.86, 1.0)
    tint = 1.0 + np.outer(tone, [0.2, 0.0, -0.4])
    return (bright[..., None] * tint).astype(np.float32)
