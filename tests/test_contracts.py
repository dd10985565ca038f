"""Every contract survives JSON, YAML and pickling, is read-only, and says in one sentence what is wrong with it."""

import copy
import dataclasses
import importlib
import json
import pickle
import pkgutil
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import yaml

import iker_agent
import iker_envs
import real_env
from iker_agent.disturb import Disturbance
from iker_agent.seeing.keypoints import Keypoints
from iker_agent.vlm.types import Message, Part, Reply, Request
from iker_envs.contract import Contract
from iker_envs.events import By, Event, EventKind, Phase
from iker_envs.perception import Estimate, FusedEstimate
from iker_envs.physics.mujoco_model import build_model
from iker_envs.randomisation import Randomisation
from iker_envs.scene import (
    RESERVED_NAMES,
    Camera,
    Goal,
    Grasp,
    Image,
    ObjectModel,
    Outcome,
    Scene,
    SceneObject,
    View,
    upright_pose,
)
from iker_envs.task import Configuration, GoalSpec, Placement, StageSpec, Task
from real_env.calibration import Calibration, CameraCalibration
from real_env.config import ArmConfig, CameraConfig, CapsConfig, LabConfig, RealConfig

PACKAGES = (iker_envs, iker_agent, real_env)
POSE = upright_pose([0.3, -0.1, 1 / 3], 0.7)
RNG = np.random.default_rng(0)


def _examples() -> list[Contract]:
    """One of each, no field left at its default."""
    size = np.array([0.1, 0.2, 0.3])
    colour = np.array([0, 0.2, 1, 1])
    model = ObjectModel("cup", "box", size, 0.4, 0.5, "left", colour, "a shelf", "cup.obj", 0.001)
    thing = SceneObject(model, POSE, movable=False)
    camera = Camera("eye", POSE, 64, 48, 0.75)
    scene = Scene((thing,), (camera,), np.array([[0, -1, 0.1], [1.0, 1, 2]]), "eye", np.array([1.0, 0, 0]), 0.5)
    large = RNG.integers(0, 256, (24, 32, 3)).astype(np.uint8)
    image = Image(large, RNG.random((24, 32)), np.eye(3), POSE, 1.5, np.full((24, 32), -1.0))
    goal = GoalSpec("cup", "shelf", np.array([0.1, 0, 0.2]), 30.0, True, -90.0, 10.0)
    place = Placement("mug", np.array([0.4, 0, 0]), 15.0, "shelf", False, np.array([0.01, 0.02]), 5.0, -90.0, 10.0)
    event = Event(EventKind.BLOCKED, "cup", "shelf", 0.06, 10.0, "to the left", Phase.ACTING, By.ITSELF, "by force")
    box = np.array([[0, 0, 0], [1.0, 1, 1]])
    forward = np.array([1.0, 0, 0])
    stage = StageSpec(goal, {"keypoints": "def f():\n    return None\n"})
    configuration = Configuration({"cup": place}, "Put it: there", (stage,), "on(cup, table)")
    part = Part("look", large, "view.png")
    arm = ArmConfig("127.0.0.1", 30502)
    seen_by = CameraConfig("123", 320, 240, 15)
    caps = CapsConfig(0.01, 0.005)
    lab = LabConfig(4242, "secret", "127.0.0.2", 4243, 0.002, 1.0)
    of_camera = CameraCalibration("123", 320, 240, np.eye(3), POSE, "wrist", np.full(5, 0.1), 8000, 0.2, 0.001, 15)
    return [
        event, model, thing, camera, scene, image, goal, place, stage, configuration, part,
        Goal("cup", POSE, True, "go", {"1": np.array([1.0, 2, 3])}, POSE),
        Grasp(POSE, 0.06, 0.5),
        Estimate(POSE, 0.5, 0.002, 0.75, "seen by one camera"),
        FusedEstimate(POSE, 0.5, 0.002, 0.75, "seen by one camera", 3),
        arm, seen_by, caps, lab, of_camera,
        RealConfig(
            arm, {"query": seen_by}, "cell.json", "query", box, caps, 0.5, 2, (0.1,) * 7, (0.2,) * 7, 0.25, True, 0.75,
            2.0, 15.0, "lab", lab,
        ),
        Calibration("2026-11-26", {"query": of_camera}, "by hand"),
        View({"eye": image}, "eye", {"cup": POSE}),
        Outcome(True, False, 0.01, 0.1, 0.2, 0.0, 0.03, "it fell", 12, {"cup": POSE}, False, (event,)),
        Randomisation({"mass": (0.5, 2.0)}),
        Task("cups", "IKER-Cups-v0", "One line.", (configuration,), box, 4.0, forward, 30.0, {"mug": model}),
        Keypoints(("1",), ("cup",), np.zeros((1, 3)), np.ones((1, 3)), np.array([[3.5, 4.5]]), (True,)),
        Message("user", (part,)),
        Request((Message("user", (part,)),), {"instruction": "go", "keypoints": {"1": [1.0, 2.0, 3.0]}}),
        Reply("text", "annotated", "human", 0.25, "length", {"prompt_tokens": 7.0}, ("temperature was left out",)),
        Disturbance("carry", "Someone takes it.", "shoe", np.array([0.3, 0.1]), 40.0, np.array([0.0, 0.1, 0.0]), 2, 1),
    ]  # fmt: skip


