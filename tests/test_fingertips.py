"""Commands keep the fingertips clear of table and furniture, alike for every array library and every world."""

import array_api_strict
import numpy as np
import pytest
import torch

from iker_envs.geometry import pose_apply, quaternion_from_rotvec, quaternion_multiply
from iker_envs.planning.collision import object_boxes
from iker_envs.planning.fingertips import FurnitureTops, lift_needed, next_command, tip_corners, tops_of
from iker_envs.scene import HOME_GRIPPER_QUATERNION
from iker_envs.spec import spec_of
from iker_envs.task import load_task

TASKS = ("shoe_push", "shoe_place", "book_push", "book_reorient", "book_stow", "shoe_rack")
CLEARANCE_M = 0.003
EDGE_M = 0.005  # a top counts this far beyond its edge


def hands(scene, rng, count=400):
    """Poses (N, 7) of tilted hands everywhere in a scene's workspace, and openings (N,)."""
    low, high = np.array(scene.workspace_m)
    position = rng.uniform(low, [*high[:2], 0.35], (count, 3))
    turn = quaternion_from_rotvec(rng.uniform(-0.5, 0.5, (count, 3)))
    rotation = quaternion_multiply(turn, np.tile(HOME_GRIPPER_QUATERNION, (count, 1)))
    return np.concatenate([position, rotation], axis=-1), rng.uniform(0, 0.085, count)


def gap_by_hand_m(scene, pose, opening_m):
    """The smallest height of a tip's corner above what is under it, world by world and box by box."""
    gaps = []
    boxes = [box for o in scene.objects if not o.movable for box in object_boxes(o.model, o.pose)]
    for tip in pose_apply(pose, tip_corners(np.array([opening_m]))[0]):
        floor = 0.0
        for box in boxes:
            local = box.axes.T @ (tip - box.centre)
            up = int(np.argmax(np.abs(box.axes[2])))
            sides = [i for i in range(3) if i != up]
            top = box.centre[2] + box.half[up]
            if (
                abs(box.axes[2, up]) > 0.99
                and all(abs(local[i]) < box.half[i] + EDGE_M for i in sides)
                and tip[2] > top - 0.03
            ):
                floor = max(floor, top)
        gaps.append(tip[2] - floor)
    return min(gaps)


@pytest.mark.parametrize("name", TASKS)
def test_hands_are_lifted_as_far_as_what_is_under_their_tips_needs(name, rng):
    scene = load_task(name).sample(rng)
    pose, opening_m = hands(scene, rng)
    lift_m = lift_needed(pose, opening_m, tops_of(scene), CLEARANCE_M)
    gap_m = np.array([gap_by_hand_m(scene, *hand) for hand in zip(pose, opening_m, strict=True)])
    assert (lift_m > 0).any() and (lift_m == 0).any()
    np.testing.assert_allclose(lift_m, np.maximum(0.0, CLEARANCE_M - gap_m), atol=1e-9)


def test_every_world_has_the_tops_of_its_own_furniture(rng):
    scenes = [load_task(name).sample(rng, index) for name, index in (("shoe_rack", 0), ("shoe_rack", 5))]
    poses = np.array([[o.pose for o in scene.objects if not o.movable] for scene in scenes])
    order = np.array([1, 0, 1])
    tops = FurnitureTops(scenes).at(order, poses[order])
    pose, opening_m = hands(scenes[0], rng, 3)
    for row, index in enumerate(order):
        alone = lift_needed(pose[[row]], opening_m[[row]], tops_of(scenes[index]), CLEARANCE_M)
        together = lift_needed(pose[[row]], opening_m[[row]], tops[[row]], CLEARANCE_M)
        np.testing.assert_allclose(together, alone, atol=1e-12)


@pytest.mark.parametrize("to", [array_api_strict.asarray, torch.as_tensor], ids=["array_api_strict", "torch"])
@pytest.mark.parametrize("name", ["shoe_push", "book_push"])
def test_every_library_commands_alike(to, name, rng):
    scene = load_task(name).sample(rng)
    pose, opening_m = hands(scene, rng, 50)
    tops = np.tile(tops_of(scene), (50, 1, 1))
    arguments = (rng.uniform(-1, 1, (50, 6)), pose, pose, np.array(scene.workspace_m), opening_m, tops)
    expected = next_command(spec_of(scene), *arguments)
    assert (expected[:, 2] > 0.0).all()
    np.testing.assert_allclose(np.asarray(next_command(spec_of(scene), *map(to, arguments))), expected, atol=1e-12)
