"""Pictures as a stereo depth camera of the RealSense D435 kind would give them: an option of our ray-cast cameras.

    View (exact)  ->  NoisyCameras.photograph  ->  View (noisy; camera poses and depth scales a little wrong)

Depth errors arise where the sensor makes them, in disparity: noise half of which is a fixed pattern, steps, holes and
flying pixels at edges, holes on surfaces seen at a grazing angle, a wrong scale. Colours get noise, blur, a wrong
exposure and the bands of a lamp seen by a rolling shutter. Segmentation stays exact. Equal seeds and equal orders of
calls give equal pictures, whichever cameras there are.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter, minimum_filter

from iker_envs.contract import check_number
from iker_envs.geometry import pose_compose, quaternion_from_rotvec
from iker_envs.scene import Image, View

_REFERENCE_M = 0.5  # where depth noise is stated
_SMOOTHED_STD = 0.217  # of white noise of deviation 1 after a Gaussian of _CORRELATION_PX
_CORRELATION_PX = 1.3  # a block matcher's window makes neighbours err together
_FAR_M = 9.0  # stands for nothing
_GRAZING = 3.0  # tangent of the angle of incidence: half of the pixels are lost from here, all from 5
_GRAZING_BLIND = 5.0
_FRAMES_SHARE = 3  # a pixel needs a depth in one of so many frames


@dataclass(frozen=True)
class SensorNoise:
    """What is wrong with pictures of a D435-like camera; zeros leave the exact picture.

    Sources. D435 data sheet: baseline 50 mm, depth field of view 87 x 58 degrees (focal length 383 px at 640 wide),
    depth error below 2 % at 2 m, sub-pixel disparity in steps of 1/32 px, rolling shutter in the colour imager and
    none in the depth imagers. Depth noise: Intel's tuning guide for D400 cameras gives 0.08 px or better on a textured
    wall; 0.092 px are 1.2 mm at 0.5 m. Shares lost and flying at edges, colour noise, exposure and bands: chosen to
    look like recorded pictures, not measured by us. Camera pose: what a calibration with 15 board poses leaves.
    """

    depth_noise_m: float = 0.0012  # standard deviation at 0.5 m; grows with depth squared
    fixed_share: float = 0.5  # of the noise's variance that no averaging removes
    disparity_step_px: float = 1 / 32  # of the depth imager
    baseline_m: float = 0.05
    focal_px: float = 383.0  # of the depth imager at 640 pixels width
    range_m: float = 3.0  # nothing is measured beyond
    edge_jump_m: float = 0.02  # neighbours that differ by so much (and 2 % of depth) are an edge
    edge_lost: float = 0.75  # probability of a hole at an edge
    edge_flying: float = 0.10  # probability of a depth between the two surfaces
    frames: int = 3  # of which the median is given
    depth_scale: float = 0.003  # standard deviation, per camera
    exposure: float = 0.04  # standard deviation of the gain, per camera
    band: float = 0.01  # amplitude of a lamp's 100 Hz bands, which a rolling shutter sees
    colour_noise: float = 3.0  # standard deviation, of 255
    colour_blur_px: float = 0.6  # standard deviation
    camera_position_m: float = 0.0015  # standard deviation of the believed position, length of the error
    camera_rotation_deg: float = 0.15  # standard deviation, angle of the error

    def __post_init__(self) -> None:
        for f in fields(self):
            above = 0.0 if f.name in ("baseline_m", "focal_px", "range_m", "frames") else -np.inf
            check_number(f"{f.name} of the sensor noise", getattr(self, f.name), least=0, above=above)
        for name in ("fixed_share", "edge_lost", "edge_flying"):
            if getattr(self, name) > 1:
                raise ValueError(f"{name} of the sensor noise is a share, at most 1, not {getattr(self, name)!r}")

    def depth_std_m(self, depth_m: np.ndarray) -> np.ndarray:
        """Standard deviation of one depth, growing with its square (the error of a disparity is constant)."""
        return self.depth_noise_m * (depth_m / _REFERENCE_M) ** 2


@dataclass(frozen=True, eq=False)
class _Flaws:
    """What one camera gets wrong for good."""

    pattern: np.ndarray  # (H, W) of deviation 1
    scale: float
    gain: float
    offset: np.ndarray  # (7,) believed camera frame in the true one


@dataclass(eq=False)
class NoisyCameras:
    """A set of cameras with flaws of their own: each keeps its own from picture to picture, noise is drawn anew."""

    noise: SensorNoise = field(default_factory=SensorNoise)
    seed: int = 0
    _flaws: dict[tuple[str, tuple[int, ...]], _Flaws] = field(default_factory=dict, init=False)
    _taken: dict[str, int] = field(default_factory=dict, init=False)

    def photograph(self, view: View) -> View:
        """The same view as these cameras give it."""
        return replace(view, cameras=self.pictures(view.cameras))

    def pictures(self, images: Mapping[str, Image]) -> dict[str, Image]:
        """The same pictures by camera name as these cameras give them."""
        return {name: self._picture(name, image) for name, image in images.items()}

    def _picture(self, name: str, image: Image) -> Image:
        number = self._taken[name] = self._taken.get(name, 0) + 1
        rng = np.random.default_rng([self.seed, zlib.crc32(name.encode()), number])
        flaws = self._flaws_of(name, image)
        return replace(
            image,
            rgb=_colours(image.rgb, self.noise, flaws.gain, rng),
            depth_m=_depth(np.asarray(image.depth_m, dtype=np.float32), self.noise, flaws, rng),
            T_world_cam=pose_compose(image.T_world_cam, flaws.offset),
        )

    def _flaws_of(self, name: str, image: Image) -> _Flaws:
        key = name, image.depth_m.shape
        if key not in self._flaws:
            rng = np.random.default_rng([self.seed, zlib.crc32(name.encode()), 0])
            scale, gain = rng.normal(size=2) * (self.noise.depth_scale, self.noise.exposure)
            turn_rad = rng.normal(size=3) * np.deg2rad(self.noise.camera_rotation_deg) / np.sqrt(3)
            shift_m = rng.normal(size=3) * self.noise.camera_position_m / np.sqrt(3)
            offset = np.concatenate([shift_m, quaternion_from_rotvec(turn_rad)])
            self._flaws[key] = _Flaws(_smooth_noise(image.depth_m.shape, rng), 1 + scale, 1 + gain, offset)
        return self._flaws[key]


def _smooth_noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Noise (H, W) of deviation 1 in which neighbours are alike."""
    return gaussian_filter(rng.standard_normal(shape, dtype=np.float32), _CORRELATION_PX) / np.float32(_SMOOTHED_STD)


