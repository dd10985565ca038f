"""A contract's values are checked alike whichever way it is made, and checks say what a value may be."""

import base64
import io

import numpy as np
import pytest

from iker_envs.contract import check_index, check_number, check_whole
from iker_envs.randomisation import Randomisation
from iker_envs.scene import Goal, Grasp, Image, ObjectModel, Outcome, Scene, upright_pose
from iker_envs.task import GoalSpec, Placement, StageSpec

POSE = upright_pose([0.3, -0.1, 0.2])


def _npy(array: np.ndarray) -> str:
    stream = io.BytesIO()
    np.save(stream, array)
    return base64.b64encode(stream.getvalue()).decode()


def _huge_npy() -> str:
    """A file of a hundred bytes that promises an array of eight petabytes."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000,), }\n"
    return base64.b64encode(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header).decode()


WRONG = [
    (Grasp, {"tcp_pose": POSE, "width_m": float("inf")}, r"Grasp\.width_m is a finite number, not inf"),
    (Grasp, {"tcp_pose": POSE, "width_m": float("nan")}, r"Grasp\.width_m is a finite number, not nan"),
    (Grasp, {"tcp_pose": POSE, "width_m": 10**400}, r"Grasp\.width_m is a finite number, not 1000"),
    (Grasp, {"tcp_pose": POSE, "width_m": "0.05"}, r"Grasp\.width_m is of type float, not '0\.05'"),
    (Grasp, {"tcp_pose": [0, 0, 0, True, 0, 0, 0], "width_m": 1}, r"Grasp\.tcp_pose is a list of numbers, not \[0, "),
    (Grasp, {"tcp_pose": ["a"] * 7, "width_m": 1}, r"Grasp\.tcp_pose is a list of numbers"),
    (Grasp, {"tcp_pose": np.array(["a"] * 7), "width_m": 1}, r"Grasp\.tcp_pose is a list of numbers"),
    (Grasp, {"tcp_pose": None, "width_m": 1}, r"Grasp\.tcp_pose is a list of numbers, not None"),
    (Grasp, {"tcp_pose": [[0.0]] * 5_000, "width_m": 1}, r"Grasp\.tcp_pose is an array of 7 finite numbers, not"),
    (Goal, {"object": "cup", "target_pose": POSE, "raw_targets_m": {"1": [0, True, 0]}}, "is a list of numbers"),
    (Goal, {"object": 5, "target_pose": POSE}, r"Goal\.object is of type str, not 5"),
    (StageSpec, {"goal": {"object": "a", "relative_to": "b"}}, r"StageSpec\.goal: GoalSpec lacks position_m"),
    (StageSpec, {"goal": 5}, r"StageSpec\.goal: GoalSpec is made from a mapping, not from int 5"),
    (StageSpec, {"goal": {}, "programs": {"poses": 5}}, r"StageSpec\.(goal|programs)"),
    (Scene, {"objects": [5], "cameras": [], "workspace_m": [[0] * 3, [1] * 3]}, r"objects\[0\]: SceneObject is made"),
    (Scene, {"objects": {"a": 1}, "cameras": [], "workspace_m": [[0] * 3, [1] * 3]}, r"Scene\.objects is a list, not"),
    (Placement, {"model": "box", "position_m": "here"}, r"Placement\.position_m is a list of numbers, not 'here'"),
]


@pytest.mark.parametrize(("kind", "fields", "words"), WRONG, ids=range(len(WRONG)))
def test_both_ways_of_making_a_contract_refuse_alike(kind, fields, words):
    for make in (lambda: kind(**fields), lambda: kind.from_dict(fields)):
        with pytest.raises(ValueError, match=words) as caught:
            make()
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_both_ways_of_making_a_contract_give_the_same():
    fields = {"goal": {"object": "cup", "relative_to": "shelf", "position_m": [1, 2, 3], "yaw_deg": 5}}
    for stage in (StageSpec(**fields), StageSpec.from_dict(fields)):
        assert type(stage.goal) is GoalSpec and type(stage.goal.yaw_deg) is float
        assert stage.goal.position_m.dtype == np.float64 and not stage.goal.position_m.flags.writeable
        assert dict(stage.programs) == {}


@pytest.mark.parametrize(
    "packed", [_huge_npy(), _npy(np.array(["a"])), base64.b64encode(b"PK\x03\x04" * 9).decode(), 5]
)
def test_a_packed_array_that_cannot_be_one_is_refused(packed):
    fields = {"depth_m": np.zeros((2, 2)), "K": np.eye(3), "T_world_cam": POSE}
    with pytest.raises(ValueError, match=r"Image\.rgb is a list of numbers"):
        Image.from_dict({**fields, "rgb": {"npy_base64": packed}})


def test_all_unknown_fields_are_named_at_once():
    with pytest.raises(ValueError, match=r"ObjectModel has no field 'colour', 'weight'; it has: name, shape, size_m"):
        ObjectModel.from_dict({"colour": 1, "name": "cup", "weight": 2})
    with pytest.raises(ValueError, match="and 60 more; it has") as caught:
        ObjectModel.from_dict({f"field {i}": 1 for i in range(100)})
    assert len(str(caught.value)) < 1_000


def test_integers_stay_integers_where_they_are_meant_to_be():
    outcome = {"success": True, "success_strict": True, "goal_error_m": 0, "tilt_rad": 0, "heading_rad": 0}
    made = Outcome.from_dict({**outcome, "others_moved_m": 0, "num_steps": np.int64(3)})
    assert type(made.num_steps) is int and type(made.goal_error_m) is float
    with pytest.raises(ValueError, match=r"Outcome\.num_steps is of type int, not 3\.0"):
        Outcome.from_dict({**outcome, "others_moved_m": 0, "num_steps": 3.0})


def test_ranges_given_as_texts_are_refused_whichever_way_they_come():
    for make in (Randomisation, lambda ranges: Randomisation.from_dict({"ranges": ranges})):
        with pytest.raises(ValueError, match="mass"):
            make({"mass": ["low", "high"]})


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (lambda: check_number("it", -1, least=0), "it is a finite number of at least 0, not -1"),
        (lambda: check_number("it", 0, above=0), "it is a finite number above 0, not 0"),
        (lambda: check_number("it", float("inf"), above=0), "it is a finite number above 0, not inf"),
        (lambda: check_number("it", True), "it is a finite number, not True"),
        (lambda: check_number("it", 10**400), "it is a finite number, not 1000"),
        (lambda: check_number("it", "1"), "it is a finite number, not '1'"),
        (lambda: check_whole("it", 2.0, 1), r"it is a whole number of at least 1, not 2\.0"),
        (lambda: check_whole("it", 0, 1), "it is a whole number of at least 1, not 0"),
        (lambda: check_whole("it", True, 0), "it is a whole number of at least 0, not True"),
        (lambda: check_index("stage", 3, 3, "it has"), "stage 3 does not exist; it has 0 to 2"),
        (lambda: check_index("stage", -1, 3, "it has"), "stage -1 does not exist"),
        (lambda: check_index("stage", "1", 3, "it has"), "stage '1' does not exist"),
        (lambda: check_index("stage", True, 3, "it has"), "stage True does not exist"),
    ],
    ids=range(13),
)
def test_a_check_says_what_a_value_is_and_what_it_may_be(check, words):
    with pytest.raises(ValueError, match=words):
        check()


def test_a_check_returns_a_plain_number():
    values = (
        check_number("it", np.float32(0.5), least=0),
        check_whole("it", np.int64(2), 0),
        check_index("it", 0, 1, ""),
    )
    assert values == (0.5, 2, 0) and [type(v) for v in values] == [float, int, int]
