"""What configurations inherit, what `$name` stands for, how much a task may hold, and that programs may be left out."""

import copy

import gymnasium as gym
import numpy as np
import pytest
from plain_task import TASK

import iker_envs  # noqa: F401  registers the ids
from iker_agent.backends import make_vlm
from iker_agent.config import make_config
from iker_envs.documents import yaml_text
from iker_envs.task import load_task, parse_task


def _with(**changes) -> dict:
    return {**copy.deepcopy(TASK), **changes}


def _instruction(text: str, **values) -> str:
    return parse_task(_with(instruction=text, values=values)).configurations[0].instruction


def _refused(data: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        parse_task(data)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 800


@pytest.mark.parametrize(
    ("text", "values", "meant"),
    [
        ("go $x cm", {"x": 5}, "go 5 cm"),
        ("go ${x}cm", {"x": 5.0}, "go 5.0cm"),
        ("$x$y", {"x": 1, "y": "a"}, "1a"),
        ("pay $$5", {}, "pay $5"),
        ("$$x", {"x": 1}, "$x"),
        ("$x", {"x": "whole"}, "whole"),
        ("${x}", {"x": "whole"}, "whole"),
        ("go $x", {"x": "$y", "y": 3}, "go $y"),
        ("go $X", {"X": 1, "x": 2}, "go 1"),
        ("it is $x", {"x": True}, "it is True"),
        ("at $x", {"x": [1, 2]}, "at [1, 2]"),
    ],
)
def test_a_dollar_and_a_name_stand_for_a_value(text, values, meant):
    assert _instruction(text, **values) == meant


@pytest.mark.parametrize("written", ["$y", "${y}"])
def test_a_value_that_is_the_whole_text_stays_a_number(written):
    stages = copy.deepcopy(TASK["stages"])
    stages[0]["goal"]["position_m"] = [0, written, 0.1]
    task = parse_task(_with(stages=stages, values={"y": 0.25}, configurations=[{}, {"values": {"y": -0.05}}]))
    assert [c.stages[0].goal.position_m[1] for c in task.configurations] == [0.25, -0.05]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"instruction": "go $y", "values": {"x": 1}}, "'y' has no value in this configuration; values: x"),
        ({"instruction": "$y"}, "'y' has no value in this configuration; values: none"),
        ({"instruction": "pay 5 $"}, r"has a \$ that begins no name"),
        ({"instruction": "pay $5"}, r"has a \$ that begins no name"),
        ({"values": {"größe": 1}}, "a value's name is letters from a to z, digits and _, not 'größe'"),
        ({"values": {"a-b": 1}}, "not 'a-b'"),
        ({"values": {"": 1}}, "not ''"),
        ({"values": {"x": None}}, "the value 'x' is a number, a text, true, false or a list, not None"),
        ({"values": {"x": {"y": 1}}}, "the value 'x' is a number"),
        ({"configurations": 0}, "configurations is a list of what each changes, not 0"),
        ({"configurations": {}}, "configurations is a list"),
        ({"configurations": [{"values": 3}]}, "values is a mapping from names, not 3"),
        ({"configurations": [{}] * 501}, "a task has at most 500 configurations, not 501"),
        ({"objects": {f"o{i}": {} for i in range(51)}}, "a task has at most 50 objects, not 51"),
        ({"episode_s": float("inf")}, "Task.episode_s is a finite number, not inf"),
        ({"approach_cone_deg": "wide"}, "Task.approach_cone_deg is of type float, not 'wide'"),
        ({"episode_s": 10**400}, "Task.episode_s is a finite number"),
        ({"colour": 1, "size": 2}, "Task has no field 'colour', 'size'; it has: name"),
        ({"configurations": [{"objekts": {}, "goal": 1}]}, "Configuration has no field 'objekts', 'goal'"),
        (
            {"configurations": [{"objects": {"hat": {}, "cap": {}}}]},
            "changes 'hat', 'cap'; the task's objects are: rack",
        ),
    ],
    ids=range(20),
)
def test_what_a_task_cannot_say_is_told(changes, words):
    _refused(_with(**changes), words)