EXAMPLES = {type(example): example for example in _examples()}
every_contract = pytest.mark.parametrize("example", EXAMPLES.values(), ids=lambda e: type(e).__name__)


def _subclasses(cls: type) -> Iterator[type]:
    for child in cls.__subclasses__():
        yield child
        yield from _subclasses(child)


# They need an extra, or another Python, and declare no contract.
NOT_IMPORTED = ("iker_envs.physics.warp_", "iker_envs.physics.isaac.worker")


def _all_contracts() -> set[type]:
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.startswith(NOT_IMPORTED):
                importlib.import_module(module.name)
    names = {p.__name__ for p in PACKAGES}
    return {c for c in _subclasses(Contract) if c.__module__.split(".")[0] in names}


def assert_same(a: Any, b: Any) -> None:
    """Equal in value and in kind, arrays to the last bit."""
    if isinstance(a, Mapping):
        assert isinstance(b, Mapping) and list(a) == list(b)
        a = list(a.values())
        b = list(b.values())
    assert type(a) is type(b)
    if isinstance(a, Contract):
        for f in dataclasses.fields(a):
            assert_same(getattr(a, f.name), getattr(b, f.name))
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


def _arrays(value: Any) -> Iterator[np.ndarray]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, Contract):
        yield from (a for f in dataclasses.fields(value) for a in _arrays(getattr(value, f.name)))
    elif isinstance(value, (Mapping, tuple)):
        yield from (a for v in (value.values() if isinstance(value, Mapping) else value) for a in _arrays(v))


def test_every_contract_has_an_example_here():
    missing = {c.__name__ for c in _all_contracts()} - {c.__name__ for c in EXAMPLES}
    assert not missing, f"add an example of {', '.join(sorted(missing))} to tests/test_contracts.py"


@every_contract
def test_an_example_leaves_no_field_at_its_default(example):
    for f in dataclasses.fields(example):
        if f.default is not dataclasses.MISSING:
            assert getattr(example, f.name) is not f.default or isinstance(f.default, bool), f.name
        elif f.default_factory is not dataclasses.MISSING:
            value = getattr(example, f.name)
            default = f.default_factory()
            is_other = value.to_dict() != default.to_dict() if isinstance(value, Contract) else len(value)
            assert is_other, f.name


@every_contract
@pytest.mark.parametrize(
    "through", [lambda d: json.loads(json.dumps(d)), lambda d: yaml.safe_load(yaml.safe_dump(d))], ids=["json", "yaml"]
)
def test_round_trip(example, through):
    assert_same(type(example).from_dict(through(example.to_dict())), example)


