"""What can be asked for through the door, as our own parts would give it: poses, masks, grasps, a mesh.

    DoorEstimator: an Estimator    DoorSegmenter: a Segmenter    door_grasps -> GraspProposals    door_mesh -> a mesh

Every answer is checked as if a stranger had sent it: known names, finite numbers, unit quaternions, shapes that fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from iker_envs.documents import shown
from iker_envs.objects.looks import visual_geoms
from iker_envs.objects.mesh_repair import is_closed
from iker_envs.perception.door import Door, DoorError, Message
from iker_envs.perception.estimator import Estimate, EstimateRefused
from iker_envs.perception.surfaces import triangles_of
from iker_envs.perception.views import DEPTH_UNIT_M, view_message
from iker_envs.planning.grasps import GraspProposals
from iker_envs.scene import Grasp, Scene, View

_UNIT = 0.01  # how far the length of a quaternion may be from 1
_MAX_FACES = 1_000_000
_MAX_WIDTH_M = 0.2


def _objects(models: Scene) -> tuple[list[str], dict[str, np.ndarray]]:
    """Names of the movable objects, and per object `triangles_i` (M, 3, 3) and `colours_i` (M, 3) in its body frame."""
    arrays = {}
    for index, name in enumerate(models.movable):
        triangles, colours = triangles_of(visual_geoms(models.object(name).model))
        arrays[f"triangles_{index}"] = np.asarray(triangles, dtype=np.float32)
        arrays[f"colours_{index}"] = np.asarray(colours, dtype=np.float32)
    return list(models.movable), arrays


class DoorEstimator:
    """An estimator of poses behind a door, such as FoundationPose; gives it the poses that it last trusted."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._last: dict[str, list[float]] = {}

    def forget(self) -> None:
        """Begin the next look without knowing where anything was."""
        self._last = {}

    def remember(self, poses: Mapping[str, np.ndarray]) -> None:
        """Begin the next look from poses {name: (7,)}."""
        self._last = {name: [float(v) for v in pose] for name, pose in poses.items()}

    def estimate(self, view: View, models: Scene) -> dict[str, Estimate]:
        """See `Estimator`; EstimateRefused with the server's reasons, DoorError if there is no answer."""
        names, arrays = _objects(models)
        asked = view_message(view)
        content = {**asked.content, "objects": names, "scene": models.to_dict(), "last": self._last}
        answer = self._door.ask("poses", Message(content, {**asked.arrays, **arrays}))
        poses = _mapping(self._door, answer, "poses")
        refused = {name: str(why) for name, why in _mapping(self._door, answer, "refused", {}).items()}
        estimates = {n: self._estimate(n, poses[n], refused.get(n, "")) for n in names if n in poses}
        missing = [n for n in names if n not in poses]
        problems = [e.why for e in estimates.values() if e.why]
        problems += [refused.get(n, f"{n} was not found by {self._door.name}") for n in missing]
        if problems:
            raise EstimateRefused("; ".join(problems), estimates)
        self.remember({name: found.pose for name, found in estimates.items()})
        return estimates

    def _estimate(self, name: str, found: Any, why: str) -> Estimate:
        try:
            pose = _pose(found["pose"])
            return Estimate(pose, confidence=0.0 if why else float(found.get("confidence", 1.0)), why=why)
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            told = f"the pose of {name!r} from {self._door.name} is not used: {error}"
            raise DoorError(told if isinstance(error, ValueError) else f"{told} is missing") from None


