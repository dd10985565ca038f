"""Poses from noisy pictures: right to millimetres, whichever way round things lie, and the same every time."""

from dataclasses import replace

import numpy as np
import pytest
from rgbd_scenes import LEFT, RIGHT, block, pair, scene_of, seen, shoe, with_objects, without

from iker_envs.geometry import rotation_angle
from iker_envs.perception import EstimateRefused, make_estimator
from iker_envs.perception.rgbd import RgbdEstimator
from iker_envs.perception.surfaces import DIRECTIONS, surface_model
from iker_envs.scene import ObjectModel, Scene, SceneObject, turned_pose, upright_pose

BOOK = ObjectModel("book", "book", np.array([0.148, 0.026, 0.21]), 0.4, rgba=np.array([0.62, 0.12, 0.14, 1.0]))
BLUE = replace(BOOK, name="blue", rgba=np.array([0.14, 0.25, 0.55, 1.0]))
BOARD = block("board", (0.30, 0.60, 0.06), upright_pose([0.62, 0.0, 0.03]), movable=False)
RACK = SceneObject(ObjectModel("rack", "rack", np.array([0.28, 0.64, 0.10])), upright_pose([0.66, 0, 0.05]), False)

SCENES = {
    "a pair of shoes": pair(),
    "the pair exchanged": pair().with_poses({"left_shoe": RIGHT, "right_shoe": LEFT}),
    "the pair on a rack, a carton beside it": scene_of(
        RACK,
        block("box", (0.28, 0.20, 0.11), upright_pose([0.65, 0.2, 0.155])),
        shoe("left_shoe", "left", upright_pose([0.65, -0.04, 0.145])),
        shoe("right_shoe", "right", upright_pose([0.65, -0.18, 0.145])),
    ),
    "a shoe backwards": scene_of(shoe("left_shoe", "left", upright_pose([0.45, 0.0, 0.045], 2.8))),
    "a shoe on its side": scene_of(shoe("left_shoe", "left", turned_pose([0.45, 0.0, 0.05], [np.pi / 2, 0, 0.4]))),
    "books standing and lying on a board": scene_of(
        BOARD,
        SceneObject(BOOK, upright_pose([0.60, 0.15, 0.165], np.pi / 2)),
        SceneObject(BLUE, turned_pose([0.60, -0.12, 0.073], [np.pi / 2, 0, 0.3])),
    ),
    "a book the other way round": scene_of(
        BOARD, SceneObject(BOOK, turned_pose([0.60, 0.0, 0.073], [-np.pi / 2, 0, 2.6]))
    ),
    "books that touch": scene_of(
        SceneObject(BOOK, upright_pose([0.50, 0.013, 0.105])), SceneObject(BLUE, upright_pose([0.50, -0.013, 0.105]))
    ),
}


def check(found, scene: Scene, position_m: float = 0.010, angle_deg: float = 5.0) -> None:
    """Every estimate is near the truth, trusted, and says how well it fits."""
    assert tuple(found) == scene.movable
    for name, estimate in found.items():
        truth = scene.object(name).pose
        assert np.linalg.norm(estimate.pose[:3] - truth[:3]) < position_m, name
        assert np.rad2deg(rotation_angle(estimate.pose[3:], truth[3:])) < angle_deg, name
        assert not estimate.why and estimate.confidence > 0.5
        assert 0 < estimate.residual_m < 0.006 and 0.3 < estimate.visible_fraction <= 1


@pytest.mark.parametrize("case", SCENES)
def test_poses_are_found_wherever_things_stand(case):
    scene = SCENES[case]
    check(make_estimator("rgbd").estimate(seen(scene, seed=3), scene), scene)


def test_what_stands_on_something_touches_it():
    scene = SCENES["the pair on a rack, a carton beside it"]
    found = RgbdEstimator().estimate(seen(scene), scene)
    assert found["left_shoe"].pose[2] == pytest.approx(0.145, abs=1e-6)


def test_equal_pictures_give_equal_poses():
    one, other = (RgbdEstimator().estimate(seen(pair()), pair()) for _ in range(2))
    np.testing.assert_array_equal(one["left_shoe"].pose, other["left_shoe"].pose)