@every_contract
@pytest.mark.parametrize("through", [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy], ids=["pickle", "copy"])
def test_copies_are_equal_and_read_only_too(example, through):
    again = through(example)
    assert_same(again, example)
    assert not any(a.flags.writeable for a in _arrays(again))


@every_contract
def test_nothing_can_be_written(example):
    for array in _arrays(example):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    for f in dataclasses.fields(example):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(example, f.name, None)
        if isinstance(value := getattr(example, f.name), Mapping):
            with pytest.raises(TypeError):
                value["new"] = 1


def test_a_contract_keeps_copies_of_what_it_is_given():
    position = np.array([0, 0, 0, 1.0, 0, 0, 0])
    targets = {"1": np.zeros(3)}
    goal = Goal("cup", position, raw_targets_m=targets)
    position[:] = 5
    targets["1"][:] = 5
    targets["2"] = np.ones(3)
    assert (
        goal.target_pose[3] == 1.0
        and not goal.target_pose[:3].any()
        and list(goal.raw_targets_m) == ["1"]
        and not goal.raw_targets_m["1"].any()
    )


@every_contract
def test_an_unknown_field_is_named_beside_the_known_ones(example):
    with pytest.raises(ValueError, match="has no field 'colour'") as caught:
        type(example).from_dict({**example.to_dict(), "colour": 1})
    assert all(f.name in str(caught.value) for f in dataclasses.fields(example))


@every_contract
def test_missing_fields_are_named(example):
    required = [
        f.name
        for f in dataclasses.fields(example)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    ]
    for name in required:
        rest = {k: v for k, v in example.to_dict().items() if k != name}
        with pytest.raises(ValueError, match=f"^{type(example).__name__} lacks {name}$"):
            type(example).from_dict(rest)


@pytest.mark.parametrize("data", [None, 5, "text", [1, 2]])
def test_what_is_no_mapping_is_refused(data):
    for cls in EXAMPLES:
        with pytest.raises(ValueError, match=f"{cls.__name__} is made from a mapping"):
            cls.from_dict(data)


def _wrong_values(annotation: Any) -> list[Any]:
    origin = typing.get_origin(annotation)
    args = typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        inner = next(a for a in args if a is not type(None))
        return [w for w in _wrong_values(inner) if w is not None]
    if origin is tuple:
        return ["text", 5, None, *([w] for w in _wrong_values(args[0]))]
    if origin is dict:
        return ["text", 5, [1], None, *({"k": w} for w in _wrong_values(args[1]))]
    if annotation is np.ndarray:
        return ["text", [[1.0], [1.0, 2.0]], {"a": 1}, ["x"]]
    if isinstance(annotation, type) and issubclass(annotation, Contract):
        return [5, "text", [1]]
    return {float: ["much", None, True, [1.0]], int: [1.5, "2", True], str: [5, None], bool: [1, "yes"]}.get(
        annotation, []
    )


@every_contract
def test_a_field_of_another_type_gives_one_sentence(example):
    cls = type(example)
    hints = typing.get_type_hints(cls)
    wrong = [(f.name, value) for f in dataclasses.fields(cls) for value in _wrong_values(hints[f.name])]
    assert wrong
    for name, value in wrong:
        with pytest.raises(ValueError) as caught:
            cls.from_dict({**example.to_dict(), name: value})
        sentence = str(caught.value)
        assert "\n" not in sentence and len(sentence) < 300
        assert f"{cls.__name__}.{name}" in sentence or repr(name) in sentence, sentence


@pytest.mark.parametrize("text", ["", "@@@", "AAAA"])
def test_packed_arrays_that_cannot_be_read_give_one_sentence(text):
    data = {**EXAMPLES[Image].to_dict(), "rgb": {"npy_base64": text}}
    with pytest.raises(ValueError, match=r"Image\.rgb"):
        Image.from_dict(data)


