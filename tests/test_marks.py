"""Marks on the query image: dots where the points are, numbers that can be read, axes that tell the truth."""

import mujoco
import numpy as np
import pytest

from iker_agent.seeing.keypoints import Keypoints, select_keypoints
from iker_agent.seeing.label_layout import overlap_area, place_labels
from iker_agent.seeing.marks import DOT_RADIUS_PX, DOT_RGB, draw_marks, layout
from iker_envs.physics.mujoco_model import build_model
from iker_envs.pictures.camera import default_cameras, look_at, render
from iker_envs.scene import Image, ObjectModel, Scene, SceneObject, View, upright_pose

WORKSPACE = np.array([[0.2, -0.45, 0.02], [0.75, 0.45, 0.45]])
FRONT = default_cameras()[0]


def _picture(camera=FRONT, shade: int = 120) -> Image:
    size = (camera.height, camera.width)
    return Image(np.full((*size, 3), shade, np.uint8), np.ones(size), camera.intrinsics(), camera.pose_world)


def _keypoints(pixels, objects=None, drawn=None) -> Keypoints:
    count = len(pixels)
    return Keypoints(
        tuple(str(k + 1) for k in range(count)),
        tuple(objects or ["thing"] * count),
        np.zeros((count, 3)),
        np.zeros((count, 3)),
        np.array(pixels, dtype=float).reshape(-1, 2),
        tuple(drawn or [True] * count),
    )


def _random_scene(rng: np.random.Generator) -> Scene:
    """A rack and three to five objects strewn over the table, some off the picture, some under others."""
    objects = [
        SceneObject(ObjectModel("rack", "rack", np.array([0.28, 0.64, 0.10])), upright_pose([0.66, 0, 0.05]), False)
    ]
    for k in range(rng.integers(3, 6)):
        shape, side, size = (
            ("shoe", ("left", "right")[k % 2], (0.28, 0.10, 0.09)),
            ("box", "", (0.24, 0.17, 0.03)),
            ("box", "", (0.28, 0.20, 0.11)),
        )[rng.integers(3)]
        model = ObjectModel(
            f"object_{k}", shape, np.array(size), 0.3, side=side, rgba=np.array([*rng.uniform(0.1, 0.8, 3), 1])
        )
        position = rng.uniform([0.2, -0.4, size[2] / 2], [0.8, 0.4, size[2] / 2 + 0.12])
        objects.append(SceneObject(model, upright_pose(position, rng.uniform(-np.pi, np.pi))))
    return Scene(tuple(objects), (FRONT,), WORKSPACE)


def _marked(scene: Scene) -> tuple[Image, Keypoints]:
    model = build_model(scene, (), visuals=True)
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    image = render(model, data, scene, FRONT, gripper=False, shadows=False)
    return image, select_keypoints(scene, View({"front": image}, "front"))


def _dot_error(picture: np.ndarray, pixel: np.ndarray) -> float:
    """Distance from a pixel position to the centre of the dot-coloured pixels around it."""
    column, row = np.floor(pixel).astype(int)
    radius = int(DOT_RADIUS_PX) + 2
    low = np.maximum([row - radius, column - radius], 0)
    patch = picture[low[0] : row + radius + 1, low[1] : column + radius + 1].astype(int)
    rows, columns = np.nonzero(np.abs(patch - np.array(DOT_RGB)).max(axis=-1) < 12)
    assert len(rows) > 40, "no dot"
    return float(np.hypot(columns.mean() + low[1] + 0.5 - pixel[0], rows.mean() + low[0] + 0.5 - pixel[1]))


def _boxes(plan) -> np.ndarray:
    return np.array([*plan.labels.values(), plan.glyph])


def _assert_no_overlap(boxes: np.ndarray) -> None:
    areas = overlap_area(boxes, boxes)
    np.fill_diagonal(areas, 0.0)
    assert areas.max() == 0.0


@pytest.mark.parametrize("seed", range(30))
def test_random_scenes_are_marked_legibly(seed):
    image, keypoints = _marked(_random_scene(np.random.default_rng(seed)))
    plan = layout(image, keypoints)
    picture = draw_marks(image, keypoints)
    assert set(plan.labels) == {la for la, drawn in zip(keypoints.labels, keypoints.drawn, strict=True) if drawn}
    assert len(plan.labels) >= 8
    boxes = _boxes(plan)
    _assert_no_overlap(boxes)
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= [FRONT.width, FRONT.height]).all()
    assert (boxes[:, 3] - boxes[:, 1] >= 18).all()
    for label, pixel in zip(keypoints.labels, keypoints.pixels, strict=True):
        if label in plan.labels and (pixel > 6).all() and (pixel < np.array([FRONT.width, FRONT.height]) - 6).all():
            assert _dot_error(picture, pixel) < 1.0, label


def test_thirty_points_at_random_get_labels_apart():
    for seed in range(5):
        pixels = np.random.default_rng(seed).uniform([20, 20], [620, 460], (30, 2))
        _assert_no_overlap(_boxes(layout(_picture(), _keypoints(pixels))))


