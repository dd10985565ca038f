"""Whatever goes wrong with cameras, people and things in front of them ends in a refusal that says what to do."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from rgbd_scenes import LEFT, RIGHT, block, pair, scene_of, seen, shoe, with_objects, without

from iker_envs.geometry import rotation_angle
from iker_envs.perception import EstimateRefused
from iker_envs.perception.rgbd import RgbdEstimator
from iker_envs.scene import Image, Scene, View, upright_pose


def every(view: View, change: Callable[[Image], Image], *names: str) -> View:
    """The view with the pictures of some cameras (none: of all) changed."""
    return replace(view, cameras={n: change(i) if n in names or not names else i for n, i in view.cameras.items()})


def brightened(factor: float) -> Callable[[Image], Image]:
    return lambda i: replace(i, rgb=np.clip(i.rgb * factor, 0, 255).astype(np.uint8))


def covered(image: Image) -> Image:
    """A palm on the lens: dark, and nothing to measure."""
    return replace(image, rgb=np.full_like(image.rgb, 9), depth_m=np.zeros_like(image.depth_m))


def half_covered(image: Image) -> Image:
    """A finger over half of the lens, nearer than a depth can be."""
    half = image.rgb.shape[1] // 2
    rgb = image.rgb.copy()
    depth_m = image.depth_m.copy()
    rgb[:, :half] = 90
    depth_m[:, :half] = 0.0
    return replace(image, rgb=rgb, depth_m=depth_m)


def no_depth(image: Image) -> Image:
    return replace(image, depth_m=np.zeros_like(image.depth_m))


def raised(image: Image) -> Image:
    """Somebody bumped the camera: it stands 3 cm from where it was calibrated."""
    return replace(image, T_world_cam=image.T_world_cam + np.array([0, 0, 0.03, 0, 0, 0, 0]))


def aside(image: Image) -> Image:
    return replace(image, T_world_cam=image.T_world_cam + np.array([0.02, 0.06, 0, 0, 0, 0, 0]))


def flipped(image: Image) -> Image:
    """A driver that mirrors pictures."""
    return replace(image, rgb=image.rgb[:, ::-1], depth_m=image.depth_m[:, ::-1])


def late(image: Image) -> Image:
    return replace(image, stamp_s=image.stamp_s + 2.0)


PICTURES: dict[str, tuple[Callable[[View], View], str]] = {
    "dark": (lambda v: every(v, brightened(0.08)), "is dark.*turn on a light"),
    "one camera in the dark": (lambda v: every(v, brightened(0.08), "back_left"), "camera back_left is dark"),
    "overexposed": (lambda v: every(v, brightened(6.0)), "is overexposed.*lower exposure"),
    "lens covered": (lambda v: every(v, covered, "front_left"), "camera front_left gives no depth"),
    "lens half covered": (lambda v: every(v, half_covered, "front_left"), "front_left sees .* % of the table; clean"),
    "one camera down": (lambda v: every(v, no_depth, "back_right"), "back_right gives no depth.*plugged in"),
    "camera bumped upwards": (lambda v: every(v, raised, "front_right"), "front_right sees the table .* calibrate"),
    "camera bumped aside": (lambda v: every(v, aside, "front_right"), "front_right|unknown"),
    "pictures mirrored": (lambda v: every(v, flipped), "all cameras seem mirrored left to right; turn that off"),
    "one picture mirrored": (lambda v: every(v, flipped, "back_left"), "camera back_left seems mirrored left to right"),
    "one picture taken later": (lambda v: every(v, late, "back_left"), "taken 2.0 s apart"),
    "no picture": (lambda v: replace(v, cameras={}), "no picture"),
}


@pytest.mark.parametrize("case", PICTURES)
def test_pictures_that_cannot_be_used_are_refused(case):
    change, words = PICTURES[case]
    with pytest.raises(EstimateRefused, match=words) as refused:
        RgbdEstimator().estimate(change(seen(pair())), pair())
    assert "\n" not in str(refused.value)


def moved_meanwhile(x_m: float = 0.04, y_m: float = 0.03) -> View:
    """Two cameras took their picture before the left shoe was pushed, the others afterwards."""
    before = seen(pair())
    shifted = LEFT + np.array([x_m, y_m, 0, 0, 0, 0, 0])
    after = seen(pair().with_poses({"left_shoe": shifted}))
    early = ("back_left", "front_right")
    return replace(before, cameras={n: before.cameras[n] if n in early else i for n, i in after.cameras.items()})


def two_of_a_kind() -> Scene:
    return scene_of(shoe("one", "left", LEFT), shoe("other", "left", RIGHT))


def behind_boards() -> Scene:
    """The left shoe in a box without a lid, so deep that only the camera above looks in."""
    walls = [((0.36, 0.02, 0.24), (0, 0.09)), ((0.36, 0.02, 0.24), (0, -0.09))]
    walls += [((0.02, 0.20, 0.24), (0.17, 0)), ((0.02, 0.20, 0.24), (-0.17, 0))]
    boards = [
        block(f"wall_{k}", size, upright_pose([0.40 + x, 0.1 + y, 0.12]), movable=False)
        for k, (size, (x, y)) in enumerate(walls)
    ]
    return scene_of(shoe("left_shoe", "left", upright_pose([0.40, 0.1, 0.045])), *boards)


GREEN = (0.10, 0.60, 0.15, 1.0)
THINGS: dict[str, tuple[Callable[[], View], Callable[[], Scene], str]] = {
    "nothing on the table": (lambda: seen(scene_of()), pair, "see nothing on the table"),
    "object missing": (lambda: seen(without(pair(), "left_shoe")), pair, "left_shoe|right_shoe"),
    "the other object missing": (lambda: seen(without(pair(), "right_shoe")), pair, "left_shoe|right_shoe"),
    "hand in view": (
        lambda: seen(with_objects(pair(), block("arm", (0.5, 0.09, 0.07), upright_pose([0.2, 0.02, 0.3])))),
        pair,
        r"something unknown of .* \(a hand, perhaps\)",
    ),
    "unknown object": (
        lambda: seen(with_objects(pair(), block("cup", (0.08, 0.08, 0.10), upright_pose([0.55, 0.0, 0.05])))),
        pair,
        "something unknown of .* is at x 0.5",
    ),
    "unknown object beside a known one": (
        lambda: seen(with_objects(pair(), block("cup", (0.06, 0.06, 0.07), upright_pose([0.36, 0.26, 0.035])))),
        pair,
        "something unknown of ",
    ),
    "a second one like it": (
        lambda: seen(with_objects(pair(), shoe("third", "left", upright_pose([0.55, 0.0, 0.045], 1.0)))),
        pair,
        "something unknown of ",
    ),
    "two look-alikes": (lambda: seen(two_of_a_kind()), two_of_a_kind, "one and other fit either way"),
    "mirror image": (
        lambda: seen(scene_of(shoe("left_shoe", "right", LEFT))),
        lambda: scene_of(shoe("left_shoe", "left", LEFT)),
        "left_shoe looks like its mirror image",
    ),
    "two left shoes": (
        lambda: seen(scene_of(shoe("left_shoe", "left", LEFT), shoe("right_shoe", "left", RIGHT))),
        pair,
        "mirror image",
    ),
    "another colour": (
        lambda: seen(scene_of(shoe("left_shoe", "left", LEFT, GREEN))),
        lambda: scene_of(shoe("left_shoe", "left", LEFT)),
        "left_shoe fits has other colours",
    ),
    "another size": (
        lambda: seen(scene_of(block("box", (0.20, 0.14, 0.08), upright_pose([0.4, 0, 0.04])))),
        lambda: scene_of(block("box", (0.28, 0.20, 0.11), upright_pose([0.4, 0, 0.055]))),
        "box was not found|unknown",
    ),
    "moved during the look": (moved_meanwhile, pair, "moved during the look|unknown"),
    "moved by little during the look": (lambda: moved_meanwhile(0.025, 0.0), pair, "moved during the look"),
    "hidden": (lambda: seen(behind_boards()), behind_boards, "left_shoe is (seen|hidden)"),
    "furniture elsewhere": (
        lambda: seen(
            with_objects(pair(), block("board", (0.2, 0.4, 0.05), upright_pose([0.68, 0, 0.025]), movable=False))
        ),
        lambda: with_objects(pair(), block("board", (0.2, 0.4, 0.05), upright_pose([0.6, 0, 0.025]), movable=False)),
        "unknown|table",
    ),
}


@pytest.mark.parametrize("case", THINGS)
def test_things_that_are_not_as_the_scene_says_are_refused(case):
    view, models, words = THINGS[case]
    with pytest.raises(EstimateRefused, match=words) as refused:
        RgbdEstimator().estimate(view(), models())
    assert "\n" not in str(refused.value)
    for estimate in refused.value.estimates.values():
        assert (estimate.confidence == 0) == bool(estimate.why)


def test_a_camera_that_is_not_there_is_done_without():
    view = seen(pair())
    three = replace(view, cameras={n: i for n, i in view.cameras.items() if n not in ("back_right", "front")})
    found = RgbdEstimator().estimate(three, pair())
    for name, estimate in found.items():
        truth = pair().object(name).pose
        assert np.linalg.norm(estimate.pose[:3] - truth[:3]) < 0.01
        assert rotation_angle(estimate.pose[3:], truth[3:]) < np.deg2rad(4)


def test_one_camera_alone_is_refused_at_first_and_confirms_what_is_known():
    view = seen(pair())
    alone = replace(view, cameras={"front": view.cameras["front"]})
    estimator = RgbdEstimator()
    with pytest.raises(EstimateRefused, match=r"left_shoe is seen by camera front only, .* let a second camera see it"):
        estimator.estimate(alone, pair())
    estimator.remember({"left_shoe": LEFT, "right_shoe": RIGHT})
    found = estimator.estimate(alone, pair())
    assert np.linalg.norm(found["left_shoe"].pose[:3] - LEFT[:3]) < 0.012