class DoorSegmenter:
    """Masks from behind a door: of a SAM, which needs the names alone, or of what knows objects by their shape."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def segment(self, view: View, models: Scene) -> dict[str, np.ndarray]:
        """See `Segmenter`; DoorError if there is no answer, or none that can be used."""
        asked = view_message(view)
        names = models.movable
        content = {**asked.content, "objects": list(names), "scene": models.to_dict()}
        answer = self._door.ask("masks", Message(content, asked.arrays))
        masks = {}
        for index, (camera, image) in enumerate(view.cameras.items()):
            if f"mask_{index}" not in answer.arrays:
                continue
            mask = _array(self._door, answer, f"mask_{index}", image.rgb.shape[:2], "iu")
            if mask.min() < -1 or mask.max() >= len(names):
                raise DoorError(
                    f"the mask of {camera} from {self._door.name} holds {int(mask.min())} to {int(mask.max())}; it is "
                    f"-1 for unknown and 0 to {len(names) - 1} for {', '.join(names)}"
                )
            masks[camera] = mask.astype(np.int32)
        return masks


def door_grasps(
    door: Door, points: np.ndarray, normals: np.ndarray, others: np.ndarray, scene: Scene
) -> GraspProposals:
    """Grasps of a cloud from behind a door, such as AnyGrasp's; as `propose_cloud_grasps`."""
    arrays = {
        name: np.asarray(value, dtype=np.float32)
        for name, value in (("points", points), ("normals", normals), ("others", others))
    }
    content = {"approach_axis": scene.approach_axis.tolist(), "approach_cone_rad": scene.approach_cone_rad}
    answer = door.ask("grasps", Message({**content, "scene": scene.to_dict()}, arrays))
    found = answer.content.get("grasps")
    if not isinstance(found, list):
        raise DoorError(f"the answer of {door.name} has no list of grasps")
    try:
        grasps = [Grasp(_pose(g["tcp_pose"]), _width(g["width_m"]), float(g.get("score", 0.0))) for g in found]
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise DoorError(f"a grasp of {door.name} is not used: {error}") from None
    reason = "" if grasps else shown(answer.content.get("reason", "the server gave no reason"))
    return GraspProposals(tuple(sorted(grasps, key=lambda g: -g.score)), reason)


def door_mesh(
    door: Door, pictures: Sequence[tuple[np.ndarray, np.ndarray]], K: np.ndarray, masks: Sequence[np.ndarray] = ()
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices (V, 3), faces (F, 3), colours (V, 3) from behind a door, such as BundleSDF's.

    `pictures` are pairs of rgb (H, W, 3) uint8 and depth (H, W) in metres of one camera on its way, `masks` (H, W) of
    the object in each, or none.
    """
    arrays: dict[str, np.ndarray] = {"K": np.asarray(K, dtype=float)}
    for index, (rgb, depth_m) in enumerate(pictures):
        arrays[f"rgb_{index}"] = np.asarray(rgb, dtype=np.uint8)
        arrays[f"depth_{index}"] = np.clip(np.round(depth_m / DEPTH_UNIT_M), 0, 65535).astype(np.uint16)
    for index, mask in enumerate(masks):
        arrays[f"mask_{index}"] = np.asarray(mask, dtype=np.uint8)
    answer = door.ask("mesh", Message({"num_pictures": len(pictures)}, arrays))
    vertices = _array(door, answer, "vertices", (None, 3), "f").astype(float)
    faces = _array(door, answer, "faces", (None, 3), "iu").astype(int)
    colours = np.clip(_array(door, answer, "colours", (len(vertices), 3), "f").astype(float), 0, 1)
    if not 0 < len(faces) <= _MAX_FACES or faces.min() < 0 or faces.max() >= len(vertices):
        raise DoorError(f"the mesh of {door.name} has {len(faces)} faces, or one of a vertex that it lacks")
    if not is_closed(faces):
        raise DoorError(f"the mesh of {door.name} is not watertight")
    return vertices, faces, colours


def _mapping(door: Door, answer: Message, name: str, default: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    found = answer.content.get(name, default)
    if not isinstance(found, Mapping):
        raise DoorError(f"the answer of {door.name} has no {name} by object")
    return found


def _array(door: Door, answer: Message, name: str, shape: tuple[int | None, ...], kinds: str) -> np.ndarray:
    try:
        return answer.array(name, shape, kinds)
    except ValueError as error:
        raise DoorError(f"the answer of {door.name} cannot be used: {error}") from None


def _pose(value: Any) -> np.ndarray:
    """Seven finite numbers of which the last four are a unit quaternion; ValueError if not."""
    try:
        pose = np.array(value, dtype=float)
    except (TypeError, ValueError):
        pose = np.zeros(0)
    if pose.shape != (7,) or not np.isfinite(pose).all() or abs(np.linalg.norm(pose[3:]) - 1) > _UNIT:
        raise ValueError(f"a pose is 7 finite numbers that end in a unit quaternion, not {shown(value)}")
    pose[3:] /= np.linalg.norm(pose[3:])
    return pose


def _width(value: Any) -> float:
    width = float(value)
    if not 0 <= width <= _MAX_WIDTH_M:
        raise ValueError(f"the width of a grasp is 0 to {_MAX_WIDTH_M} m, not {shown(value)}")
    return width
