"""The contracts of the world: objects, a scene of them, a goal in it, what a camera sees, how an episode ended.

    Scene + Goal  ->  an environment (a task is a scene, a goal and a randomisation)
    View          ->  what the agent looks at, numbered and sent to a vision-language model
    Outcome       ->  what `finish()` measured

Frames: everything is in the robot base frame (+x forward, +y left, +z up, z = 0 the table top) unless a name says
otherwise. Poses are (x, y, z, qw, qx, qy, qz); metres, radians, kilograms, seconds.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from scipy.spatial.transform import Rotation

from iker_envs.contract import Contract, check_name, check_number
from iker_envs.events import Event
from iker_envs.geometry import IDENTITY_QUATERNION, Array, pose_apply, rotation_matrix

_GRIPPER_JOINTS = ("x", "y", "z", "pitch", "roll", "tool_yaw")
RESERVED_NAMES = (  # of bodies and joints in every model
    *("world", "hand", "finger_left", "finger_right", *_GRIPPER_JOINTS),
    *(f"gripper_{joint}" for joint in _GRIPPER_JOINTS),
)
# Tool straight down, closing direction along the base's y axis.
HOME_GRIPPER_QUATERNION = (0.0, 1.0, 0.0, 0.0)


def _check(is_so: bool | np.bool_, what: str, value: object) -> None:
    if not is_so:
        raise ValueError(f"{what}, not {value!r}")


@dataclass(frozen=True, eq=False)
class ObjectModel(Contract):
    """What an object is, wherever it stands: a parametric shape with a mass.

    Body frame: origin at the centre of the bounding box, +x forward (the toe of a shoe; for a book from the spine to
    the fore-edge), +z up (for a book the top edge, as it stands on a shelf). `size_m` (3,) is the bounding box along
    these axes.
    """

    SHAPES: ClassVar = {"size_m": (3,), "rgba": (4,)}

    name: str
    shape: str  # a key of iker_envs.objects.shapes.SHAPES
    size_m: np.ndarray
    mass_kg: float = 0.0
    friction: float = 0.6
    side: str = ""  # "left" or "right" for a shoe
    rgba: np.ndarray = field(default_factory=lambda: np.array([0.6, 0.6, 0.6, 1.0]))
    source: str = ""  # where size and mass come from
    mesh: str = ""  # path of an .obj or .stl, for shape "mesh"; of the .ply that is drawn in the place of another one
    mesh_scale: float = 1.0  # metres per unit of the mesh

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name("an object's name", self.name)
        what = f"of {self.name!r}"
        _check(np.all(self.size_m > 0), f"size_m {what} is above 0 in every direction", self.size_m.tolist())
        check_number(f"mass_kg {what}", self.mass_kg, least=0)
        check_number(f"friction {what}", self.friction, least=0)
        _check(np.all((self.rgba >= 0) & (self.rgba <= 1)), f"rgba {what} is in [0, 1]", self.rgba.tolist())
        check_number(f"mesh_scale {what}", self.mesh_scale, above=0)

    def half_height_m(self, quaternion: Array) -> Array:
        """Half of the vertical extent in metres (...) of the bounding box, turned by quaternions (..., 4)."""
        return half_height_m(self.size_m, quaternion)

    def control_keypoints_m(self) -> np.ndarray:
        """The 4 control keypoints (4, 3) in the body frame: the ends of the two longest axes through the centre."""
        longest, second = sorted(np.argsort(-self.size_m, kind="stable")[:2])
        points = np.zeros((4, 3))
        points[0, longest] = self.size_m[longest] / 2
        points[1, longest] = -self.size_m[longest] / 2
        points[2, second] = self.size_m[second] / 2
        points[3, second] = -self.size_m[second] / 2
        return points


@dataclass(frozen=True, eq=False)
class SceneObject(Contract):
    """An object model at a pose (7,). Furniture (`movable=False`) never moves."""

    SHAPES: ClassVar = {"pose": (7,)}

    model: ObjectModel
    pose: np.ndarray
    movable: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        light = f"mass_kg of {self.name!r}, which is movable, is above 0"
        _check(self.model.mass_kg > 0 or not self.movable, light, self.model.mass_kg)

    @property
    def name(self) -> str:
        return self.model.name

    def keypoints_world_m(self) -> np.ndarray:
        """The control keypoints (4, 3) in the base frame."""
        return pose_apply(self.pose, self.model.control_keypoints_m())


@dataclass(frozen=True, eq=False)
class Camera(Contract):
    """A pinhole camera: `pose_world` (7,) has its x axis to the image's right, y down, z into the scene (OpenCV)."""

    SHAPES: ClassVar = {"pose_world": (7,)}

    name: str
    pose_world: np.ndarray
    width: int = 640
    height: int = 480
    fov_y_rad: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name("a camera's name", self.name)
        size = f"width and height of camera {self.name!r} are above 0"
        _check(self.width > 0 and self.height > 0, size, (self.width, self.height))
        _check(0 < self.fov_y_rad < np.pi, f"fov_y_rad of camera {self.name!r} is between 0 and pi", self.fov_y_rad)

    def intrinsics(self) -> np.ndarray:
        """K (3, 3) in pixels; pixel centres are at half-integers."""
        focal = 0.5 * self.height / np.tan(0.5 * self.fov_y_rad)
        return np.array([[focal, 0, self.width / 2], [0, focal, self.height / 2], [0, 0, 1.0]])


