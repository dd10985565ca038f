"""A contact sheet: every configuration of every task as one picture with its instruction.

    task names  ->  contact_sheet  ->  image: the marked query image, the first stage's targets as green rings

For looking through tasks, and as the picture of docs/tasks.md.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from iker_agent.seeing.keypoints import marked_points, select_keypoints
from iker_agent.seeing.marks import draw_marks
from iker_envs.geometry import pose_apply
from iker_envs.optics import project
from iker_envs.pictures.still import still_view
from iker_envs.scene import Scene
from iker_envs.task import Task, load_task

COLUMNS = 5
_CELL_PX = (448, 336)
_TEXT_PX = 84
_TITLE_PX = 44
_GAP_PX = 8
_FONT_PX = 14
_TITLE_FONT_PX = 20
_WRAP = 66
_TARGET_RGB = (40, 200, 60)
_INK_RGB = (25, 25, 25)
_PAPER_RGB = (255, 255, 255)


def contact_sheet(names: Sequence[str]) -> PillowImage.Image:
    """All configurations of the named tasks, five to a row, a title above each task."""
    blocks = [_task_block(load_task(name)) for name in names]
    width = max(b.width for b in blocks)
    sheet = PillowImage.new("RGB", (width, sum(b.height for b in blocks)), _PAPER_RGB)
    top = 0
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height
    return sheet


def _task_block(task: Task) -> PillowImage.Image:
    count = len(task.configurations)
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    step = _CELL_PX[0] + _GAP_PX, _CELL_PX[1] + _TEXT_PX
    block = PillowImage.new("RGB", (columns * step[0] + _GAP_PX, _TITLE_PX + rows * step[1]), _PAPER_RGB)
    pen = ImageDraw.Draw(block)
    title = f"{task.id}: {task.description}"
    pen.text((_GAP_PX, 12), title, fill=_INK_RGB, font=ImageFont.load_default(size=_TITLE_FONT_PX))
    for index in range(count):
        left = _GAP_PX + (index % columns) * step[0]
        top = _TITLE_PX + (index // columns) * step[1]
        block.paste(configuration_picture(task, index).resize(_CELL_PX, PillowImage.Resampling.LANCZOS), (left, top))
        words = textwrap.fill(f"{index}: {task.configuration(index).instruction}", _WRAP)
        place = (left, top + _CELL_PX[1] + 4)
        pen.multiline_text(place, words, fill=_INK_RGB, font=ImageFont.load_default(size=_FONT_PX))
    return block


def configuration_picture(task: Task, index: int) -> PillowImage.Image:
    """The marked query image of a configuration at the centre of its start ranges, targets as rings."""
    scene = task.sample(None, index)
    view = still_view(scene)
    picture = PillowImage.fromarray(draw_marks(view.image, select_keypoints(scene, view)))
    pen = ImageDraw.Draw(picture)
    for x, y in _target_pixels(task, scene, index, view.image):
        pen.ellipse((x - 6, y - 6, x + 6, y + 6), outline=_TARGET_RGB, width=3)
    return picture


def _target_pixels(task: Task, scene: Scene, index: int, image) -> np.ndarray:
    goal = task.goal(0, scene, index)
    points = pose_apply(goal.target_pose, marked_points(scene.object(goal.object).model))
    pixels, _ = project(points, image.K, image.T_world_cam)
    return pixels[np.isfinite(pixels).all(axis=1)]
