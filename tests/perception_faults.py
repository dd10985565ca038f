"""What people and cameras get wrong in front of known scenes, as changes of pictures and of what stands there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from rgbd_scenes import LEFT, block, scene_of, seen, shoe
from scipy.ndimage import gaussian_filter

from iker_envs.scene import Image, ObjectModel, Scene, SceneObject, View, turned_pose, upright_pose

SKIN = (0.80, 0.60, 0.50, 1.0)
BOOK = ObjectModel("book", "book", np.array([0.148, 0.026, 0.21]), 0.4, rgba=np.array([0.62, 0.12, 0.14, 1.0]))
STANDING = upright_pose([0.50, 0.0, 0.105], 1.2)
HEAD_DOWN = turned_pose([0.50, 0.0, 0.105], [np.pi, 0, 1.2])
OTHER_COVER = turned_pose([0.45, 0.0, 0.013], [-np.pi / 2, 0, 0.4])
COVER = turned_pose([0.45, 0.0, 0.013], [np.pi / 2, 0, 0.4])


def every(view: View, change: Callable[[Image], Image], *names: str) -> View:
    """The view with the pictures of some cameras (none: of all) changed."""
    return replace(view, cameras={n: change(i) if n in names or not names else i for n, i in view.cameras.items()})


def coloured(*gains: float) -> Callable[[Image], Image]:
    """A lamp of one colour."""
    return lambda i: replace(i, rgb=np.clip(i.rgb * np.array(gains), 0, 255).astype(np.uint8))


def grey(image: Image) -> Image:
    """A colour imager that gives brightness alone."""
    return replace(image, rgb=np.repeat(image.rgb.mean(axis=-1, keepdims=True), 3, axis=-1).astype(np.uint8))


def finger(share: float, depth_m: float = 0.0) -> Callable[[Image], Image]:
    """A finger over the left part of the lens; its own depth, if it is not too near for one."""

    def change(image: Image) -> Image:
        columns = int(share * image.rgb.shape[1])
        rgb, depth = image.rgb.copy(), image.depth_m.copy()
        rgb[:, :columns], depth[:, :columns] = (150, 90, 70), depth_m
        return replace(image, rgb=rgb, depth_m=depth)

    return change


def soiled(image: Image) -> Image:
    """Grease on the lens: no sharp colours, depths wrong by 2 cm in patches, half of them missing."""
    rng = np.random.default_rng(0)
    patches = gaussian_filter(rng.standard_normal(image.depth_m.shape), 4.0)
    depth = np.where(rng.random(image.depth_m.shape) < 0.5, 0.0, image.depth_m + 0.02 * patches / patches.std())
    rgb = gaussian_filter(image.rgb.astype(float), (4.0, 4.0, 0)).astype(np.uint8)
    return replace(image, rgb=rgb, depth_m=np.where(image.depth_m > 0, np.maximum(depth, 0.0), 0.0))


def scaled(factor: float) -> Callable[[Image], Image]:
    """Depths in the wrong unit, or a stereo head out of adjustment."""
    return lambda i: replace(i, depth_m=i.depth_m * factor)


def no_depth(image: Image) -> Image:
    return replace(image, depth_m=np.zeros_like(image.depth_m))


def exchanged(view: View, one: str, other: str) -> View:
    """Two cables exchanged: each camera's pictures under the other's name and place."""
    a, b = view.cameras[one], view.cameras[other]
    swapped = {one: replace(b, T_world_cam=a.T_world_cam, K=a.K), other: replace(a, T_world_cam=b.T_world_cam, K=b.K)}
    return replace(view, cameras={n: swapped.get(n, i) for n, i in view.cameras.items()})


def moved_on(view: View, *names: str) -> View:
    """Cables exchanged in a ring: each of these cameras' pictures under the next one's name and place."""
    ring = dict(zip(names, (*names[1:], names[0]), strict=True))
    taken = {
        place: replace(view.cameras[one], T_world_cam=view.cameras[place].T_world_cam, K=view.cameras[place].K)
        for one, place in ring.items()
    }
    return replace(view, cameras={n: taken.get(n, i) for n, i in view.cameras.items()})


def entered_twice(view: View, one: str, other: str) -> View:
    """One serial number under two names."""
    same = replace(view.cameras[one], T_world_cam=view.cameras[other].T_world_cam)
    return replace(view, cameras={n: same if n == other else i for n, i in view.cameras.items()})


def upside_down(image: Image) -> Image:
    """A camera that hangs from the ceiling, its driver not told."""
    return replace(image, rgb=image.rgb[::-1, ::-1], depth_m=image.depth_m[::-1, ::-1])


def stale(before: Scene, now: Scene, *names: str) -> View:
    """Some cameras still give the pictures of before, under today's stamps."""
    old, new = seen(before), seen(now)
    return replace(new, cameras={n: old.cameras[n] if n in names else i for n, i in new.cameras.items()})


def blind_to(scene: Scene, name: str, view: View, lost: float = 1.0) -> View:
    """No depth on an object that is black or shines: `lost` is the share of its pixels."""
    index = [o.name for o in scene.objects].index(name)
    rng = np.random.default_rng(0)

    def change(image: Image) -> Image:
        gone = (image.segmentation == index) & (rng.random(image.depth_m.shape) < lost)
        return replace(image, depth_m=np.where(gone, 0.0, image.depth_m))

    return every(view, change)


def hand_on(pose: np.ndarray, ahead_m: float = 0.10) -> SceneObject:
    """A hand's breadth of skin over the front or back part of a shoe, the arm behind it."""
    c, s = np.cos(2 * np.arctan2(pose[6], pose[3])), np.sin(2 * np.arctan2(pose[6], pose[3]))
    at = [pose[0] + ahead_m * c, pose[1] + ahead_m * s, 0.11]
    model = ObjectModel("palm", "box", np.array([0.13, 0.11, 0.05]), 0.5, rgba=np.array(SKIN))
    return SceneObject(model, upright_pose(at, 2 * np.arctan2(pose[6], pose[3])))


def cup(x: float, y: float, z: float = 0.0, size: float = 0.07) -> SceneObject:
    return block("cup", (size, size, size), upright_pose([x, y, z + size / 2]))


def book(pose: np.ndarray) -> Scene:
    return scene_of(SceneObject(BOOK, pose))


def on_a_slab() -> Scene:
    """A shoe on something 3 cm thick."""
    slab = block("slab", (0.36, 0.20, 0.03), upright_pose([LEFT[0], LEFT[1], 0.015], 0.2))
    return scene_of(shoe("left_shoe", "left", LEFT + np.array([0, 0, 0.03, 0, 0, 0, 0])), slab)


def on_one_like_it() -> Scene:
    """A book exactly on another one of its kind."""
    below = replace(BOOK, name="other")
    return scene_of(SceneObject(BOOK, COVER + np.array([0, 0, 0.026, 0, 0, 0, 0])), SceneObject(below, COVER))


def under_a_rack() -> Scene:
    """A small shoe of which the heel alone sticks out under a rack."""
    rack = SceneObject(ObjectModel("rack", "rack", np.array([0.28, 0.64, 0.10])), upright_pose([0.60, 0, 0.05]), False)
    model = ObjectModel("left_shoe", "shoe", np.array([0.215, 0.082, 0.076]), 0.3, side="left")
    return scene_of(rack, SceneObject(model, upright_pose([0.53, 0.0, 0.038], 0.1)))