@dataclass(frozen=True, eq=False)
class Scene(Contract):
    """Objects in the base frame, the cameras that see them, and the box (2, 3) that the tool centre may move in.

    The tool's approach axis stays within `approach_cone_rad` of `approach_axis` (3,), a unit vector: straight down
    unless the task grasps from the front.
    """

    SHAPES: ClassVar = {"workspace_m": (2, 3), "approach_axis": (3,)}

    objects: tuple[SceneObject, ...]
    cameras: tuple[Camera, ...]
    workspace_m: np.ndarray
    query_camera: str = "front"
    approach_axis: np.ndarray = field(default_factory=lambda: np.array([0.0, 0.0, -1.0]))
    approach_cone_rad: float = float(np.deg2rad(40.0))

    def __post_init__(self) -> None:
        super().__post_init__()
        names = [o.name for o in self.objects]
        cameras = [c.name for c in self.cameras]
        for kind, group in (("objects", names), ("cameras", cameras)):
            if twice := [name for name in group if group.count(name) > 1]:
                raise ValueError(f"two {kind} of a scene are called {twice[0]!r}; give each its own name")
        for name in names:
            if name in RESERVED_NAMES:
                raise ValueError(f"an object cannot be called {name!r}; taken: {', '.join(RESERVED_NAMES)}")
        known = f"query_camera is one of the scene's cameras ({', '.join(cameras) or 'there is none'})"
        _check(self.query_camera in cameras, known, self.query_camera)
        length = float(np.linalg.norm(self.approach_axis))
        _check(abs(length - 1) < 1e-3, "approach_axis is a unit vector", self.approach_axis.tolist())
        _check(0 < self.approach_cone_rad <= np.pi, "the approach cone is above 0 up to pi", self.approach_cone_rad)
        low, high = self.workspace_m
        _check(np.all(low < high), "workspace_m is [low, high] with low < high", self.workspace_m.tolist())

    @property
    def movable(self) -> tuple[str, ...]:
        """Names of the objects that can move, in order."""
        return tuple(o.name for o in self.objects if o.movable)

    def object(self, name: str) -> SceneObject:
        """The object called `name`; KeyError names the ones there are."""
        for candidate in self.objects:
            if candidate.name == name:
                return candidate
        raise KeyError(f"no object {name!r} in the scene; it has: {', '.join(o.name for o in self.objects)}")

    def with_poses(self, poses: Mapping[str, np.ndarray]) -> Scene:
        """The same scene with objects moved to the given poses {name: (7,)}."""
        for name in poses:
            self.object(name)
        moved = (replace(o, pose=poses[o.name]) if o.name in poses else o for o in self.objects)
        return replace(self, objects=tuple(moved))


@dataclass(frozen=True, eq=False)
class Goal(Contract):
    """Where one object should go: `target_pose` (7,) of the body frame, by pushing or by grasping.

    `raw_targets_m` keeps what a program literally asked for, label -> xyz, before it was projected onto a rigid motion.
    `annotated_pose` is the task's own target where there is one; outcomes are also measured against it.
    """

    SHAPES: ClassVar = {"target_pose": (7,), "annotated_pose": (7,), "raw_targets_m": (3,)}

    object: str
    target_pose: np.ndarray
    grasp: bool = False
    instruction: str = ""
    raw_targets_m: dict[str, np.ndarray] = field(default_factory=dict)
    annotated_pose: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Grasp(Contract):
    """A parallel-jaw grasp: tool-centre pose (7,), width between the two contact surfaces, score in [0, 1]."""

    SHAPES: ClassVar = {"tcp_pose": (7,)}

    tcp_pose: np.ndarray
    width_m: float
    score: float = 0.0