def test_whole_numbers_are_read_as_numbers():
    grasp = Grasp.from_dict({"tcp_pose": [0, 0, 0, 1, 0, 0, 0], "width_m": 1})
    assert type(grasp.width_m) is float and grasp.tcp_pose.dtype == np.float64


@pytest.mark.parametrize("text", ["1.5", "inf"])
def test_a_number_as_text_is_no_list_of_numbers(text):
    with pytest.raises(ValueError, match=r"Grasp\.tcp_pose is a list of numbers"):
        Grasp.from_dict({"tcp_pose": text, "width_m": 0.05})


CUP = {"name": "cup", "shape": "box", "size_m": [0.1, 0.1, 0.1], "mass_kg": 0.1}
EYE = {"name": "eye", "pose_world": POSE.tolist()}
ROOM = {
    "objects": [{"model": CUP, "pose": POSE.tolist()}],
    "cameras": [EYE],
    "workspace_m": [[0, 0, 0], [1, 1, 1]],
    "query_camera": "eye",
}
MEANINGLESS = [
    (ObjectModel, CUP, "name", " ", "is empty; a name has"),
    (ObjectModel, CUP, "size_m", [0, 1, 1], "above 0"),
    (ObjectModel, CUP, "mass_kg", -1.0, "at least 0"),
    (ObjectModel, CUP, "mass_kg", float("nan"), "not nan"),
    (ObjectModel, CUP, "friction", float("inf"), "finite"),
    (ObjectModel, CUP, "rgba", [2, 0, 0, 1], r"in \[0, 1\]"),
    (ObjectModel, CUP, "mesh_scale", 0, "above 0"),
    (Camera, EYE, "width", 0, "above 0"),
    (Camera, EYE, "fov_y_rad", 4.0, "between 0 and pi"),
    (Scene, ROOM, "objects", 2 * ROOM["objects"], "two objects of a scene are called 'cup'"),
    (Scene, ROOM, "objects", [{"model": {**CUP, "name": "hand"}, "pose": POSE.tolist()}], "cannot be called 'hand'"),
    (Scene, ROOM, "objects", [{"model": {**CUP, "mass_kg": 0}, "pose": POSE.tolist()}], "which is movable, is above 0"),
    (Scene, ROOM, "cameras", [], "there is none"),
    (Scene, ROOM, "cameras", [EYE, EYE], "two cameras of a scene are called 'eye'; give each its own name"),
    (Scene, ROOM, "query_camera", "front", "one of the scene's cameras"),
    (Scene, ROOM, "workspace_m", [[1, 1, 1], [0, 0, 0]], "low < high"),
    (Scene, ROOM, "approach_axis", [0, 0, -2], "unit vector"),
    (Scene, ROOM, "approach_cone_rad", 0, "above 0"),
]


@pytest.mark.parametrize(("cls", "sound", "name", "value", "words"), MEANINGLESS)
def test_what_makes_no_sense_is_told(cls, sound, name, value, words):
    cls.from_dict(sound)
    with pytest.raises(ValueError, match=words) as caught:
        cls.from_dict({**sound, name: value})
    assert "\n" not in str(caught.value)


def test_numpy_scalars_are_numbers_text_and_truth_values():
    goal = Goal.from_dict({"object": np.str_("cup"), "target_pose": POSE, "grasp": np.bool_(True)})
    grasp = Grasp(POSE, np.float32(0.5), np.int64(1))
    assert (type(goal.object), type(goal.grasp), type(grasp.width_m), type(grasp.score)) == (str, bool, float, float)
    with pytest.raises(ValueError, match=r"Goal\.grasp is of type bool, not 1"):
        Goal("cup", POSE, grasp=1)


def test_reserved_names_are_those_of_the_model():
    model = build_model(Scene.from_dict(ROOM))
    names = {model.body(i).name for i in range(model.nbody)} | {model.joint(i).name for i in range(model.njnt)}
    assert names - {"cup"} == set(RESERVED_NAMES)