def test_the_poses_that_a_scene_claims_are_not_used():
    elsewhere = pair().with_poses({n: upright_pose([0.6, 0.3, 0.5]) for n in pair().movable})
    check(RgbdEstimator().estimate(seen(pair()), elsewhere), pair())


def test_the_next_look_follows_what_moved_a_little_and_what_moved_far():
    estimator = RgbdEstimator()
    check(estimator.estimate(seen(pair()), pair()), pair())
    nudged = pair().with_poses({"left_shoe": LEFT + np.array([0.01, 0.01, 0, 0, 0, 0, 0])})
    check(estimator.estimate(seen(nudged), nudged), nudged)
    carried = nudged.with_poses({"left_shoe": upright_pose([0.62, -0.2, 0.045], 1.5)})
    check(estimator.estimate(seen(carried), carried), carried)


def test_an_empty_picture_takes_the_place_of_known_furniture():
    scene = SCENES["a book the other way round"]
    empty = seen(without(scene, "book"))
    unknown_board = without(scene, "board")
    with pytest.raises(EstimateRefused):
        RgbdEstimator().estimate(seen(scene), unknown_board)
    check(RgbdEstimator(empty=empty).estimate(seen(scene), scene), scene)


class Sections:
    """A segmenter that knows the truth of simulated pictures."""

    def segment(self, view, models):
        return {
            camera: np.where(image.segmentation < len(models.movable), image.segmentation, -1)
            for camera, image in view.cameras.items()
        }


def test_masks_from_elsewhere_tell_objects_apart():
    check(RgbdEstimator(segmenter=Sections()).estimate(seen(pair()), pair()), pair())


def test_nothing_to_look_for_is_no_question():
    assert RgbdEstimator().estimate(seen(scene_of()), scene_of()) == {}


def test_a_surface_is_what_can_be_seen_of_an_object():
    model = pair().object("left_shoe").model
    surface = surface_model(model)
    np.testing.assert_allclose(surface.size_m, model.size_m, atol=0.004)
    assert surface.seen_from.any(axis=1).all() and surface.seen_from.shape[1] == len(DIRECTIONS)
    np.testing.assert_allclose(np.linalg.norm(surface.normals, axis=1), 1, atol=1e-5)
    facing = surface.normals @ DIRECTIONS.T.astype(np.float32)
    assert (facing[surface.seen_from] > 0).mean() > 0.97, "a point is seen from the side that it faces"
    right = surface_model(pair().object("right_shoe").model)
    index, is_near = right.nearest(surface.mirrored().points)
    assert is_near.all() and np.linalg.norm(surface.mirrored().points - right.points[index], axis=1).mean() < 0.003


def test_a_plain_thing_that_looks_the_same_turned_is_found_as_its_scene_would_have_it(tmp_path):
    path = tmp_path / "bar.obj"
    corners = [(x, y, z) for x in (-0.09, 0.09) for y in (-0.03, 0.03) for z in (-0.025, 0.025)]
    faces = [(1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4)]
    triangles = [t for a, b, c, d in faces for t in ((a, b, c), (a, c, d))]
    path.write_text(
        "".join(f"v {x} {y} {z}\n" for x, y, z in corners) + "".join(f"f {a} {b} {c}\n" for a, b, c in triangles)
    )
    bar = ObjectModel(
        "bar", "mesh", np.array([0.18, 0.06, 0.05]), 0.3, rgba=np.array([0.1, 0.3, 0.7, 1]), mesh=str(path)
    )
    scene = scene_of(SceneObject(bar, upright_pose([0.45, 0.1, 0.025], 0.5)))
    check(RgbdEstimator().estimate(seen(scene), scene), scene)


def test_more_things_than_one_are_told_apart_by_colour_alone():
    scene = with_objects(
        scene_of(SceneObject(BOOK, upright_pose([0.45, 0.2, 0.105], 0.3))),
        SceneObject(BLUE, upright_pose([0.45, -0.2, 0.105], 0.3)),
    )
    check(RgbdEstimator().estimate(seen(scene, 5), scene), scene)
