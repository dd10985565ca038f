"""Tasks as data: what a YAML file means, and how a faulty one is told in words that name the bad value."""

import copy
import os

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

import iker_envs
from iker_agent.cli import app
from iker_envs.measure import keypoint_error
from iker_envs.objects.library import object_library
from iker_envs.task import find_task, load_task, parse_task, task_names

NAMES = task_names()
PLAIN = {
    "name": "plain",
    "id": "IKER-Plain-v0",
    "description": "One line.",
    "workspace_m": [[0.2, -0.45, 0.02], [0.7, 0.45, 0.4]],
    "instruction": "Move the box",
    "objects": {
        "rack": {"model": "low_rack", "position_m": [0.66, 0, 0], "movable": False},
        "box": {"model": "shoe_box", "position_m": [0.4, 0.1, 0], "yaw_deg": 10.0},
    },
    "stages": [{"goal": {"object": "box", "relative_to": "rack", "position_m": [0, 0.2, 0.1]}, "programs": {}}],
}


def test_every_shipped_task_belongs_to_an_id_and_back():
    assert {load_task(name).id: name for name in NAMES} == iker_envs.TASKS


def test_start_poses_stay_in_their_ranges_and_fill_them():
    data = copy.deepcopy(PLAIN)
    data["objects"]["box"] |= {"position_range_m": [0.02, 0.05], "yaw_range_deg": 15}
    task = parse_task(data)
    poses = np.array([task.sample(np.random.default_rng(s)).object("box").pose for s in range(300)])
    shift = poses[:, :2] - [0.4, 0.1]
    yaw = np.rad2deg(2 * np.arctan2(poses[:, 6], poses[:, 3])) - 10.0
    for values, bound in ((shift[:, 0], 0.02), (shift[:, 1], 0.05), (yaw, 15.0)):
        assert 0.9 * bound < values.max() <= bound + 1e-9 and -bound - 1e-9 <= values.min() < -0.9 * bound
    np.testing.assert_allclose(poses[:, 2], 0.055)


def test_what_stands_on_furniture_stands_on_its_top():
    data = copy.deepcopy(PLAIN)
    data["objects"]["box"]["stands_on"] = "rack"
    assert parse_task(data).sample(None).object("box").pose[2] == pytest.approx(0.10 + 0.055)


def test_a_goal_follows_what_it_is_relative_to():
    data = copy.deepcopy(PLAIN)
    data["objects"]["rack"] |= {"position_m": [0.6, 0.1, 0], "yaw_deg": 90}
    task = parse_task(data)
    scene = task.sample(None)
    goal = task.goal(0, scene)
    np.testing.assert_allclose(goal.target_pose[:3], [0.4, 0.1, 0.15], atol=1e-9)
    assert goal.instruction == "Move the box" and not goal.grasp
    np.testing.assert_array_equal(goal.annotated_pose, goal.target_pose)
    box = scene.object("box")
    assert keypoint_error(box.pose, box.model.control_keypoints_m(), box.keypoints_world_m()) == pytest.approx(0)


def test_configurations_inherit_and_change():
    data = {**PLAIN, "configurations": [{}, {"objects": {"box": {"yaw_deg": 40.0}}, "instruction": "Turn it"}]}
    first, second = parse_task(data).configurations
    assert (first.objects["box"].yaw_deg, second.objects["box"].yaw_deg) == (10.0, 40.0)
    assert (first.instruction, second.instruction) == ("Move the box", "Turn it")
    assert second.objects["box"].model == "shoe_box" and list(second.objects) == ["rack", "box"]


def _changed(path: str, value) -> dict:
    """PLAIN with one place, given as a dotted path, set to a value (or taken away: None)."""
    data = copy.deepcopy(PLAIN)
    *way, last = path.split(".")
    place = data
    for key in way:
        place = place[int(key) if key.isdigit() else key]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return data


FAULTS = {
    "unknown model": ("objects.box.model", "hat_box", "'hat_box'.*sneaker_left.*shoe_box.*low_rack"),
    "unknown field of an object": ("objects.box.colour", "red", "Placement has no field 'colour'.*yaw_deg"),
    "unknown field of the task": ("difficulty", 3, "Task has no field 'difficulty'.*episode_s"),
    "unknown field of a goal": ("stages.0.goal.pose", [0, 0, 0], "GoalSpec has no field 'pose'.*position_m"),
    "no name": ("name", None, "Task lacks name"),
    "no workspace": ("workspace_m", None, "Task lacks workspace_m"),
    "no objects": ("objects", None, "lacks objects|no object 'rack'"),
    "no stages": ("stages", None, "lacks stages"),
    "no goal position": ("stages.0.goal.position_m", None, "GoalSpec lacks position_m"),
    "no model": ("objects.box.model", None, "Placement lacks model"),
    "text for a number": ("objects.box.yaw_deg", "ten", r"Placement\.yaw_deg is of type float, not 'ten'"),
    "text for a position": (
        "objects.box.position_m",
        "here",
        r"Placement\.position_m is a list of numbers, not 'here'",
    ),
    "two numbers for a position": ("objects.box.position_m", [0.4, 0.1], r"position_m"),
    "text for yes or no": ("objects.rack.movable", "no", r"Placement\.movable is of type bool, not 'no'"),
    "stands on nothing known": ("objects.box.stands_on", "shelf", "'shelf'.*rack"),
    "goal of an unknown object": ("stages.0.goal.object", "sock", "'sock'.*rack, box"),
    "goal relative to an unknown object": ("stages.0.goal.relative_to", "shelf", "'shelf'.*rack, box"),
    "a configuration changes an unknown object": (
        "configurations",
        [{"objects": {"hat": {"yaw_deg": 1.0}}}],
        "'hat'.*rack, box",
    ),
    "an object is no mapping": ("objects.box", 3, "3"),
    "stages are no list": ("stages", 3, "stages is a list, not 3"),
    "objects are a list": ("objects", [1], r"objects is a mapping from names, not \[1\]"),
    "values are a number": ("values", 3, "values is a mapping from names, not 3"),
    "configurations are a number": ("configurations", 3, "configurations is a list of what each changes, not 3"),
    "a list of models": ("objects.box.model", ["hat_box"], r"no object model \['hat_box'\]"),
    "nothing moves": ("objects.box.movable", False, "configuration 0 has nothing that can be moved"),
    "stages without any": ("stages", [], "configuration 0 has no stages"),
    "an empty name": ("name", " ", "the task's name is empty"),
    "an empty id": ("id", "", "the task's id is empty"),
    "a range below 0": ("objects.box.yaw_range_deg", -3.0, "at least 0, not .*-3.0"),
    "less than a tick": ("episode_s", 0.01, "at least one tick"),
    "a price": ("instruction", "pay $5", r"\$ that begins no name: \$name stands for a value"),
    "parts of a task": ("colour", 1, "it has: .*objects, instruction, stages, success, values"),
}