@dataclass(frozen=True, eq=False)
class Image(Contract):
    """One camera's picture: rgb (H, W, 3) uint8, depth_m (H, W) along the optical axis (0 = nothing), segmentation
    (H, W) int32 index of the scene's object or -1, K (3, 3), T_world_cam (7,) OpenCV axes, time in seconds (in
    simulation since the world was last reset)."""

    INTEGERS: ClassVar = ("segmentation",)

    rgb: np.ndarray
    depth_m: np.ndarray
    K: np.ndarray
    T_world_cam: np.ndarray
    stamp_s: float = 0.0
    segmentation: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class View(Contract):
    """What the robot sees from its look pose, hand empty: images by camera name and which one the query is drawn on.

    `true_poses` (object -> (7,)) exists in simulation only; the estimator "truth" (iker_envs.perception) perturbs it.
    """

    SHAPES: ClassVar = {"true_poses": (7,)}

    cameras: dict[str, Image]
    query: str
    true_poses: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def image(self) -> Image:
        """The query camera's image."""
        return self.cameras[self.query]


@dataclass(frozen=True, eq=False)
class Outcome(Contract):
    """How a stage ended, measured after the hand opened, retreated and everything came to rest.

    Errors are mean distances over the 4 control keypoints in metres: `goal_error_m` to the target that was used,
    `annotated_error_m` to the task's annotated target (None where there is none). `success` is the paper's measure
    (<= 5 cm from the annotated target where there is one), `success_strict` adds <= 3 cm from the target that was used,
    tilt and heading <= 15 degrees and no other object moved > 2 cm.
    """

    success: bool
    success_strict: bool
    goal_error_m: float
    tilt_rad: float
    heading_rad: float
    others_moved_m: float
    annotated_error_m: float | None = None
    reason: str = ""  # one sentence on what went wrong; empty when nothing did
    num_steps: int = 0
    object_poses: dict[str, np.ndarray] = field(default_factory=dict)
    grasped: bool = True  # False where the hand should have held the object when the policy began, and did not
    happened: tuple[Event, ...] = ()  # causes first; side effects of a success, too


def half_height_m(size_m: Array, quaternion: Array) -> Array:
    """Half of the vertical extents in metres (...) of boxes of sizes (..., 3), turned by quaternions (..., 4)."""
    return np.sum(np.abs(rotation_matrix(quaternion)[..., 2, :]) * size_m, axis=-1) / 2


def turned_pose(position_m: np.ndarray, roll_pitch_yaw_rad: Iterable[float]) -> np.ndarray:
    """Pose (7,) at a position (3,), turned about the fixed x, then y, then z axis by angles (3,)."""
    return turned_poses(np.array([position_m], dtype=float), np.array([[*roll_pitch_yaw_rad]], dtype=float))[0]


def turned_poses(position_m: np.ndarray, roll_pitch_yaw_rad: np.ndarray) -> np.ndarray:
    """As `turned_pose`, (M, 7), at positions (M, 3) by angles (M, 3)."""
    xyzw = Rotation.from_euler("xyz", roll_pitch_yaw_rad).as_quat(canonical=True)
    return np.concatenate([position_m, np.roll(xyzw, 1, axis=-1)], axis=-1)


def position_and_angles(pose: np.ndarray) -> tuple[float, ...]:
    """x, y, z, roll, pitch, yaw in metres and radians of a pose (7,): the inverse of `turned_pose`."""
    with warnings.catch_warnings():  # at a pitch of 90 degrees roll and yaw are one turn; any split of it will do
        warnings.filterwarnings("ignore", "Gimbal lock")
        angles_rad = Rotation.from_quat(np.roll(pose[3:], -1)).as_euler("xyz")
    return tuple(float(value) for value in (*pose[:3], *angles_rad))


def upright_pose(position_m: np.ndarray, yaw_rad: float = 0.0) -> np.ndarray:
    """Pose (7,) of an upright body at a position (3,), turned by an angle about +z."""
    quaternion = np.array([np.cos(yaw_rad / 2), 0.0, 0.0, np.sin(yaw_rad / 2)]) if yaw_rad else IDENTITY_QUATERNION
    return np.concatenate([np.asarray(position_m, dtype=float), quaternion])