def _depth(depth_m: np.ndarray, noise: SensorNoise, flaws: _Flaws, rng: np.random.Generator) -> np.ndarray:
    """The median (H, W) of some noisy frames; 0 where too few of them have a depth."""
    is_hit = depth_m > 0
    surface = np.where(is_hit, depth_m, np.float32(_FAR_M))
    near = minimum_filter(surface, 3)
    is_edge = maximum_filter(surface, 3) - near > noise.edge_jump_m * (1 + surface)
    slope = _slope(surface, noise)
    frames = [_frame(surface, near, is_edge, slope, noise, flaws, rng) for _ in range(int(noise.frames))]
    stack = np.stack(frames)
    stack[:, ~is_hit] = np.nan
    enough = np.isfinite(stack).sum(axis=0) >= max(1, len(frames) // _FRAMES_SHARE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # the median of no depth is nan, which becomes 0
        middle = np.nanmedian(stack, axis=0)
    return np.where(enough, middle, 0.0)


def _slope(surface: np.ndarray, noise: SensorNoise) -> np.ndarray:
    """About the tangent (H, W) of the angle between the ray and the surface's normal."""
    down, across = np.gradient(surface)
    focal_px = noise.focal_px * surface.shape[1] / 640
    return np.hypot(down, across) * focal_px / surface


def _frame(surface, near, is_edge, slope, noise: SensorNoise, flaws: _Flaws, rng: np.random.Generator) -> np.ndarray:
    """One noisy frame (H, W) of depths, nan where there is none."""
    shape = surface.shape
    metres_px = noise.focal_px * noise.baseline_m  # depth times disparity
    disparity_std_px = noise.depth_noise_m * metres_px / _REFERENCE_M**2
    jitter = np.sqrt(1 - noise.fixed_share) * _smooth_noise(shape, rng) + np.sqrt(noise.fixed_share) * flaws.pattern
    disparity = metres_px / (surface * flaws.scale) + disparity_std_px * jitter
    if noise.disparity_step_px > 0:
        disparity = np.round(disparity / noise.disparity_step_px) * noise.disparity_step_px
    depth = metres_px / np.maximum(disparity, 1e-3)
    chance = rng.random((3, *shape), dtype=np.float32)
    flying = is_edge & (chance[0] < noise.edge_flying)
    depth = np.where(flying, depth - chance[1] * (surface - near), depth)
    lost = is_edge & ~flying & (chance[2] < noise.edge_lost)
    if noise.edge_lost > 0:
        lost |= ~is_edge & ((slope > _GRAZING_BLIND) | ((slope > _GRAZING) & (chance[1] < 0.5)))
    return np.where(lost | (depth > noise.range_m), np.float32(np.nan), depth).astype(np.float32)


def _colours(rgb: np.ndarray, noise: SensorNoise, gain: float, rng: np.random.Generator) -> np.ndarray:
    """The picture (H, W, 3) uint8 blurred, exposed differently, banded and noisy."""
    blurred = gaussian_filter(rgb.astype(np.float32), (noise.colour_blur_px, noise.colour_blur_px, 0))
    rows = np.arange(len(rgb)) / len(rgb)  # the shutter rolls down a frame in 1/30 s: 3.3 periods of a 100 Hz lamp
    bands = 1 + noise.band * np.sin(2 * np.pi * (3.3 * rows + rng.random()))
    noisy = blurred * (gain * bands[:, None, None]) + noise.colour_noise * rng.standard_normal(rgb.shape, np.float32)
    return np.clip(noisy + 0.5, 0, 255).astype(np.uint8)