@pytest.mark.parametrize(("path", "value", "words"), FAULTS.values(), ids=FAULTS)
def test_a_faulty_task_is_told_with_the_bad_value_and_the_valid_ones(path, value, words, tmp_path):
    file = tmp_path / "faulty.yaml"
    file.write_text(yaml.safe_dump(_changed(path, value), sort_keys=False))
    with pytest.raises((ValueError, KeyError), match=words) as caught:
        task = load_task(file)
        scene = task.sample(np.random.default_rng(0))
        scene.object(task.goal(0, scene).object)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["", "- a\n- b\n", "just words\n", "name: [1, 2\n", "name: a\nname: b\n"],
    ids=["empty", "list", "text", "broken", "twice"],
)
def test_a_file_that_is_no_mapping_is_one_sentence(tmp_path, text):
    file = tmp_path / "odd.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"odd\.yaml"):
        load_task(file)


@pytest.mark.parametrize("scale", [None, "cm", 0, True])
def test_a_scale_that_is_no_number_is_one_sentence(tmp_path, scale):
    cup = {"shape": "mesh", "mesh": "cup.obj", "mass_kg": 0.1, "mesh_scale": scale}
    (tmp_path / "objects.yaml").write_text(yaml.safe_dump({"cup": cup}))
    (tmp_path / "cup.obj").write_bytes(bytes(range(256)))
    with pytest.raises(ValueError, match="object model 'cup': mesh_scale is"):
        object_library([tmp_path])


def test_a_mesh_of_noise_is_one_sentence(tmp_path):
    cup = {"shape": "mesh", "mesh": "cup.obj", "mass_kg": 0.1}
    (tmp_path / "objects.yaml").write_text(yaml.safe_dump({"cup": cup}))
    (tmp_path / "cup.obj").write_bytes(bytes(range(256)) * 8)
    with pytest.raises(ValueError, match=r"the mesh '.*cup\.obj' ") as caught:
        object_library([tmp_path])
    assert "\n" not in str(caught.value)


def test_one_faulty_file_does_not_hide_the_other_tasks(tmp_path, monkeypatch):
    (tmp_path / "noise.yaml").write_bytes(bytes(range(128, 256)))
    monkeypatch.setenv("IKER_TASKS", str(tmp_path))
    listed = CliRunner().invoke(app, ["tasks"])
    assert listed.exit_code == 0 and "shoe_push" in listed.output
    assert "noise.yaml' is not a text file" in listed.output
    with pytest.raises(ValueError, match=r"folder of 'nodir/x\.png' does not exist"):
        CliRunner().invoke(app, ["tasks", "--sheet", "nodir/x.png"], catch_exceptions=False)


def test_a_configuration_that_does_not_exist_names_the_ones_that_do():
    with pytest.raises(ValueError, match="configuration 7 does not exist; plain has 0 to 0"):
        parse_task(PLAIN).sample(None, 7)
    for bad in (-1, "first", 0.5):
        with pytest.raises(ValueError, match="does not exist"):
            parse_task(PLAIN).configuration(bad)


def test_a_task_by_path_by_folder_and_by_no_name(tmp_path, monkeypatch):
    (tmp_path / "plain.yaml").write_text(yaml.safe_dump(PLAIN))
    assert load_task(tmp_path / "plain.yaml").name == load_task(str(tmp_path / "plain.yaml")).name == "plain"
    with pytest.raises(ValueError, match=r"no task 'plain'; known: .*shoe_rack.*or a path"):
        load_task("plain")
    monkeypatch.setenv("IKER_TASKS", os.pathsep.join(["/nowhere", str(tmp_path)]))
    assert load_task("plain").id == "IKER-Plain-v0" and set(task_names()) == {*NAMES, "plain"}
    with pytest.raises(ValueError, match=r"'missing\.yaml' does not exist"):
        load_task("missing.yaml")


def test_tasks_says_which_files_and_folders_are_not_used(tmp_path, monkeypatch):
    (tmp_path / "shoe_push.yaml").write_text(find_task("shoe_push").read_text("utf-8"), "utf-8")
    (tmp_path / "other_name.yaml").write_text(find_task("shoe_push").read_text("utf-8"), "utf-8")
    monkeypatch.setenv("IKER_TASKS", f"{tmp_path}{os.pathsep}{tmp_path / 'nowhere'}")
    listed = CliRunner().invoke(app, ["tasks"])
    assert "the name 'shoe_push' belongs to" in listed.output and "nowhere', which is no folder" in listed.output
    assert "other_name" in listed.output and "IKER-BookReorient-v0" in listed.output