def test_unknown_models_and_objects_are_told_at_reading():
    data = _with()
    data["objects"]["box"]["model"] = "hat_box"
    data["objects"]["rack"]["model"] = "shelf"
    _refused(data, "no object model 'shelf', 'hat_box'; known: sneaker_left")
    for field in ("object", "relative_to"):
        data = _with()
        data["stages"][0]["goal"][field] = "sock"
        _refused(data, "a goal names the object 'sock'; the task's objects are: rack, box")
    data = _with()
    data["objects"]["hand"] = data["objects"]["box"]
    _refused(data, "an object cannot be called 'hand'; taken: ")


def test_a_fault_deep_in_a_task_says_where_it_is():
    data = _with(configurations=[{}, {"objects": {"box": {"yaw_deg": "ten"}}}])
    _refused(data, r"Task\.configurations\[1\]: Configuration\.objects\.box: Placement\.yaw_deg is of type float")


def test_values_cannot_blow_a_task_up():
    _refused(_with(values={"a": "x" * 100_000}, instruction="$a" * 1_000), "have more than 10000000 characters")
    stages = [{**TASK["stages"][0], "programs": {"keypoints": "x" * 100_000}}]
    _refused(_with(stages=stages, configurations=[{}] * 200), "have more than 10000000 characters, values filled in")


BOMB = "bomb: &b0 [1,1,1,1,1,1,1,1,1]\n" + "".join(
    f"b{i}: &b{i} [{','.join([f'*b{i - 1}'] * 9)}]\n" for i in range(1, 9)
)
PLACES = (
    "name", "id", "description", "workspace_m", "instruction", "objects", "values", "stages", "configurations",
    "episode_s", "approach_axis",
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_an_alias_bomb_is_told_wherever_it_stands_in_a_task(tmp_path, place):
    path = tmp_path / "task.yaml"
    path.write_text(BOMB + yaml_text({k: v for k, v in TASK.items() if k != place}) + f"{place}: *b8\n")
    with pytest.raises(ValueError, match=r"task\.yaml', line 5: more than 20000 keys and values"):
        load_task(path)


def test_a_value_at_the_wrong_place_is_told_and_not_repeated_whole(tmp_path):
    for place in set(PLACES) - {"values"}:  # these may be many and long
        path = tmp_path / "task.yaml"
        path.write_text(yaml_text({**TASK, place: {f"k{i}": "x" * 30 for i in range(5_000)}}))
        with pytest.raises(ValueError) as caught:
            load_task(path)
        assert "\n" not in str(caught.value) and len(str(caught.value)) < 4_000


NUMBERS = {"-5e-2": -0.05, "1e-1": 0.1, "010": 10.0, "0o10": 8.0, "+.5": 0.5, "0": 0.0}
NO_NUMBERS = ("1:30", "-0,05", "no", "off", "true", ".nan", ".inf", "'1'", "1_0", "null", "[1]", "2024-01-01")


@pytest.mark.parametrize("written", (*NUMBERS, *NO_NUMBERS))
def test_numbers_of_a_task_are_those_of_yaml_1_2(tmp_path, written):
    path = tmp_path / "task.yaml"
    rest = yaml_text({k: v for k, v in TASK.items() if k != "stages"})
    goal = (
        "object: box\n    relative_to: rack\n    position_m:\n    - 0\n    - NUMBER\n    - 0.1\n    yaw_deg: NUMBER\n"
    )
    goal = goal.replace("NUMBER", written)
    path.write_text(f"{rest}stages:\n- goal:\n    {goal}")
    if written in NUMBERS:
        read = load_task(path).configurations[0].stages[0].goal
        assert read.position_m[1] == read.yaw_deg == NUMBERS[written]
    else:
        with pytest.raises(ValueError, match=r"GoalSpec\.(position_m|yaw_deg) "):
            load_task(path)


def test_a_task_without_programs_is_an_environment_and_a_model_may_write_them(tmp_path):
    path = tmp_path / "plain.yaml"
    path.write_text(yaml_text(TASK))
    task = load_task(path)
    assert not task.configurations[0].stages[0].programs
    env = gym.make("IKER-Stage-v0", task=str(path))
    try:
        observation, _ = env.reset(seed=0)
        assert env.observation_space.contains(np.asarray(observation))
    finally:
        env.close()
    assert make_vlm(make_config(["ask.model=some", "ask.base_url=http://127.0.0.1:1/v1"], vlm="openai"), task)
    with pytest.raises(ValueError, match="stage 1 of plain has no annotated program for the keypoints contract"):
        make_vlm(make_config(task=str(path)), task)