def test_a_tight_cluster_still_gets_labels_apart_and_off_the_dots():
    pixels = [(300 + 12 * c, 220 + 12 * r) for r in range(3) for c in range(3)]
    boxes = _boxes(layout(_picture(), _keypoints(pixels)))
    _assert_no_overlap(boxes)
    dots = np.array(pixels)[:, None]
    assert not np.any(np.all((dots > boxes[:, :2]) & (dots < boxes[:, 2:]), axis=-1))


def test_labels_lie_away_from_the_middle_of_their_object():
    plan = layout(_picture(), _keypoints([(300, 100), (300, 300), (250, 200), (350, 200)]))
    up, down, left, right = plan.labels.values()
    assert up[3] < 100 and down[1] > 300 and left[2] < 250 and right[0] > 350


def test_only_drawn_points_are_marked():
    keypoints = _keypoints([(100, 100), (300, 200)], drawn=[True, False])
    picture = draw_marks(_picture(), keypoints)
    assert list(layout(_picture(), keypoints).labels) == ["1"]
    assert (picture[190:210, 290:310] == 120).all()


def test_the_input_stays_and_the_result_repeats():
    image = _picture()
    keypoints = _keypoints([(100.3, 100.7), (120, 108), (400, 300)])
    first = draw_marks(image, keypoints)
    second = draw_marks(image, keypoints)
    np.testing.assert_array_equal(first, second)
    assert first.dtype == np.uint8 and first.shape == image.rgb.shape
    assert (image.rgb == 120).all()


def test_numbers_are_white_on_black():
    picture = draw_marks(_picture(), _keypoints([(300, 200)]))
    left, top, right, bottom = (round(b) for b in layout(_picture(), _keypoints([(300, 200)])).labels["1"])
    chip = picture[top + 3 : bottom - 3, left + 3 : right - 3]
    assert chip.min() == 0 and chip.max() > 240
    assert 0.03 < (chip > 128).mean() < 0.5


def test_small_numbers_are_refused():
    with pytest.raises(ValueError, match="12 px cannot be read"):
        draw_marks(_picture(), _keypoints([(300, 200)]), font_px=12)


def test_dots_at_the_border_are_cut_off_and_their_labels_are_not():
    picture = _picture()
    keypoints = _keypoints([(0.5, 0.5), (639.5, 0.5), (0.5, 479.5)])
    draw_marks(picture, keypoints)
    boxes = _boxes(layout(picture, keypoints))
    assert (boxes[:, :2] >= 0).all() and (boxes[:, 2:] <= [640, 480]).all()


def test_the_glyph_is_at_the_bottom_right_and_gives_way_to_marks():
    free = layout(_picture(), _keypoints([(300, 200)])).glyph
    assert free[2] > 620 and free[3] > 460
    taken = layout(_picture(), _keypoints([(600, 440)])).glyph
    assert not (taken[0] < 600 < taken[2] and taken[1] < 440 < taken[3])
    assert taken[3] > 460


def test_the_glyph_shows_the_axes_as_the_camera_sees_them():
    turned = look_at("turned", (0.5, 0.0, 1.0), (0.5, 0.0, 0.0), up=(np.cos(0.2), np.sin(0.2), 0.0))
    for camera, lean in ((FRONT, 0.0), (turned, np.tan(0.2))):
        image = _picture(camera)
        left, top, right, bottom = (int(b) for b in layout(image, _keypoints([])).glyph)
        glyph = draw_marks(image, _keypoints([]))[top:bottom, left:right].astype(int)
        red = (glyph[..., 0] > 150) & (glyph[..., 1:].max(axis=-1) < 60)
        red[:, : (right - left) // 2] = False  # the letters
        rows, columns = np.nonzero(red)
        slope = np.polyfit(rows[rows > 35], columns[rows > 35], 1)[0]  # the shaft
        assert slope == pytest.approx(-lean, abs=0.08)


@pytest.mark.parametrize("up", [(0, 1, 0), (-1, 0, 0), (0.8, 0.6, 0)])
def test_a_camera_that_does_not_show_forward_as_up_is_refused(up):
    camera = look_at("askew", (0.5, 0.0, 1.0), (0.5, 0.0, 0.0), up=up)
    with pytest.raises(ValueError, match=r"shows \+x \d+ degrees off image-up"):
        draw_marks(_picture(camera), _keypoints([(300, 200)]))


def test_a_camera_that_shows_left_elsewhere_is_refused():
    aside = look_at("aside", (0.5, -1.0, 0.15), (0.62, 0.0, 0.1))
    with pytest.raises(ValueError, match=r"\+y .* off image-left"):
        draw_marks(_picture(aside), _keypoints([(300, 200)]))


def test_taken_boxes_are_kept_free():
    dots = {"1": np.array([100.0, 100.0])}
    taken = (110.0, 80.0, 160.0, 120.0)
    boxes = place_labels(dots, {"1": (20.0, 22.0)}, (640, 480), {"1": np.array([1.0, 0.0])}, (taken,))
    assert overlap_area(np.array([boxes["1"]]), np.array([taken])).max() == 0.0
