"""One look at the world, as the agent uses it: the scene in simulation, numbered keypoints, the image to ask about.

world.view()  ->  Estimator.estimate  ->  scene_from_poses  ->  select_keypoints  ->  draw_marks  ->  Look

Poses that were measured in pictures leave those pictures and an overlay of the models' outlines, refused ones too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from iker_agent.program.rows import POSE_ROWS
from iker_agent.program.signatures import signature_named
from iker_agent.records.run_folder import Folder
from iker_agent.seeing.keypoints import Keypoints, select_keypoints
from iker_agent.seeing.marks import MIN_FONT_PX, draw_marks
from iker_agent.seeing.overlay import draw_overlay
from iker_envs.geometry import pose_apply
from iker_envs.perception import Estimate, EstimateRefused, Estimator
from iker_envs.physics.transfer import SceneNotAtRest, scene_from_poses
from iker_envs.scene import Image, Scene, View
from iker_envs.world import World

SIDE_IMAGE = "marked_side.png"
_SIDE = "side"
_SHORT_SIDE_PX = 768
_MAX_VIEWS = 5  # taken until the scene that was estimated from one rests in simulation
_MAX_REFUSED = 3  # views whose poses cannot be trusted: more of them would show the same


@dataclass(frozen=True, eq=False)
class Look:
    """What one look gave: the scene in simulation, its keypoints, the image (H, W, 3) that a model is shown.

    `side` is a second one from the side, where that is wanted, and `side_keypoints` says what is drawn on it.
    """

    scene: Scene
    keypoints: Keypoints
    marked: np.ndarray
    side: np.ndarray | None = None
    side_keypoints: Keypoints | None = None

    @property
    def drawn(self) -> frozenset[str]:
        """The numbers that some image shows."""
        views = [k for k in (self.keypoints, self.side_keypoints) if k is not None]
        return frozenset(label for k in views for label, drawn in zip(k.labels, k.drawn, strict=True) if drawn)


def look(
    world: World, estimator: Estimator, folder: Folder, contract: str = "keypoints", *, side: bool = False
) -> Look:
    """Look, and leave every step's file in the folder of the stage.

    SceneNotAtRest if no scene that was estimated would stand; EstimateRefused if no view gave poses to be trusted;
    ValueError if the view does not show an object, or with `side` if there is no camera of that name.
    """
    view, scene = _view_at_rest(world, estimator, folder)
    seen = see(scene, view, contract, side=side)
    folder.json("keypoints.json", seen.keypoints)
    folder.image("marked.png", seen.marked)
    if seen.side is not None:
        folder.image(SIDE_IMAGE, seen.side)
    return seen


def see(scene: Scene, view: View, contract: str = "keypoints", *, side: bool = False) -> Look:
    """Keypoints and marked image of a scene in a view; under the pose contract the image has the axes alone.

    `side` adds the picture of the camera "side", marked with the same numbers as far as they are seen there.
    """
    keypoints = select_keypoints(scene, view)
    marked = draw_marks(view.image, _shown(keypoints, contract), _font_px(view.image))
    if not side:
        return Look(scene, keypoints, marked)
    if _SIDE not in view.cameras:
        raise ValueError(
            f"prompt.views=query+side needs a camera called {_SIDE!r}; the view has {', '.join(view.cameras)}"
        )
    beside = replace(view, query=_SIDE)
    found = select_keypoints(scene, beside)
    image = draw_marks(beside.image, _shown(found, contract), _font_px(beside.image), from_above=False)
    return Look(scene, keypoints, marked, image, found)


def imagined(seen: Look, poses: Mapping[str, np.ndarray]) -> Look:
    """The same look, its pictures too, as if objects were at other poses {name: (7,)}: nobody has looked again."""
    scene = seen.scene.with_poses(poses)
    keypoints = seen.keypoints
    world = np.array(keypoints.world_m)
    for name, pose in poses.items():
        own = [owner == name for owner in keypoints.objects]
        world[own] = pose_apply(np.asarray(pose), keypoints.local_m[own])
    return replace(seen, scene=scene, keypoints=replace(keypoints, world_m=world))


def _shown(keypoints: Keypoints, contract: str) -> Keypoints:
    is_pose = signature_named(contract).rows is POSE_ROWS
    return replace(keypoints, drawn=(False,) * len(keypoints.labels)) if is_pose else keypoints


def _font_px(image: Image) -> int:
    """The numbers' font size: models scale an image down until its short side has 768 pixels (GPT-4o's rule)."""
    return round(MIN_FONT_PX * max(1.0, min(image.rgb.shape[:2]) / _SHORT_SIDE_PX))


def _view_at_rest(world: World, estimator: Estimator, folder: Folder) -> tuple[View, Scene]:
    """A view, and the scene that was estimated from it, at rest; a new view is taken where it would not rest, or where
    its poses cannot be trusted."""
    refused = 0
    for number in range(1, _MAX_VIEWS + 1):
        view = world.view()
        folder.image("view.png", view.image.rgb)
        try:
            estimates = estimator.estimate(view, world.template)
        except EstimateRefused as problem:
            refused += 1
            _leave_measured(folder, view, world.template, problem.estimates, refusal=str(problem))
            if refused == _MAX_REFUSED or number == _MAX_VIEWS:
                raise
            continue
        try:
            scene = scene_from_poses(world.template, {name: estimate.pose for name, estimate in estimates.items()})
        except SceneNotAtRest:
            if number == _MAX_VIEWS:
                raise
            continue
        folder.json("poses.json", {name: estimate.to_dict() for name, estimate in estimates.items()})
        if any(estimate.residual_m > 0 for estimate in estimates.values()):
            _leave_measured(folder, view, world.template, estimates)
        folder.yaml("scene.yaml", scene)
        return view, scene
    raise AssertionError("the last view is returned or raises")


def _leave_measured(
    folder: Folder, view: View, scene: Scene, estimates: Mapping[str, Estimate], refusal: str = ""
) -> None:
    """The pictures that poses were measured in, the models' outlines on them, and what was refused."""
    for name, image in view.cameras.items():
        if name != view.query:
            folder.image(f"view_{name}.png", image.rgb)
    folder.image("overlay.png", draw_overlay(view, scene, estimates))
    if refusal:
        found = {name: estimate.to_dict() for name, estimate in estimates.items()}
        folder.json("refused.json", {"why": refusal, "poses": found})
